"""One policy for compute threads: BLAS takes the cores that the process may use, no more.

Limits that are in force already, by ``OMP_NUM_THREADS`` say, hold unless a call asks for a number.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from threadpoolctl import ThreadpoolController

CGROUP_LIMITS: Final = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
"""Where containers and batch systems set the memory."""


def usable_cores() -> int:
    """Return the cores this process may use: its affinity mask, which batch systems set."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def usable_memory() -> float:
    """Return the bytes of memory that this process may use: of the machine, or of its cgroup."""
    installed = float(os.sysconf("SC_PAGE_SIZE")) * float(os.sysconf("SC_PHYS_PAGES"))
    limits = [installed]
    for name in CGROUP_LIMITS:
        try:
            limits.append(float(name.read_text()))
        except (OSError, ValueError):  # not of this kind, or "max"
            continue
    return min(limits)


def blas_threads(count: int | None) -> AbstractContextManager[object]:
    """Return a context in which BLAS uses ``count`` threads.

    Parameters
    ----------
    count : int or None
        None takes those that BLAS has now; `usable_cores` at most in any case.
    """
    blas = ThreadpoolController().select(user_api="blas")
    present = [library["num_threads"] for library in blas.info()]
    limit: AbstractContextManager[object] = blas.limit(
        limits=min(count, usable_cores()) if count else min([usable_cores(), *present])
    )
    return limit
