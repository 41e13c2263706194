"""``cubefit export``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from cubefit.cli.root import app, interruptible
from cubefit.cli.work import AsJson, File, Quiet


@app.command()
def export(
    file: File,
    to: Annotated[Path, typer.Option("--to", "-o", help="Folder; created if missing.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files there.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write the fitted solution for other programs: all as FITS, and tables as ECSV.

    The FITS file holds weights, components, spaxels and maps; one ECSV file each has the components
    and the spaxels.

    Example: cubefit export cube.h5 --to results
    """
    with interruptible("run the same command again with --overwrite; every file there is whole."):
        from cubefit.progress import visible_log
        from cubefit.results.export import export_result

        with visible_log(not quiet):
            written = export_result(file, to, overwrite=overwrite)
        if as_json:
            print(json.dumps({"file": str(file), "written": [str(p) for p in written]}, indent=2))
            return
        for path in written:
            print(path)
