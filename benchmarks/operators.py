"""The matrix-free operator against the machine's own float32 matrix product."""

from __future__ import annotations

import numpy as np

from benchmarks.cases import NGC4365, medium_operator, medium_sizes, random_operator
from benchmarks.machine import peak_memory_gb, seconds, sgemm_flops_per_s


class RandomNGC4365:
    """``A x`` and ``A^T r`` at NGC 4365 size, whose HyperCube would take 616 GB."""

    timeout = 600

    def setup(self) -> None:
        self.operator = random_operator(NGC4365)
        rng = np.random.default_rng(1)
        self.x = rng.random((NGC4365.C, NGC4365.P))
        self.residual = rng.standard_normal((NGC4365.S, NGC4365.L))

    def track_fraction_of_sgemm(self) -> float:
        pair = seconds(
            lambda: (self.operator.matvec(self.x), self.operator.rmatvec(self.residual)), repeats=3
        )
        return 2.0 * NGC4365.flops / pair / sgemm_flops_per_s()

    def track_seconds_of_pair(self) -> float:
        return seconds(
            lambda: (self.operator.matvec(self.x), self.operator.rmatvec(self.residual)), repeats=3
        )

    def track_peak_memory_gb(self) -> float:
        self.operator.rmatvec(self.operator.matvec(self.x))
        return peak_memory_gb()


class MediumOrbitLibrary:
    """``A x`` on a real orbit library as it is, with its subnormal LOSVD values."""

    def setup(self) -> None:
        self.operator = medium_operator()
        self.x = np.random.default_rng(1).random(self.operator.shape[1:3])

    def track_fraction_of_sgemm(self) -> float:
        elapsed = seconds(lambda: self.operator.matvec(self.x), repeats=15)
        return medium_sizes().flops / elapsed / sgemm_flops_per_s()
