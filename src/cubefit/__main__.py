"""The program ``cubefit``: a signal has its exit code before anything heavy is loaded."""

from __future__ import annotations

import signal
import sys

from cubefit.errors import EXIT_INTERRUPTED
from cubefit.interrupts import signals_end_program


def main() -> None:
    """Run the command line."""
    try:
        try:
            with signals_end_program():
                from cubefit.cli.root import main as run  # noqa: PLC0415 - a third of a second

                run()
        finally:
            # The exit code is known: Ctrl-C while Python tidies up would kill by the signal.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)


if __name__ == "__main__":
    main()
