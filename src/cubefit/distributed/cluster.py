"""The door to a Dask cluster: who its workers are, what they see, and how their answers come.

The scheduler, the transport and the workers are those of Dask. What CubeFit adds are checks before
any work, one policy for threads, and errors that name the mend.
"""

from __future__ import annotations

import hashlib
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import dask
import distributed
from distributed import (
    CancelledError,
    Client,
    Future,
    KilledWorker,
    LocalCluster,
    WorkerPlugin,
    get_worker,
)
from distributed.comm import CommClosedError

from cubefit import __version__
from cubefit.config import require_whole
from cubefit.errors import ClusterError, ConfigError
from cubefit.interrupts import SIGNALS
from cubefit.threads import blas_threads, usable_cores, usable_memory

logger = logging.getLogger(__name__)

POLL_S: Final = 1.0
"""Between two looks at whether anybody is left to answer."""
WORKER_WAIT_S: Final = 120.0
"""A cluster without workers is given up after this: batch systems take their time."""
QUEUE_WAIT_S: Final = 600.0
"""For workers that are asked for by number: those of a job start one after the other."""
CONNECT_S: Final = 30.0
SURVEYS: Final = 3
"""Tries to meet a worker that does not die over the question who it is."""
HEAD_BYTES: Final = 4096
"""Enough to tell a file from another of its name and length."""
OWN_WORKERS: Final = {
    # A share of the spaxels is used in every round: written to disk it would be read every round.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    # Dask has workers give memory back at once; to take it anew took 5 % of a round.
    "distributed.nanny.pre-spawn-environ": {
        "OMP_NUM_THREADS": 1,
        "MKL_NUM_THREADS": 1,
        "OPENBLAS_NUM_THREADS": 1,
        "MALLOC_TRIM_THRESHOLD_": 256 * 2**20,
        "MALLOC_MMAP_THRESHOLD_": 32 * 2**20,
    },
    # What looks after thousands of short tasks takes 3 % of a core from few long ones, which stay
    # where their data are.
    "distributed.scheduler.work-stealing": False,
    "distributed.scheduler.active-memory-manager.start": False,
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "5s",
    "distributed.worker.memory.monitor-interval": "1s",
}
"""Settings of the workers that `connected` starts."""

_one_at_a_time = threading.Lock()
"""Of a worker: a product takes all of its threads."""


class Worker(NamedTuple):
    """A worker, as it describes itself."""

    address: str
    host: str
    n_threads: int
    memory_bytes: float
    """What it may fill before Dask writes data to disk, or stops it."""
    version: str
    """Of its CubeFit."""
    fingerprint: str | None
    """Of the file as it sees it; None where it does not."""

    def __str__(self) -> str:
        """Return its name for a message."""
        return f"{self.address} on {self.host}"


def fingerprint_of(path: str) -> str | None:
    """Return what tells a file from others of its name, None where there is none to read."""
    try:
        with Path(path).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            return f"{size} {hashlib.sha256(file.read(HEAD_BYTES)).hexdigest()}"
    except OSError:
        return None


def describe_worker(path: str, dask_worker: distributed.Worker) -> Worker:
    """Return a worker, and how it sees a file; Dask puts in the worker that this runs on."""
    worker = dask_worker
    limit = float(worker.memory_manager.memory_limit or usable_memory())
    fractions = (
        worker.memory_manager.memory_target_fraction,
        worker.memory_manager.memory_spill_fraction,
        worker.memory_manager.memory_pause_fraction,
    )
    return Worker(
        address=worker.address,
        host=socket.gethostname(),
        n_threads=worker.state.nthreads,
        memory_bytes=limit * min((float(f) for f in fractions if f), default=1.0),
        version=__version__,
        fingerprint=fingerprint_of(path),
    )


@contextmanager
def all_threads() -> Iterator[None]:
    """Compute alone on this worker, with as many BLAS threads as it has threads.

    Dask runs a task per thread of a worker; were each to take BLAS threads of its own, cores would
    be asked for many times over.
    """
    with _one_at_a_time, blas_threads(get_worker().state.nthreads):
        yield


@contextmanager
def named_worker() -> Iterator[None]:
    """Let an error for want of memory say where it happened.

    Raises
    ------
    ClusterError
        In place of a MemoryError.
    """
    try:
        yield
    except MemoryError as error:
        raise ClusterError(
            f"Worker {get_worker().address} on {socket.gethostname()} is out of memory ({error}): "
            "give workers more (dask worker --memory-limit), or start more of them, so that each "
            "has fewer spaxels."
        ) from error


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
            try:
                return future.result(timeout=POLL_S)
            except TimeoutError:
                if future.status == "error":
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
            if self.n_workers():
                since, told = time.monotonic(), False
            elif time.monotonic() - since > WORKER_WAIT_S:
                raise ClusterError(
                    f"No worker is left on the Dask cluster at {self.address}, and none came for "
                    f"{WORKER_WAIT_S:.0f} s: start workers; the same call goes on from the last "
                    "checkpoint."
                )
            elif not told:
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
        self.require_scheduler()
        try:
            return dict(self.client.run(question, on_error="ignore"))
        except (CancelledError, CommClosedError, OSError, TimeoutError) as error:
            raise self._lost() from error

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
        self.require_scheduler()
        try:
            return list(self.client.nthreads())
        except (CancelledError, CommClosedError, OSError, TimeoutError) as error:
            raise self._lost() from error

    def _lost(self) -> ClusterError:
        return ClusterError(
            f"The Dask scheduler at {self.address} is lost: start it again, with workers; the same "
            "call goes on from the last checkpoint."
        )

    def _killed(self, error: KilledWorker) -> ClusterError:
        last = error.last_worker
        host = next((w.host for w in self.workers if w.address == last.address), "its machine")
        limit = last.memory_limit
        return ClusterError(
            f"Worker {last.address} on {host} died, as others before it, of the same work "
            f"({error.task}): most likely it is out of memory ({limit / 1e9:.1f} GB each). Give "
            "workers more (dask worker --memory-limit), or start more of them, so that each has "
            "fewer spaxels; the same call goes on from the last checkpoint."
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


class DeafToSignals(WorkerPlugin):  # type: ignore[misc]  # Dask has no types
    """Keeps Ctrl-C in a terminal, and signals of a batch system, for the process of the client.

    They reach every process of the terminal or job; workers that died of them would not finish what
    the client waits for before it stops.
    """

    name = "cubefit-deaf-to-signals"

    def setup(self, worker: object) -> None:
        """Run on each worker when it starts."""
        del worker
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)


@contextmanager
def connected(
    scheduler: str | None = None, n_workers: int | None = None, *, threads: int | None = None
) -> Iterator[Client]:
    """Give a client of an existing cluster, or of one that lives as long as the block.

    Parameters
    ----------
    scheduler : str, optional
        Address, say ``tcp://host:8786``; or the path of a scheduler file, say ``scheduler.json``,
        which need not be there yet.
    n_workers : int, optional
        Start so many workers here; with a scheduler, wait for so many of its own.
    threads : int, optional
        Compute threads of all of these together; default all usable cores.

    Raises
    ------
    ConfigError
        If none is given.
    ClusterError
        If nobody answers at the address, or too few workers come.
    """
    if n_workers is not None:
        require_whole("n_workers", n_workers, 1)
    if scheduler is not None:
        with _existing(scheduler) as client:
            if n_workers is not None:
                wait_for_workers(client, n_workers)
            yield client
        return
    if n_workers is None:
        raise ConfigError("Give the address of a scheduler, or a number of workers to start.")
    cores = min(threads or usable_cores(), usable_cores())
    with (
        dask.config.set(OWN_WORKERS),
        _local_cluster(n_workers, max(1, cores // n_workers)) as cluster,
        Client(cluster) as client,
    ):
        client.register_plugin(DeafToSignals())
        yield client


def _local_cluster(n_workers: int, n_threads: int) -> LocalCluster:
    """Return workers on this machine that tell warnings alone."""
    levels = {handler: handler.level for handler in logging.getLogger().handlers}
    cluster = LocalCluster(
        n_workers=n_workers,
        threads_per_worker=n_threads,
        processes=True,
        dashboard_address="127.0.0.1:0",
        silence_logs=logging.WARNING,
    )
    # It silences the handlers of the root logger, too, where Dask has none of its own.
    for handler, level in levels.items():
        handler.setLevel(level)
    return cluster


def wait_for_workers(client: Client, count: int) -> None:
    """Wait for so many workers.

    Raises
    ------
    ClusterError
        If they do not come.
    """
    try:
        client.wait_for_workers(count, timeout=QUEUE_WAIT_S)
    except TimeoutError as error:
        raise ClusterError(
            f"The Dask scheduler at {scheduler_address(client)} has {len(client.nthreads())} of "
            f"{count} workers after {QUEUE_WAIT_S:.0f} s: start them, or ask for fewer."
        ) from error


def _file_or_address(scheduler: str) -> dict[str, str]:
    """Return what a client is told; of a file that is not there yet, wait for it."""
    if "://" in scheduler or not scheduler.endswith(".json"):
        return {"scheduler_file" if Path(scheduler).is_file() else "address": scheduler}
    end = time.monotonic() + CONNECT_S
    while not Path(scheduler).is_file():
        if time.monotonic() > end:
            raise ClusterError(
                f"No Dask scheduler has written {scheduler}: start one (dask scheduler "
                "--scheduler-file), on a file system that this machine sees."
            )
        time.sleep(0.1)
    return {"scheduler_file": scheduler}


@contextmanager
def _existing(scheduler: str) -> Iterator[Client]:
    given = _file_or_address(scheduler)
    try:
        client = Client(**given, timeout=CONNECT_S)
    except (OSError, TimeoutError, ValueError) as error:
        raise ClusterError(
            f"No Dask scheduler answers at {scheduler} ({error}): start one (dask scheduler), or "
            "check address and firewall."
        ) from error
    with client:
        yield client


def submit_each(
    client: Client, function: Callable[..., Any], many: Sequence[Any], *given: Any, name: str
) -> list[Future]:
    """Submit ``function(one, *given)`` for each of many, as one message to the scheduler."""
    futures: list[Future] = client.map(
        function, many, *([item] * len(many) for item in given), pure=False, key=name
    )
    return futures
