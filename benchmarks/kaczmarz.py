"""One matrix-free Kaczmarz epoch against a compiled loop over the same rows."""

from __future__ import annotations

import time

import numba
import numpy as np
from numpy.typing import NDArray

from benchmarks.cases import medium_observed, medium_operator
from benchmarks.machine import peak_memory_gb
from cubefit.config import SolverCfg
from cubefit.inverse.kaczmarz import KaczmarzState, draw_pixels, spaxel_order, sweeps

CONFIG = SolverCfg(epochs=1, pixels_per_aperture=256)


@numba.njit(fastmath=True, parallel=True)
def project_each_row(
    rows: NDArray[np.float32], data: NDArray[np.float64], x: NDArray[np.float64], lr: float
) -> None:
    """Project ``x`` onto the rows (K, C*P) one by one, then onto x >= 0."""
    for k in range(rows.shape[0]):
        dot, energy = 0.0, 0.0
        for j in numba.prange(rows.shape[1]):
            dot += rows[k, j] * x[j]
            energy += rows[k, j] * rows[k, j]
        if energy > 0:
            step = lr * (data[k] - dot) / energy
            for j in numba.prange(rows.shape[1]):
                x[j] += step * rows[k, j]
    for j in range(x.size):
        x[j] = max(x[j], 0.0)


class MediumEpoch:
    """K = 256 rows of each of 293 spaxels, 18,000 unknowns."""

    timeout = 600

    def setup(self) -> None:
        self.operator, self.observed = medium_operator(), medium_observed()
        self.start = np.zeros(self.operator.shape[1:3])
        self.row_loop(n_spaxels=1)

    def row_loop(self, n_spaxels: int | None = None) -> NDArray[np.float64]:
        """Run the reference: the same rows in the same order, formed and projected one by one."""
        x, used, scale = self.start.ravel().copy(), self.observed.used, 1.0
        for s in spaxel_order(self.operator.shape[0], CONFIG, 0)[:n_spaxels]:
            rng = np.random.default_rng([CONFIG.seed, 0, s])
            pixels = draw_pixels(used[s], CONFIG, rng)
            rows = self.operator.rows(int(s), pixels)
            # Components without light in the spaxel have no place in its rows.
            formed = np.zeros((pixels.size, *self.start.shape), np.float32)
            formed[:, rows.components] = np.matmul(rows.losvd.T, rows.shifted)
            # In the rows' own scale the unknowns are x times that scale; projections are the same.
            project_each_row(
                formed.reshape(pixels.size, -1), self.observed.data[s, pixels], x, CONFIG.lr
            )
            scale = rows.scale
        return x / scale

    def epoch(self) -> NDArray[np.float64]:
        """Run one epoch of the solver."""
        x = self.start
        for state in sweeps(self.operator, self.observed, CONFIG, KaczmarzState(x=self.start)):
            x = state.x
        return x

    def track_speed_over_row_loop(self) -> float:
        """Median of three: seconds of the row loop over seconds of the epoch."""
        ratios = []
        for _ in range(3):
            start = time.perf_counter()
            reference = self.row_loop()
            middle = time.perf_counter()
            found = self.epoch()
            end = time.perf_counter()
            assert np.abs(found.ravel() - reference).max() < 1e-3 * reference.max()
            ratios.append((middle - start) / (end - middle))
        return sorted(ratios)[1]

    def track_seconds_of_epoch(self) -> float:
        times = []
        for _ in range(3):
            start = time.perf_counter()
            self.epoch()
            times.append(time.perf_counter() - start)
        return sorted(times)[1]

    def track_seconds_of_row_loop(self) -> float:
        start = time.perf_counter()
        self.row_loop()
        return time.perf_counter() - start

    def track_peak_memory_gb(self) -> float:
        self.epoch()
        return peak_memory_gb()
