"""Progress of long work: a bar on a terminal, one log line per interval otherwise."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichBar

logger = logging.getLogger("cubefit")

LOG_INTERVAL_S: Final = 30.0


class StderrHandler(logging.Handler):
    """Writes to what ``sys.stderr`` is at that time, so that lines appear above a running bar."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line; a log on a full disk, or a closed terminal, ends no fit."""
        with suppress(OSError, ValueError):
            if sys.stderr is not None:
                sys.stderr.write(self.format(record) + "\n")


@contextmanager
def visible_log(verbose: bool) -> Iterator[None]:
    """Show INFO messages on stderr while inside, unless the user set up logging himself.

    Parameters
    ----------
    verbose : bool
        False leaves everything as it is.
    """
    if not verbose or logger.hasHandlers():
        yield
        return
    handler = StderrHandler()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


class Progress:
    """A consumer of long loops.

    Parameters
    ----------
    label : str
        What is going on.
    total : float
        Amount of work.
    verbose : bool
        False shows nothing.
    interval_s : float
        Seconds between log lines where stderr is no terminal.
    """

    def __init__(
        self, label: str, total: float, *, verbose: bool, interval_s: float = LOG_INTERVAL_S
    ) -> None:
        self._label = label
        self._total = total
        self._done = 0.0
        self._interval_s = interval_s
        self._started = self._logged = time.monotonic()
        self._verbose = verbose
        self._bar: RichBar | None = None
        if verbose and sys.stderr is not None and sys.stderr.isatty():
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.percentage:3.0f} %"),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
            )
            # stdout may be a file that the user collects results in.
            self._bar = RichBar(*columns, transient=True, console=Console(stderr=True))
            self._task = self._bar.add_task(label, total=total, note="")

    def __enter__(self) -> Self:
        """Start the bar."""
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop the bar."""
        if self._bar is not None:
            self._bar.stop()

    def advance(self, amount: float, note: str = "") -> None:
        """Count ``amount`` of work as done."""
        self._done += amount
        if self._bar is not None:
            self._bar.update(self._task, advance=amount, note=note)
            return
        now = time.monotonic()
        if self._verbose and now - self._logged >= self._interval_s:
            self._logged = now
            elapsed = now - self._started
            left = elapsed * (self._total / self._done - 1.0) if self._done else float("nan")
            logger.info(
                "%s: %.0f %%, %.0f s, about %.0f s left %s",
                self._label,
                100.0 * self._done / self._total,
                elapsed,
                left,
                note,
            )
