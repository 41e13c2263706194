"""``cubefit compress``."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from cubefit.cli.root import app, interruptible
from cubefit.cli.work import AsJson, File, Quiet, tell


@app.command()
def compress(
    file: File,
    codec: Annotated[
        Literal["gzip", "lzf", "bitshuffle-lz4"],
        typer.Option(help="The last needs hdf5plugin, also to read."),
    ] = "gzip",
    level: Annotated[int, typer.Option(min=0, max=9, help="Of gzip.")] = 2,
    keep_bits: Annotated[
        int | None,
        typer.Option(
            min=1, max=23, help="Mantissa bits to keep (12: errors up to 1.2e-4); default lossless."
        ),
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Compress a finished HyperCube into a new file, verify it, and swap it in.

    Example: cubefit compress cube.h5 --codec bitshuffle-lz4 --keep-bits 12
    """
    with interruptible("run the same command again; the file is as it was."):
        from cubefit.display import size
        from cubefit.store.compress import compress_visibly

        before, after = compress_visibly(
            file, codec=codec, level=level, keep_bits=keep_bits, verbose=not quiet
        )
        tell(
            {
                "file": str(file),
                "codec": codec,
                "bytes_before": before,
                "bytes_after": after,
            },
            f"{file}: models of {size(before)} take {size(after)} now.",
            as_json=as_json,
        )
