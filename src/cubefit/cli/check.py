"""``cubefit check``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cubefit.cli.root import EXIT_FOUND, app, interruptible
from cubefit.cli.work import AsJson, File, Quiet

if TYPE_CHECKING:
    from cubefit.file_check import CheckReport, State

COLOURS: Final[dict[State, str]] = {
    "ok": "green",
    "warning": "yellow",
    "failed": "bold red",
    "skipped": "dim",
}


@app.command()
def check(
    file: File,
    quick: Annotated[
        bool, typer.Option("--quick", help="Do not read every tile of the HyperCube.")
    ] = False,
    models: Annotated[
        int, typer.Option(min=0, help="Stored models to compare with the inputs.")
    ] = 64,
    as_json: AsJson = False,
    forget_damaged: Annotated[
        bool,
        typer.Option(
            "--forget-damaged", help="Mark damaged tiles so that the next build makes them anew."
        ),
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Verify a file: layout, inputs, products, and every tile against its checksum.

    Exit code 3 if something failed; warnings are 0.

    Example: cubefit check cube.h5
    """
    if quick and forget_damaged:
        raise typer.BadParameter("--forget-damaged needs every tile read: drop --quick.")
    with interruptible("nothing was changed, run the same command again."):
        from cubefit.file_check import check_file
        from cubefit.file_check import forget_damaged as mark_damaged

        report = check_file(file, n_models=models, quick=quick, verbose=not quiet)
        if not as_json:
            show(report)
        forgotten = 0
        if forget_damaged and report.damaged_tiles:
            forgotten = mark_damaged(file, report.damaged_tiles, verbose=not quiet)
    if as_json:
        print(json.dumps(as_object(report, forgotten), indent=2))
    elif forgotten:
        print(f"{forgotten} tiles are marked as not done: run build_hypercube, it makes them anew.")
    if not report.passed:
        raise typer.Exit(EXIT_FOUND)


def as_object(report: CheckReport, forgotten: int) -> dict[str, object]:
    """Return a report as plain data."""
    return {
        "file": str(report.path),
        "passed": report.passed,
        "findings": [
            {"name": f.name, "state": f.state, "detail": f.detail} for f in report.findings
        ],
        "damaged_tiles": [list(index) for index in report.damaged_tiles],
        "forgotten": forgotten,
    }


def show(report: CheckReport) -> None:
    """Print a report as a table."""
    table = Table(title=Text(f"Check of {report.path}"))
    table.add_column("check", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("detail", overflow="fold")
    for finding in report.findings:
        state = Text(finding.state, style=COLOURS[finding.state])
        table.add_row(finding.name, state, Text(finding.detail))
    Console().print(table)
