"""``cubefit status``."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cubefit.cli.root import app, interruptible
from cubefit.cli.work import AsJson, File

if TYPE_CHECKING:
    from cubefit.store.file_status import FileStatus


def status_table(status: FileStatus) -> Table:
    """Return the status for a terminal."""
    from cubefit.store.status_rows import status_rows

    table = Table(title=Text(status.path), show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, text in status_rows(status).items():
        shown: RenderableType = Text(text)
        if name == "built" and status.build is not None:
            build = status.build
            # Below the text: a bar ends no line.
            bar = ProgressBar(total=build.tiles_total, completed=build.tiles_done)
            shown = Group(shown, bar)
        table.add_row(name, shown)
    return table


@app.command()
def status(
    file: File,
    watch: Annotated[bool, typer.Option("--watch", help="Go on looking, until Ctrl-C.")] = False,
    interval: Annotated[
        float, typer.Option(min=0.1, max=86_400.0, help="Seconds between two looks.")
    ] = 2.0,
    as_json: AsJson = False,
) -> None:
    """Show how far a file's HyperCube and fit are, and who writes to it; while it is written too.

    Example: cubefit status cube.h5 --watch
    """
    with interruptible("that was the last look."):
        from cubefit.store.file_status import file_status

        if as_json:
            print(json.dumps(file_status(file).as_json()), flush=True)
            while watch:
                time.sleep(interval)
                print(json.dumps(file_status(file).as_json()), flush=True)
            return
        console = Console()
        if not watch:
            console.print(status_table(file_status(file)))
            return
        with Live(status_table(file_status(file)), console=console, auto_refresh=False) as view:
            while True:
                time.sleep(interval)
                view.update(status_table(file_status(file)), refresh=True)
