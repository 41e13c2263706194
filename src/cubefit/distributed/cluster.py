"""The door to a Dask cluster: who its workers are, what they see, and how their answers come.

The scheduler, the transport and the workers are those of Dask. What CubeFit adds are checks before
any work, one policy for threads, and errors that name the mend.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import distributed
from distributed import (
    CancelledError,
    Client,
    Future,
    KilledWorker,
)
from distributed.comm import CommClosedError

from cubefit import __version__
from cubefit.distributed.on_worker import Worker, describe_worker, fingerprint_of
from cubefit.errors import ClusterError, ConfigError

logger = logging.getLogger(__name__)

POLL_S: Final = 1.0
"""Between two looks at whether anybody is left to answer."""
WORKER_WAIT_S: Final = 120.0
"""A cluster without workers is given up after this: batch systems take their time."""
PAUSE_WAIT_S: Final = 30.0
"""Dask pauses workers whose memory is nearly full; those that hold shares do not recover."""
SURVEYS: Final = 3
"""Tries to meet a worker that does not die over the question who it is."""


def status_by_address(dask_scheduler: distributed.Scheduler) -> dict[str, str]:
    """Return the status of each worker; Dask puts in the scheduler that this runs on."""
    return {address: state.status.name for address, state in dask_scheduler.workers.items()}


class Cluster:
    """A connected cluster whose workers see a file.

    Parameters
    ----------
    client : distributed.Client
        Connected.
    path : Path
        The file that the workers are to read.

    Raises
    ------
    ClusterError
        If there is no worker, or one has another CubeFit or does not see the file.
    """

    def __init__(self, client: Client, path: Path) -> None:
        self.client = require_client(client)
        self.path = path.resolve()
        self.workers = self._survey()

    def _answers(self) -> dict[str, Any]:
        """Return what the workers say of themselves; one that dies meanwhile does not count."""
        for _ in range(SURVEYS):
            try:
                self.client.wait_for_workers(1, timeout=WORKER_WAIT_S)
                found = self.client.run(describe_worker, str(self.path), on_error="return")
            except (TimeoutError, OSError, CancelledError) as error:
                raise ClusterError(
                    f"The Dask cluster at {self.address} has no worker that answers: start workers "
                    f"(dask worker {self.address}), and check that they are alive."
                ) from error
            # A lost connection is an OSError; the worker itself raises none.
            alive = {a: said for a, said in found.items() if not isinstance(said, OSError)}
            if alive:
                return alive
            time.sleep(POLL_S)
        return dict(found)

    def _survey(self) -> list[Worker]:
        found = self._answers()
        for address, answer in found.items():
            if isinstance(answer, Exception):
                raise ClusterError(
                    f"Worker {address} cannot run CubeFit ({answer}): install CubeFit {__version__}"
                    " with its extra [distributed] where its workers run."
                ) from answer
        workers: list[Worker] = sorted(found.values())
        other = [w for w in workers if w.version != __version__]
        if other:
            raise ClusterError(
                f"Worker {other[0]} has CubeFit {other[0].version}, this is {__version__}: install "
                "the same version everywhere."
            )
        mine = fingerprint_of(str(self.path))
        blind = [w for w in workers if w.fingerprint != mine]
        if blind:
            what = "does not see" if blind[0].fingerprint is None else "sees another file as"
            raise ClusterError(
                f"Worker {blind[0]} {what} {self.path} ({len(blind)} of {len(workers)} workers): "
                "workers read their spaxels from the file themselves, so put it on a file system "
                "that all of them share, under the same path."
            )
        return workers

    @property
    def address(self) -> str:
        """Of the scheduler."""
        return scheduler_address(self.client)

    def result(self, future: Future) -> Any:
        """Return the answer to come, for as long as there is anybody to give it.

        Raises
        ------
        ClusterError
            If the scheduler is lost, workers die of the same task again and again, or none is left.
        """
        look = self.patience()
        while True:
            # It may fail in the moment in which our own patience ends.
            has_failed = future.status == "error"
            try:
                return future.result(timeout=None if has_failed else POLL_S)
            except TimeoutError:
                if has_failed:
                    raise
            except KilledWorker as error:
                raise self._killed(error) from error
            except (CancelledError, CommClosedError) as error:
                raise self._lost() from error
            look()

    def patience(self) -> Callable[[], None]:
        """Return what one who waits for answers is to call now and then.

        It raises ClusterError where the scheduler is lost, or no worker has been left for long.
        """
        since, told = time.monotonic(), False

        def look() -> None:
            nonlocal since, told
            status: dict[str, str] = self.ask_scheduler(status_by_address)
            if "running" in status.values():
                since, told = time.monotonic(), False
            elif status and time.monotonic() - since > PAUSE_WAIT_S:
                raise ClusterError(
                    f"Worker {next(iter(status))} is {next(iter(status.values()))} by Dask, as all "
                    "others are: its memory is full. Give workers more (dask worker "
                    "--memory-limit), or start more of them; the same call goes on from what is "
                    "safe."
                )
            elif time.monotonic() - since > WORKER_WAIT_S:
                raise ClusterError(
                    f"No worker is left on the Dask cluster at {self.address}, and none came for "
                    f"{WORKER_WAIT_S:.0f} s: start workers; the same call goes on from "
                    "what is safe."
                )
            elif not status and not told:
                logger.warning(
                    "No worker is left at %s: waiting %.0f s for one.", self.address, WORKER_WAIT_S
                )
                told = True

        return look

    def results(self, futures: Sequence[Future]) -> list[Any]:
        """Return several answers, see `result`."""
        return [self.result(future) for future in futures]

    def require_scheduler(self) -> None:
        """Raise ClusterError if the scheduler is known to be lost."""
        if self.client.status != "running":
            raise self._lost()

    def ask_all(self, question: Callable[..., Any]) -> dict[str, Any]:
        """Return the answers of the workers that give one, by address.

        Raises
        ------
        ClusterError
            If the scheduler is lost.
        """
        with self._or_lost():
            return dict(self.client.run(question, on_error="ignore"))

    def ask_scheduler(self, question: Callable[..., Any], *given: Any) -> Any:
        """Return the answer of the scheduler.

        Raises
        ------
        ClusterError
            If it is lost.
        """
        with self._or_lost():
            return self.client.run_on_scheduler(question, *given)

    def n_workers(self) -> int:
        """Return how many workers are alive now."""
        return len(self.addresses())

    def addresses(self) -> list[str]:
        """Return the addresses of the workers that are alive now.

        Raises
        ------
        ClusterError
            If the scheduler is lost.
        """
        with self._or_lost():
            return list(self.client.nthreads())

    @contextmanager
    def _or_lost(self) -> Iterator[None]:
        """Let an error of the connection say that the scheduler is lost."""
        self.require_scheduler()
        try:
            yield
        except (CancelledError, CommClosedError, OSError, TimeoutError) as error:
            raise self._lost() from error

    def _lost(self) -> ClusterError:
        return ClusterError(
            f"The Dask scheduler at {self.address} is lost: start it again, with workers; the same "
            "call goes on from what is safe."
        )

    def _killed(self, error: KilledWorker) -> ClusterError:
        last = error.last_worker
        host = next((w.host for w in self.workers if w.address == last.address), "its machine")
        limit = last.memory_limit
        return ClusterError(
            f"Worker {last.address} on {host} died, as others before it, of the same work "
            f"({error.task}): most likely it is out of memory ({limit / 1e9:.1f} GB each). Give "
            "workers more (dask worker --memory-limit), or start more of them, so that each has "
            "fewer spaxels; the same call goes on from what is safe."
        )


def scheduler_address(client: Client) -> str:
    """Return the address of a client's scheduler."""
    scheduler = client.scheduler
    return "an unknown address" if scheduler is None else str(scheduler.address)


def require_client(client: object) -> Client:
    """Return a connected client, or refuse what is none.

    Raises
    ------
    ConfigError
        If it is none, or asynchronous.
    ClusterError
        If it is closed.
    """
    if not isinstance(client, Client) or client.asynchronous:
        raise ConfigError(f"client={client!r}: give a distributed.Client (not asynchronous).")
    if client.status != "running":
        raise ClusterError(
            f"The Dask client is {client.status}: connect anew, distributed.Client(ADDRESS)."
        )
    return client
