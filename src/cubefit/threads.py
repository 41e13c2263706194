"""One policy for compute threads: BLAS takes the cores that the process may use, no more.

Limits that are in force already, by ``OMP_NUM_THREADS`` say, hold unless a call asks for a number.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from threadpoolctl import ThreadpoolController

CGROUPS: Final = Path("/sys/fs/cgroup")
OWN_CGROUPS: Final = Path("/proc/self/cgroup")


def cgroup_limits() -> Iterator[Path]:
    """Yield the files in which containers and batch systems limit this process's memory."""
    yield CGROUPS / "memory" / "memory.limit_in_bytes"
    try:
        lines = OWN_CGROUPS.read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        _, controllers, place = line.split(":", 2)
        top, name = CGROUPS, "memory.max"
        if controllers:
            if "memory" not in controllers.split(","):
                continue
            top, name = CGROUPS / "memory", "memory.limit_in_bytes"
        own = top / place.lstrip("/")
        yield from (folder / name for folder in (own, *own.parents) if folder.is_relative_to(top))


def usable_cores() -> int:
    """Return the cores this process may use: its affinity mask, which batch systems set."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def usable_memory() -> float:
    """Return the bytes of memory that this process may use: of the machine, or of its cgroup."""
    installed = float(os.sysconf("SC_PAGE_SIZE")) * float(os.sysconf("SC_PHYS_PAGES"))
    limits = [installed]
    for name in cgroup_limits():
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
