"""``cubefit snapshot``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cubefit.cli.root import app, interruptible
from cubefit.cli.work import File


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
) -> None:
    """Draw a build or a fit in one picture: progress, convergence, spectrum, masses, populations.

    With --watch it goes on until Ctrl-C, and waits for a file that is not there yet: for machines
    without a browser. The picture is replaced in one step.

    Example: cubefit snapshot cube.h5 -o fit.png --watch 60
    """
    with interruptible("the last picture is whole."):
        from cubefit.live_fit_dashboard import render_dashboard, watch_dashboard

        if watch is None:
            print(f"{file}: drawn as {render_dashboard(file, out)}.")
            return
        for told in watch_dashboard(file, out, every_s=watch):
            print(told, flush=True)
