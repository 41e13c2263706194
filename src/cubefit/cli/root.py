"""The application that the verbs hang on, and what all of them share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from cubefit import __version__
from cubefit.errors import EXIT_REQUEUE, CubeFitError, StoppedError

EXIT_ERROR = 1
EXIT_FOUND = 3
"""``cubefit check`` found something wrong."""
EXIT_INTERRUPTED = 130

app = typer.Typer(
    help="One global, non-negative fit of stellar populations to orbits over an IFU cube.",
    epilog="Exit codes: 0 done, 1 error, 2 wrong usage, 3 check found something, 75 stopped by "
    "SIGTERM, SIGUSR1 or SIGHUP (run the same again), 130 stopped by Ctrl-C.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def show_version(wanted: bool) -> None:
    """Print the version and leave."""
    if wanted:
        print(f"cubefit {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show version.")
    ] = False,
) -> None:
    """Options before any verb."""
    del version


@contextmanager
def interruptible(how_to_go_on: str) -> Iterator[None]:
    """Say how to go on when a long verb is stopped, and leave with the right exit code."""
    try:
        yield
    except KeyboardInterrupt as stop:
        # Where it carries a message, that was logged when the state was safe.
        if not stop.args:
            Console(stderr=True).print(f"Interrupted: {how_to_go_on}", soft_wrap=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    except StoppedError:
        raise typer.Exit(EXIT_REQUEUE) from None


def main() -> None:
    """Run the command line; errors are one sentence."""
    try:
        app()
    except (CubeFitError, OSError) as error:
        message = Text.assemble(("Error:", "bold red"), f" {error}")
        Console(stderr=True).print(message, soft_wrap=True)
        sys.exit(EXIT_ERROR)
