"""Progress of long work: a bar on a terminal or in a notebook, else one log line per interval."""

from __future__ import annotations

import importlib
import logging
import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from html import escape
from typing import Any, Final, Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichBar

logger = logging.getLogger("cubefit")

LOG_INTERVAL_S: Final = 30.0
NOTEBOOK_INTERVAL_S: Final = 0.5


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


class View(Protocol):
    """Where progress is shown as it changes."""

    def start(self) -> None:
        """Begin to show."""

    def stop(self) -> None:
        """Show no more."""

    def show(self, progress: Progress) -> None:
        """Show what is done now."""


class TerminalBar:
    """A bar on a terminal, on stderr: stdout may be a file that the user collects results in."""

    def __init__(self, label: str, total: float) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:3.0f} %"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
        )
        # Not rich's own way in notebooks: it wants ipywidgets, and this is a terminal.
        console = Console(stderr=True, force_jupyter=False)
        self._bar = RichBar(*columns, transient=True, console=console)
        self._task = self._bar.add_task(label, total=total, note="")

    def start(self) -> None:
        """Begin to show."""
        self._bar.start()

    def stop(self) -> None:
        """Take the bar away."""
        self._bar.stop()

    def show(self, progress: Progress) -> None:
        """Show what is done now."""
        self._bar.update(self._task, completed=progress.done, note=progress.note)


class NotebookBar:
    """A bar in a cell of a notebook, one output that changes; its last state stays."""

    def __init__(self) -> None:
        self._output: Any = None
        self._shown = -math.inf
        self._latest: Progress | None = None

    def start(self) -> None:
        """Wait for something to show."""

    def stop(self) -> None:
        """Leave the last state."""
        if self._latest is not None:
            self._put(self._latest)

    def show(self, progress: Progress) -> None:
        """Show what is done now, twice a second at most: every change is a message."""
        self._latest = progress
        now = time.monotonic()
        if now - self._shown >= NOTEBOOK_INTERVAL_S:
            self._shown = now
            self._put(progress)

    def _put(self, progress: Progress) -> None:
        text = progress.told()
        bar = f'<progress max="1" value="{progress.share:.4f}"></progress>'
        bundle = {"text/plain": text, "text/html": f"{bar} {escape(text)}"}
        if self._output is None:
            ipython = importlib.import_module("IPython.display")
            self._output = ipython.display(bundle, raw=True, display_id=True)
        else:
            self._output.update(bundle, raw=True)


class LogLines:
    """One line of the log per interval."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._logged = time.monotonic()

    def start(self) -> None:
        """Wait for an interval to pass."""

    def stop(self) -> None:
        """Say nothing: the log tells what came of it."""

    def show(self, progress: Progress) -> None:
        """Log what is done now, where it is time."""
        now = time.monotonic()
        if now - self._logged >= self._interval_s:
            self._logged = now
            logger.info("%s", progress.told())


class Nowhere:
    """No progress is shown."""

    def start(self) -> None:
        """Do nothing."""

    def stop(self) -> None:
        """Do nothing."""

    def show(self, progress: Progress) -> None:
        """Do nothing."""


def in_notebook() -> bool:
    """Whether this is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and hasattr(shell, "kernel")


def view_of(label: str, total: float, interval_s: float) -> View:
    """Return the view of progress that suits where stderr goes."""
    if in_notebook():
        return NotebookBar()
    if sys.stderr is not None and sys.stderr.isatty():
        return TerminalBar(label, total)
    return LogLines(interval_s)


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
        Seconds between log lines where stderr is neither a terminal nor a notebook.
    """

    def __init__(
        self, label: str, total: float, *, verbose: bool, interval_s: float = LOG_INTERVAL_S
    ) -> None:
        self.done, self.note = 0.0, ""
        self._label, self._total = label, total
        self._started = time.monotonic()
        self._view = view_of(label, total, interval_s) if verbose else Nowhere()

    def __enter__(self) -> Self:
        """Begin to show."""
        self._view.start()
        return self

    def __exit__(self, *exc: object) -> None:
        """Show no more."""
        self._view.stop()

    def advance(self, amount: float, note: str = "") -> None:
        """Count ``amount`` of work as done."""
        self.done += amount
        self.note = note
        self._view.show(self)

    @property
    def share(self) -> float:
        """Share of the work that is done."""
        return self.done / self._total

    def told(self) -> str:
        """Return how far the work is, and how long it takes yet, in one line."""
        elapsed = time.monotonic() - self._started
        left = elapsed * (self._total / self.done - 1.0) if self.done else float("nan")
        told = f"{self._label}: {100.0 * self.share:.0f} %, {elapsed:.0f} s"
        if self.share < 1:
            told += f", about {left:.0f} s left"
        return f"{told}, {self.note}" if self.note else told
