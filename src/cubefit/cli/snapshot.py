"""``cubefit snapshot``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from cubefit.cli.root import app, interruptible
from cubefit.cli.work import AsJson, File, tell


@app.command()
def snapshot(
    file: File,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Picture to write (png, pdf or svg).")
    ] = Path("dashboard.png"),
    watch: Annotated[
        float | None,
        typer.Option(min=0.1, help="Write it anew when the file has changed, every so many s."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Draw a build or a fit in one picture: progress, convergence, spectrum, masses, populations.

    With --watch it goes on until Ctrl-C, and waits for a file that is not there yet: for machines
    without a browser. The picture is replaced in one step.

    Example: cubefit snapshot cube.h5 -o fit.png --watch 60
    """
    with interruptible("the last picture is whole."):
        from cubefit.live_fit_dashboard import render_dashboard, watch_dashboard

        if watch is None:
            written = render_dashboard(file, out)
            tell(
                {"file": str(file), "written": [str(written)]},
                f"{file}: drawn as {written}.",
                as_json=as_json,
            )
            return
        for told in watch_dashboard(file, out, every_s=watch):
            line = json.dumps({"file": str(file), "told": told}) if as_json else told
            print(line, flush=True)
