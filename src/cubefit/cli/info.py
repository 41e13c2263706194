"""``cubefit info``."""

from __future__ import annotations

import json

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cubefit.cli.root import app, interruptible
from cubefit.cli.work import AsJson, File


@app.command()
def info(file: File, as_json: AsJson = False) -> None:
    """Show what is in a file: sizes, grids, templates, margins, masks, and what was made of them.

    How far a fit is, `cubefit status` tells.

    Example: cubefit info cube.h5
    """
    with interruptible("nothing was changed, run the same command again."):
        from cubefit.store.file_info import file_info

        found = file_info(file)
        if as_json:
            print(json.dumps(found.as_json(), indent=2))
            return
        table = Table(title=Text(str(file)), show_header=False)
        table.add_column(style="bold")
        table.add_column(overflow="fold")
        for name, text in found.rows():
            table.add_row(name, Text(text))
        Console().print(table)
