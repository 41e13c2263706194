"""The figures of docs/scaling.md: ``python -m benchmarks.scaling``, on a quiet machine.

Compute, traffic and overhead of a round on 1, 2 and 4 workers; weak and strong scaling; what a
round costs whose shares do nothing; and from these a prediction for many nodes.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np

from benchmarks.cases import NGC4365, Sizes
from benchmarks.cluster import (
    copies_of_x,
    misfit_here,
    misfit_there,
    seconds_of_gradient,
    write_file,
)
from benchmarks.machine import seconds
from cubefit.distributed.cluster import Cluster
from cubefit.distributed.connection import connected
from cubefit.distributed.session import Session
from cubefit.distributed.shares import DaskShares
from cubefit.inverse.misfit import Misfit, chi2_of
from cubefit.inverse.operators import Float
from cubefit.inverse.shares import Share, Sums
from cubefit.threads import blas_threads, usable_cores

LARGE = Sizes(S=100_000, V=200, C=1000, P=360, L=1250)
"""A mosaic."""
NODE_RATE = 1.0e12
"""Float64 operations per second of BLAS that one node is taken to give."""
BANDWIDTH = 1.0e9
"""Bytes per second between two nodes: a tenth of today's interconnects."""
ROUNDS = 5


def timed_chi2(share: Share, x: Float) -> Sums:
    """Return what `chi2_of` does, and the processor time that it took."""
    start = time.thread_time()
    sums = chi2_of(share, x)
    return *sums, time.thread_time() - start


def nothing(held: int, x: Float) -> Sums:
    """Return a gradient without any work for it."""
    return 0.0, np.full(x.shape, float(held))


class Round(NamedTuple):
    """A round of value and gradient, medians."""

    wall_s: float
    compute_s: float
    """Processor time of all shares together."""
    copies: float
    """Copies of x that travel for each worker."""

    def overhead_s(self, n_workers: int) -> float:
        """Return what is not compute, where each worker has a core if there are enough."""
        return self.wall_s - self.compute_s / min(n_workers, usable_cores())


def measured(misfit: Misfit) -> Round:
    """Return a round on workers of one thread."""
    x = np.random.default_rng(1).random(misfit.shape[1:3])
    misfit.shares.total(timed_chi2, x)
    walls, computes = [], []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        *_, compute = misfit.shares.total(timed_chi2, x)
        walls.append(time.perf_counter() - start)
        computes.append(compute)
    return Round(median(walls), median(computes), copies_of_x(misfit))


def seconds_of_nothing(path: Path, n_shares: int, n_weights: int) -> float:
    """Return the time of a round of many shares, on two workers, in which nothing is computed."""
    with connected(n_workers=2, threads=2) as client:
        session = Session(Cluster(client, path))
        shares: DaskShares[int] = DaskShares(session, session.submit_each(int, range(n_shares)))
        x = np.random.default_rng(1).random((1, n_weights))
        return seconds(lambda: shares.total(nothing, x))


def flops_of_round(sizes: Sizes, n_spaxels: float) -> float:
    """Return the operations of ``A x`` and ``A^T r`` of some spaxels, by the cheaper route."""
    _, V, C, P, L = sizes
    components = L * C * (P + n_spaxels)
    populations = P * n_spaxels * (L + C)
    return 4.0 * V * min(components, populations)


def predicted(sizes: Sizes, n_nodes: int, step_s: float, task_s: float) -> tuple[float, float]:
    """Return compute and the rest of a round on many nodes, one share each.

    Parameters
    ----------
    sizes : Sizes
        Of the cube.
    n_nodes : int
        Nodes.
    step_s : float
        Latency of a step: x out, the shares' work, and each level of the additions.
    task_s : float
        Time that the scheduler takes for a task.
    """
    compute = flops_of_round(sizes, sizes.S / n_nodes) / NODE_RATE
    levels = int(np.ceil(np.log(n_nodes) / np.log(4.0))) if n_nodes > 1 else 1
    n_tasks = 1 + n_nodes + sum(int(np.ceil(n_nodes / 4**k)) for k in range(1, levels + 1))
    n_bytes = 8.0 * sizes.C * sizes.P
    # A worker passes x on to others, one after the other, as it gets three gradients at a level.
    passes = np.log2(max(n_nodes, 2)) + 3 * levels
    return compute, (2 + levels) * step_s + n_tasks * task_s + passes * n_bytes / BANDWIDTH


def main() -> None:
    """Print the tables."""
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole.h5"
        write_file(whole)
        for threads in (1, 2):
            with blas_threads(threads):
                wall_s = seconds_of_gradient(misfit_here(whole))
            print(f"one process, {threads} BLAS threads: {wall_s:.2f} s")
        print("strong scaling, S=2854\nworkers  wall s  compute s  overhead ms  copies of x")
        for n in (1, 2, 4):
            with misfit_there(whole, n, threads=n) as misfit:
                row = measured(misfit)
            print(
                f"{n:7d} {row.wall_s:7.2f} {row.compute_s:10.2f} "
                f"{1e3 * row.overhead_s(n):12.0f} {row.copies:12.2f}"
            )
        print("weak scaling, 1427 spaxels a worker")
        for n in (1, 2):
            part = Path(folder) / f"{n}.h5"
            write_file(part, NGC4365._replace(S=1427 * n))
            with misfit_there(part, n, threads=n) as misfit:
                print(f"{n:7d} {measured(misfit).wall_s:7.2f} s")
        print("rounds without work on two workers, ms: shares, x of 1, of 74,520, of 360,000")
        for n in (2, 8, 32, 128, 512):
            times = [1e3 * seconds_of_nothing(whole, n, size) for size in (1, 74_520, 360_000)]
            print(f"{n:7d} " + " ".join(f"{t:9.1f}" for t in times))
        small = seconds_of_nothing(whole, 2, 1)
        many = seconds_of_nothing(whole, 512, 1)
    n_tasks = 1 + 512 + 128 + 32 + 8 + 2 + 1
    step_s, task_s = small / 3, (many - small) / n_tasks
    print(f"step {1e3 * step_s:.1f} ms, task {1e3 * task_s:.2f} ms\nprediction, S=1e5: nodes, s")
    for n in (1, 8, 64, 512):
        compute, rest = predicted(LARGE, n, step_s, task_s)
        print(f"{n:7d} compute {compute:8.2f} rest {rest:6.2f} round {compute + rest:8.2f}")


if __name__ == "__main__":
    main()
