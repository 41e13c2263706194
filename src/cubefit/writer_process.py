"""A process that takes messages without ever making the sender wait."""

from __future__ import annotations

import logging
import queue
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, Final

from cubefit.interrupts import SIGNALS

logger = logging.getLogger(__name__)

DEPTH: Final = 4
"""Messages that may wait; a fuller queue means a writer that does not keep up."""
PATIENCE_S: Final = 10.0
"""A process that takes nothing for so long is reported; a start takes a second."""
RESTARTS: Final = 3
"""Times an hour that a process which died is started anew."""
HOUR_S: Final = 3600.0


class WriterProcess:
    """A process of its own that calls a function with one end of a pipe.

    Messages wait in a bounded queue, and a thread hands them on. A process that dies is started
    anew, a few times an hour; one that hangs loses messages. Either is said once.

    Parameters
    ----------
    target : str
        ``module:function``, called with the number of a descriptor to make a `Connection` of. Over
        it come ``hello``, the messages, and None; a string back is a complaint, and a bool, the
        answer to None, tells whether the last message was dealt with.
    hello : object
        The first message.
    inherited : tuple of int
        Descriptors that stay open in the process: the writer lock.
    """

    # subprocess and not multiprocessing, whose spawned child runs the user's script again: one
    # without `if __name__ == "__main__"` would fail.

    def __init__(self, target: str, hello: object, inherited: tuple[int, ...] = ()) -> None:
        self._target = target
        self._hello = hello
        self._inherited = inherited
        # Bounded by `offer`: the last message, which ends it all, never waits for room.
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._starts: list[float] = []
        self._lost = False
        self._told: set[str] = set()
        self._broken = False
        self._taken = time.monotonic()
        self._clean = False
        self._process: subprocess.Popen[bytes] | None = None
        self._is_dead = False
        self._thread = threading.Thread(target=self._hand_on, name="cubefit-tracker", daemon=True)
        try:
            self._start()
            self._thread.start()
        except (OSError, RuntimeError, TypeError) as error:
            # No memory, no more threads, a Python without an executable.
            self._give_up(error)

    @property
    def pid(self) -> int | None:
        """Number of the process that was started last; None if none could be."""
        return None if self._process is None else self._process.pid

    def _start(self) -> None:
        """Start the process and greet it."""
        module, function = self._target.split(":")
        ours, theirs = Pipe()
        code = (
            f"import sys; sys.path[:] = {[str(place) for place in sys.path]!r}; "
            f"from {module} import {function} as f; f({theirs.fileno()})"
        )
        self._starts.append(time.monotonic())
        # A terminal and a batch system send signals to the whole job, and the sender knows what to
        # do. The process inherits the mask, so that they are blocked from its first moment on.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter
                [sys.executable, "-c", code],
                pass_fds=(theirs.fileno(), *self._inherited),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            theirs.close()
        self._connection: Connection[Any, Any] = ours
        self._is_dead = False
        with suppress(OSError):
            # A process that is gone already is noticed by the next message.
            ours.send(self._hello)

    def _give_up(self, reason: object) -> None:
        self._broken = True
        self._tell("dead", "The tracker cannot be started (%s): no metrics are written.", reason)

    def _tell(self, kind: str, message: str, *values: object) -> None:
        if kind not in self._told:
            self._told.add(kind)
            logger.warning(message, *values)

    @property
    def _is_resting(self) -> bool:
        """Whether the process died so often within an hour that it is left alone for now."""
        recent = [start for start in self._starts if time.monotonic() - start < HOUR_S]
        return self._is_dead and len(recent) > RESTARTS

    def has_lost(self) -> bool:
        """Whether messages were lost since this was asked last."""
        lost, self._lost = self._lost, False
        return lost

    def can_take(self) -> bool:
        """Whether a message offered now would be taken."""
        return not (self._broken or self._is_resting or self._queue.qsize() >= DEPTH)

    def offer(self, message: object) -> bool:
        """Hand over a message if the process can take it; never wait."""
        if self._broken or self._is_resting:
            return False
        if self._queue.qsize() >= DEPTH:
            if time.monotonic() - self._taken > PATIENCE_S:
                self._tell("slow", "The tracker does not keep up (slow disk?): metrics are lost.")
            return False
        self._queue.put(message)
        self._taken = time.monotonic()
        return True

    def _hand_on(self) -> None:
        """Send what comes through the queue; the last is None."""
        while True:
            message = self._queue.get()
            # What a process had got dies with it: one started for the last word would hide that.
            while not self._send(message) and message is not None and self._revive():
                self._lost = True
            if message is None or self._broken:
                return

    def _send(self, message: object) -> bool:
        """Send a message and look for complaints; False if the process is gone."""
        if self._is_dead:
            return False
        with suppress(OSError):
            # Of a process that is gone, the last words are to be heard.
            self._connection.send(message)
        try:
            while message is None or self._connection.poll():
                answer = self._connection.recv()
                if isinstance(answer, bool):
                    self._clean = answer
                    return True
                self._lost = True
                self._tell("failed", "The tracker: %s", answer)
        except (OSError, EOFError):
            return False
        return True

    def _revive(self) -> bool:
        """Start the process anew, unless it died too often or is not wanted any more."""
        if self._broken or self._process is None or self._is_resting:
            return False
        if not self._is_dead:
            code = self._process.wait()
            self._connection.close()
            self._is_dead = True
            if self._is_resting:
                self._tell(
                    "dead", "The tracker died again (code %d): no metrics for an hour.", code
                )
                return False
            self._tell("died", "The tracker died (code %d) and is started anew.", code)
        try:
            self._start()
        except OSError as error:
            self._give_up(error)
        return not self._broken

    def close(self, wait_s: float) -> bool:
        """End the process after what waits; kill it if that takes too long. Twice is once.

        Returns
        -------
        bool
            Whether the process dealt with the last message that it took, and ended by itself.
        """
        self._queue.put(None)
        if self._thread.ident is not None:
            self._thread.join(wait_s)
        self._broken = True
        if self._process is None:
            return False
        if self._thread.is_alive():
            self._tell("hangs", "The tracker hangs and was ended: its last metrics are lost.")
            self._process.kill()
            self._thread.join(PATIENCE_S)
        try:
            self._process.wait(wait_s)
        except subprocess.TimeoutExpired:
            # It hangs at its end, or the thread had just started it.
            self._process.kill()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(PATIENCE_S)
        self._connection.close()
        return self._clean

    @property
    def is_gone(self) -> bool:
        """Whether the process has ended: one that a dead disk holds cannot even be killed."""
        return self._process is None or self._process.poll() is not None
