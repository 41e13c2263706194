"""``cubefit build``, and the options of long verbs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from cubefit.cli.root import app, interruptible

# Whether it can be read is ours to say: Typer would call it wrong usage.
File = Annotated[Path, typer.Argument(help="CubeFit file.", readable=False)]
Threads = Annotated[
    int | None, typer.Option(min=1, help="Compute threads; default all usable cores.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command()
def build(
    file: File,
    s_chunk: Annotated[int, typer.Option(min=1, help="Most spaxels per tile.")] = 128,
    c_chunk: Annotated[int, typer.Option(min=1, help="Most components per tile.")] = 1,
    p_chunk: Annotated[int, typer.Option(min=1, help="Most populations per tile.")] = 360,
    normalization: Annotated[
        Literal["losvd", "unit"], typer.Option(help="Keep the LOSVDs' amplitude, or scale to unit.")
    ] = "losvd",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Drop a HyperCube that is there.")
    ] = False,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Build the HyperCube of a populated file, or go on with one that was stopped.

    Example: cubefit build cube.h5
    """
    with interruptible("run the same command again, finished tiles are kept."):
        from cubefit.hypercube_builder import build_hypercube

        report = build_hypercube(
            file,
            S_chunk=s_chunk,
            C_chunk=c_chunk,
            P_chunk=p_chunk,
            n_workers=threads,
            normalization=normalization,
            overwrite=overwrite,
            verbose=not quiet,
        )
        print(
            f"{file}: {report.tiles_total} tiles done, {report.tiles_built} of them in this call "
            f"({report.n_bytes / 1e9:.2f} GB in {report.elapsed_s:.1f} s)."
        )
