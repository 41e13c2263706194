"""What this machine can do at best: the yardsticks of every ratio."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

REPEATS = 5


def seconds(action: Callable[[], object], repeats: int = REPEATS) -> float:
    """Return the median time of ``action`` after one warm-up call."""
    action()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return median(times)


def fraction_of_sgemm(
    action: Callable[[], object], flops: float, *, size: int = 4096, repeats: int = 7
) -> float:
    """Return the rate of ``action`` over that of a square float32 product on all usable cores.

    Both are timed in turns, so that a machine that slows down slows both; medians are compared.
    """
    rng = np.random.default_rng(0)
    a = rng.random((size, size), dtype=np.float32)
    b = rng.random((size, size), dtype=np.float32)
    out = np.empty_like(a)
    times: list[tuple[float, float]] = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        np.matmul(a, b, out=out)
        middle = time.perf_counter()
        action()
        times.append((middle - start, time.perf_counter() - middle))
    yardstick, found = np.median(times[1:], axis=0)
    return float((flops / found) / (2.0 * size**3 / yardstick))


def sequential_write_bytes_per_s(folder: Path, n_bytes: int, block: int = 64 * 2**20) -> float:
    """Return the rate of writing a new file from one buffer, the final fsync included."""
    buffer = np.random.default_rng(0).bytes(block)
    path = folder / "sequential.bin"
    start = time.perf_counter()
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        written = 0
        while written < n_bytes:
            written += os.write(fd, buffer[: n_bytes - written])
        os.fsync(fd)
    finally:
        os.close(fd)
    elapsed = time.perf_counter() - start
    path.unlink()
    return n_bytes / elapsed


def peak_memory_gb() -> float:
    """Return the largest resident size of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
