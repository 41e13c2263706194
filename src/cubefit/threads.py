"""One policy for compute threads: BLAS takes the cores that the process may use, no more."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager

from threadpoolctl import threadpool_limits


def usable_cores() -> int:
    """Return the cores this process may use: its affinity mask, which batch systems set."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def blas_threads(count: int | None) -> AbstractContextManager[object]:
    """Return a context in which BLAS uses ``count`` threads, by default `usable_cores`."""
    limit: AbstractContextManager[object] = threadpool_limits(
        limits=count or usable_cores(), user_api="blas"
    )
    return limit
