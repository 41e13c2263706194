"""``cubefit dashboard``."""

from __future__ import annotations

import os
import webbrowser
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Final

import typer

from cubefit.cli.root import app
from cubefit.errors import DependencyError
from cubefit.threads import blas_threads

NICENESS: Final = 19
"""The writer of the file comes first."""


@app.command()
def dashboard(
    file: Annotated[Path, typer.Argument(help="A CubeFit file; it need not exist yet.")],
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0 takes a free one.")] = 5006,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines look.")
    ] = "127.0.0.1",
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(help="Further host:port that browsers may come from, of a proxy say."),
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser here.")] = False,
) -> None:
    """Show a build or a fit in the browser, live, or what became of it.

    It only reads; start and stop it at any time, beside any writer, on the same machine or one that
    sees the same disk. To look from elsewhere: ssh -L 5006:localhost:5006 MACHINE.

    Example: cubefit dashboard cube.h5 --open
    """
    try:
        from cubefit.dashboard import DashboardServer
    except ImportError as error:
        raise DependencyError(
            f'The dashboard needs {error.name}: pip install "cubefit[dashboard]".'
        ) from error
    with suppress(OSError):
        os.nice(NICENESS)
    with (
        suppress(KeyboardInterrupt),
        blas_threads(1),
        DashboardServer(file, host=host, port=port, origins=allow_origin or ()) as server,
    ):
        print(f"{file} is shown at {server.url} (Ctrl-C ends the page, not the fit)", flush=True)
        if show:
            webbrowser.open(server.url)
        server.run()
