"""Stopping long work at a safe point: Ctrl-C, and the signals of batch systems.

Slurm and its kin announce the end of a job by SIGTERM or, where asked to, by SIGUSR1 some minutes
before; SIGHUP comes when a terminal or its connection is gone. Work in a `stop_requests` block is
not torn apart by them: it looks at the request between two steps, brings its state to safety, and
then stops.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Final, NoReturn

from cubefit.errors import StoppedError

logger = logging.getLogger(__name__)

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)


class StopRequest:
    """The wish to stop; true once a signal has come."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._at_once: str | None = None

    def __bool__(self) -> bool:
        """Whether to stop."""
        return self.signal is not None

    def note(self, number: int, frame: FrameType | None) -> None:
        """Take a signal; a second Ctrl-C does not wait for the safe point."""
        del frame
        if number == self.signal == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = signal.Signals(number)
        if self._at_once is not None:
            self.stop(self._at_once)

    @property
    def is_interrupt(self) -> bool:
        """Whether the wish came by Ctrl-C."""
        return self.signal == signal.SIGINT

    @property
    def is_at_once(self) -> bool:
        """Whether a signal would end the work where it is."""
        return self._at_once is not None

    def stop_at_once(self, how_to_go_on: str) -> None:
        """From now on nothing would be lost: let a signal, or one that has come, end the work."""
        self._at_once = how_to_go_on
        if self:
            self.stop(how_to_go_on)

    def stop_when_safe(self) -> None:
        """From now on something would be lost: let a signal wait for the next safe point."""
        self._at_once = None

    def stop(self, how_to_go_on: str) -> NoReturn:
        """End the work, once its state is safe, and say how to go on.

        Raises
        ------
        KeyboardInterrupt
            After Ctrl-C.
        StoppedError
            After another signal: the program ends with its exit code, unless it is caught.
        """
        name = "a signal" if self.signal is None else self.signal.name
        message = f"Stopped by {name}: {how_to_go_on}"
        logger.warning(message)
        if self.signal == signal.SIGINT:
            raise KeyboardInterrupt(message)
        raise StoppedError(message)


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Turn Ctrl-C, SIGTERM, SIGUSR1 and SIGHUP into a request while inside.

    A handler that the user installed stays, and so does a signal that is ignored (``nohup``);
    outside the main thread nothing changes, because Python hands signals to that one alone.
    """
    request = StopRequest()
    with _handled(SIGNALS, request.note):
        yield request


@contextmanager
def stopping_between_steps(unfinished: str, finished: str) -> Iterator[Callable[[], None]]:
    """Let signals end work between its steps, where nothing of it is to be kept.

    An exception out of a signal's handler is not enough: raised in a callback of the garbage
    collection, as objects of h5py have them, it is lost.

    Parameters
    ----------
    unfinished, finished : str
        How to go on where the work is stopped before its end, and after it.

    Yields
    ------
    callable
        To be called after each step.
    """
    with stop_requests() as request:

        def look() -> None:
            if request:
                request.stop(unfinished)

        yield look
        if request:
            request.stop(finished)


@contextmanager
def signals_end_program() -> Iterator[None]:
    """End the program by an exception on SIGTERM, SIGUSR1 and SIGHUP while inside.

    Where nothing looks at a `StopRequest`, these would end it with nothing tidied up. Ctrl-C is
    Python's own `KeyboardInterrupt`.
    """
    with _handled(SIGNALS[1:], _end_program):
        yield


def _end_program(number: int, frame: FrameType | None) -> NoReturn:
    del number, frame
    raise StoppedError("")


@contextmanager
def _handled(
    numbers: Sequence[signal.Signals], handler: Callable[[int, FrameType | None], object]
) -> Iterator[None]:
    """Take over signals that nobody handles, in the main thread, and give them back."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    nobodys = (signal.SIG_DFL, signal.default_int_handler, _end_program)
    taken = {n: before for n in numbers if (before := signal.getsignal(n)) in nobodys}
    for number in taken:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, before in taken.items():
            signal.signal(number, before)
