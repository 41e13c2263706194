"""The application that the verbs hang on, and what all of them share.

Verbs import what they need in their bodies, so that ``--help`` and completion do not wait for it.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Final, NoReturn, TextIO, cast

import typer
from rich.console import Console
from rich.markup import escape
from rich.text import Text
from typer.core import TyperGroup

from cubefit.errors import EXIT_INTERRUPTED, EXIT_REQUEUE, CubeFitError, StoppedError
from cubefit.interrupts import signals_end_program

EXIT_ERROR: Final = 1
EXIT_FOUND: Final = 3
"""``cubefit check`` found something wrong."""

ORDER: Final = (
    *("demo", "init", "run", "populate", "build", "fit", "status", "check", "snapshot", "plot"),
    *("reconstruct", "compress", "gather", "dashboard", "export", "info"),
)
"""Verbs as the help lists them: as they are used."""
USAGE_ERROR: Final = cast("type[Exception]", typer.BadParameter.__mro__[1])
"""The base of what Typer says of wrong usage, which it exports no more."""
DEBUG: Final = "--debug"


class Verbs(TyperGroup):
    """The verbs: in their order, and with errors that are one sentence."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for verb in self.commands.values():
            # The lines of a docstring are not those of a terminal.
            paragraphs = (verb.help or "").split("\n\n")
            verb.help = escape("\n\n".join(" ".join(p.split()) for p in paragraphs))

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the verbs."""
        names = super().list_commands(ctx)
        return sorted(names, key=lambda n: ORDER.index(n) if n in ORDER else len(ORDER))

    def make_context(self, info_name: Any, args: list[str], parent: Any = None, **more: Any) -> Any:
        """Take the options before the verb, and ``--debug`` wherever it stands."""
        try:
            return super().make_context(info_name, debug_first(args), parent, **more)
        except USAGE_ERROR as error:
            refuse(error, info_name)

    def invoke(self, ctx: Any) -> Any:
        """Run a verb."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise
        except USAGE_ERROR as error:
            refuse(error, " ".join(filter(None, (ctx.command_path, ctx.invoked_subcommand))))
        except (CubeFitError, OSError, MemoryError) as error:
            if ctx.params.get("debug"):
                raise
            say_error(sentence_of(error))
            raise typer.Exit(EXIT_ERROR) from None


def debug_first(arguments: list[str]) -> list[str]:
    """Return the arguments with ``--debug`` before the verb, where the parser knows it."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    if DEBUG not in arguments[:end]:
        return arguments
    return [DEBUG, *(a for a in arguments[:end] if a != DEBUG), *arguments[end:]]


def refuse(error: Any, command: str) -> NoReturn:
    """Say in one sentence what is wrong with the usage of a command, and leave."""
    # Without any argument the help is printed, and this is how Typer leaves then.
    if type(error).__name__ == "NoArgsIsHelpError":
        raise error
    say_error(usage_sentence(error, command))
    raise typer.Exit(error.exit_code) from None


def usage_sentence(error: Any, command: str) -> str:
    """Return what is wrong with the usage, and where the right one stands, in one line."""
    said = " ".join(error.format_message().split()).removesuffix(".")
    said = re.sub(r"\.? Did you mean (.+)\?$", r" (did you mean \1?)", said)
    said = re.sub(r"\(Possible options: (.+)\)$", r"(did you mean \1?)", said)
    return f"{said.replace(': Value error, ', ': ')}; see {command} --help."


def say_error(sentence: str) -> None:
    """Say what is wrong, on stderr."""
    message = Text.assemble(("Error: ", "bold red"), (sentence, "red"))
    Console(stderr=True).print(message, soft_wrap=True)


def sentence_of(error: Exception) -> str:
    """Return what an error says, in one line."""
    if isinstance(error, MemoryError):
        told = f" ({error})" if str(error) else ""
        return f"Not enough memory{told}: use a machine with more, or end other programs."
    if isinstance(error, FileExistsError | NotADirectoryError):
        return f"{error.filename}: {error.strerror}. A folder is needed: give another name."
    if isinstance(error, OSError) and not isinstance(error, CubeFitError) and error.strerror:
        return f"{error.filename or 'the system'}: {error.strerror}."
    return " ".join(str(error).split())


app = typer.Typer(
    cls=Verbs,
    help="One global, non-negative fit of stellar populations to orbits over an IFU cube.",
    epilog="Exit codes: 0 done, 1 error, 2 wrong usage, 3 check found something, 75 stopped by "
    "SIGTERM, SIGUSR1 or SIGHUP (run the same again), 130 stopped by Ctrl-C (but 0 for dashboard).",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def show_version(wanted: bool) -> None:
    """Print the version and leave."""
    if wanted:
        from cubefit import __version__

        print(f"cubefit {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show version.")
    ] = False,
    debug: Annotated[
        bool,
        typer.Option(
            DEBUG, help="Show where in the program an error comes from; also behind a verb."
        ),
    ] = False,
) -> None:
    """Options of all verbs."""
    # Verbs.invoke reads debug.
    del version, debug


@contextmanager
def interruptible(how_to_go_on: str) -> Iterator[None]:
    """Say how to go on when a long verb is stopped, and leave with the right exit code."""
    try:
        yield
    # Where a stop carries a message, that was logged when the state was safe.
    except KeyboardInterrupt as stop:
        if not stop.args:
            say_stopped("Interrupted", how_to_go_on)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    except StoppedError as stop:
        if not str(stop):
            say_stopped("Stopped", how_to_go_on)
        raise typer.Exit(EXIT_REQUEUE) from None


def say_stopped(what: str, how_to_go_on: str) -> None:
    """Say that a verb has ended early, on stderr."""
    Console(stderr=True).print(Text(f"{what}: {how_to_go_on}"), soft_wrap=True)


def show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Show a warning as one sentence on stderr; where in the program it arose helps nobody here."""
    del category, filename, lineno, file, line
    said = Text.assemble(("Warning: ", "bold yellow"), " ".join(str(message).split()))
    Console(stderr=True).print(said, soft_wrap=True)


def main() -> None:
    """Run the command line."""
    with signals_end_program(), warnings.catch_warnings():
        warnings.showwarning = show_warning
        app()
