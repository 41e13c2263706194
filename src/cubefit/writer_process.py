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
"""Times that a writer which died is started anew."""


class WriterProcess:
    """A process of its own that calls a function with one end of a pipe.

    Messages wait in a bounded queue, and a thread hands them on. A process that dies is started
    anew, a few times; one that hangs loses messages. Either is said once.

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
        self._queue: queue.Queue[Any] = queue.Queue(DEPTH)
        self._starts = 0
        self._told: set[str] = set()
        self._broken = False
        self._taken = time.monotonic()
        self._closed = threading.Event()
        self._clean = False
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._start()
        except OSError as error:
            self._give_up(error)
        self._thread = threading.Thread(target=self._hand_on, name="cubefit-tracker", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        """Number of the process."""
        return -1 if self._process is None else self._process.pid

    def _start(self) -> None:
        """Start the process and greet it."""
        module, function = self._target.split(":")
        ours, theirs = Pipe()
        code = (
            f"import sys; sys.path[:] = {sys.path!r}; "
            f"from {module} import {function} as f; f({theirs.fileno()})"
        )
        self._starts += 1
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

    def offer(self, message: object) -> bool:
        """Hand over a message if the process can take it; never wait."""
        if self._broken:
            return False
        try:
            self._queue.put_nowait(message)
        except queue.Full:
            if time.monotonic() - self._taken > PATIENCE_S:
                self._tell("slow", "The tracker does not keep up (slow disk?): metrics are lost.")
            return False
        self._taken = time.monotonic()
        return True

    def _hand_on(self) -> None:
        """Send what comes through the queue; the last is None."""
        while True:
            message = self._queue.get()
            while not self._send(message) and self._revive():
                pass
            if message is None or self._broken:
                return

    def _send(self, message: object) -> bool:
        """Send a message and look for complaints; False if the process is gone."""
        try:
            self._connection.send(message)
            while message is None or self._connection.poll():
                answer = self._connection.recv()
                if isinstance(answer, bool):
                    self._clean = answer
                    self._closed.set()
                    return True
                self._tell("failed", "The tracker could not write: %s", answer)
        except (OSError, EOFError):
            return False
        return True

    def _revive(self) -> bool:
        """Start the process anew, unless it died too often or is not wanted any more."""
        if self._broken or self._process is None:
            return False
        code = self._process.wait()
        self._connection.close()
        if self._starts > RESTARTS:
            self._broken = True
            self._tell("dead", "The tracker died again (code %d): no more metrics.", code)
            return False
        self._tell("died", "The tracker died (code %d) and is started anew.", code)
        try:
            self._start()
        except OSError as error:
            self._give_up(error)
        return not self._broken

    def close(self, wait_s: float) -> bool:
        """End the process after what waits; kill it if that takes too long.

        Returns
        -------
        bool
            Whether the process dealt with the last message that it took, and ended by itself.
        """
        if self._process is None:
            return False
        with suppress(queue.Full):
            self._queue.put(None, timeout=wait_s)
        if not self._closed.wait(0.0 if self._broken else wait_s):
            self._broken = True
            self._process.kill()
        try:
            self._process.wait(wait_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._thread.join(wait_s)
        self._connection.close()
        return self._clean
