"""What runs on a worker: who it is, its threads, and errors that say where they happened."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import distributed
from distributed import get_worker

from cubefit import __version__
from cubefit.errors import ClusterError, StaleError, StoreError
from cubefit.threads import blas_threads, usable_memory

HEAD_BYTES: Final = 4096
"""Enough to tell a file from another of its name and length."""
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


@contextmanager
def named_reader() -> Iterator[None]:
    """Let an error over the file say which worker cannot read it: one that came later, say.

    Raises
    ------
    ClusterError
        In place of a StoreError, but for a StaleError, which is nobody's fault here.
    """
    try:
        yield
    except StaleError:
        raise
    except StoreError as error:
        raise ClusterError(
            f"Worker {get_worker().address} on {socket.gethostname()} cannot read its spaxels: "
            f"{error} Workers must see the file under the same path."
        ) from error
