"""Starts victims and kills them."""

import logging
import multiprocessing
import os
import signal
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass, field

from tests.faults.injection import NoFault

CONTEXT = multiprocessing.get_context("forkserver")
# Its server runs no thread and no BLAS, so that forks of it are safe; and they cost no import.
CONTEXT.set_forkserver_preload(["cubefit.pipeline_runner", "cubefit.hypercube_builder"])
DEADLINE_S = 120.0
"""Nothing here takes longer, on a busy machine neither."""


@dataclass
class Outcome:
    """How a victim ended, and what it told."""

    killed: bool
    """Whether its fault ended it, not it itself."""
    result: object = None
    told: dict[str, list] = field(default_factory=dict)


def be_victim(work, path, fault, settings, connection):
    """Work until killed, telling the parent."""
    os.setpgid(0, 0)
    # Writers that die are what this is about: their warnings would drown the table.
    logging.getLogger("cubefit").setLevel(logging.ERROR)

    def tell(*message):
        with suppress(OSError):
            connection.send(message)

    try:
        fault.arm()
        tell("started")
        tell("ended", work(path, tell, **settings))
    except BaseException:  # noqa: BLE001 - the parent judges
        tell("failed", traceback.format_exc())


class Victim:
    """A process at work on a file."""

    def __init__(self, work, path, fault=None, **settings):
        self._connection, theirs = CONTEXT.Pipe()
        arguments = work, path, fault or NoFault(), settings, theirs
        self._process = CONTEXT.Process(target=be_victim, args=arguments)
        self._process.start()
        theirs.close()
        self.told = {}
        self.listen_until("started")
        self._outcome = None

    @property
    def pid(self):
        return self._process.pid

    @property
    def over(self):
        """Whether it has told everything it ever will."""
        return "over" in self.told

    def listen(self, seconds):
        """Take what it tells for so long, or until it is gone."""
        deadline = time.monotonic() + seconds
        while not self.over and self._take(deadline):
            pass

    def _take(self, deadline):
        """Take the next thing that it tells; False if there is none before the deadline."""
        if not self._connection.poll(max(deadline - time.monotonic(), 0)):
            return False
        try:
            kind, *facts = self._connection.recv()
        except (EOFError, OSError):
            kind, facts = "over", []
        self.told.setdefault(kind, []).extend(facts or [True])
        return True

    def listen_until(self, kind):
        """Take what it tells until it tells that."""
        deadline = time.monotonic() + DEADLINE_S
        while kind not in self.told and not self.over:
            assert self._take(deadline), f"A victim did not tell {kind!r} in time."

    def kill(self, *, group=False):
        """Kill it now, with its own children if wanted."""
        if self.over or self._outcome is not None:
            return
        pid = self._process.pid
        # A signal to 0 or -1 would reach far more than the victim.
        assert pid is not None
        assert pid > 1
        with suppress(ProcessLookupError):
            (os.killpg if group else os.kill)(pid, signal.SIGKILL)

    def end(self, refusal=None):
        """Wait for its end.

        Parameters
        ----------
        refusal : str, optional
            Words of an error by which its fault may end it.

        Raises
        ------
        AssertionError
            If it failed by itself.
        """
        if self._outcome is not None:
            return self._outcome
        self.listen_until("over")
        self._process.join(DEADLINE_S)
        assert self._process.exitcode is not None, "A victim did not end."
        code = self._process.exitcode
        self._process.close()
        (failure,) = self.told.get("failed", [""])
        refused = refusal is not None and refusal in failure
        assert refused or not failure, failure
        stopped = refused or code == -signal.SIGKILL
        assert stopped or "ended" in self.told, f"It ended with code {code}."
        (result,) = self.told.get("ended", [None])
        self._outcome = Outcome("ended" not in self.told, result, self.told)
        return self._outcome


def run(work, path, fault=None, **settings):
    """Run a victim to its end, whichever that is."""
    return Victim(work, path, fault, **settings).end()
