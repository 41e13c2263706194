"""Clients of clusters: of one that exists, or of one that lives as long as it is used."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import dask
from distributed import Client, LocalCluster, WorkerPlugin

from cubefit.config import require_whole
from cubefit.distributed.cluster import scheduler_address
from cubefit.errors import ClusterError, ConfigError
from cubefit.interrupts import SIGNALS
from cubefit.threads import usable_cores

QUEUE_WAIT_S: Final = 600.0
"""For workers that are asked for by number: those of a job start one after the other."""
CONNECT_S: Final = 30.0
OWN_WORKERS: Final = {
    # A share of the spaxels is used in every round: written to disk it would be read every round.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    # A worker that is paused because its share is large would be paused for ever.
    "distributed.worker.memory.pause": False,
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
