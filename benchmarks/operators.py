"""The matrix-free operator against the machine's own float32 matrix product."""

from __future__ import annotations

from functools import partial

import numpy as np

from benchmarks.cases import NGC4365, Sizes, medium_operator, medium_sizes, random_operator
from benchmarks.machine import fraction_of_sgemm, peak_memory_gb, seconds
from cubefit.inverse.routes import ThroughComponents, ThroughPopulations

ROUTES = (ThroughComponents, ThroughPopulations)


class RandomNGC4365:
    """``A x`` and ``A^T r`` at NGC 4365 size, whose HyperCube would take 616 GB."""

    timeout = 600

    def setup(self) -> None:
        self.operator = random_operator(NGC4365)
        rng = np.random.default_rng(1)
        self.x = rng.random((NGC4365.C, NGC4365.P))
        self.residual = rng.standard_normal((NGC4365.S, NGC4365.L))

    def track_fraction_of_sgemm(self) -> float:
        return fraction_of_sgemm(self.pair, 2.0 * NGC4365.flops)

    def pair(self) -> None:
        """Run ``A x`` and ``A^T r`` once."""
        self.operator.matvec(self.x)
        self.operator.rmatvec(self.residual)

    def track_seconds_of_pair(self) -> float:
        return seconds(self.pair)

    def track_peak_memory_gb(self) -> float:
        self.pair()
        return peak_memory_gb()


class MediumOrbitLibrary:
    """``A x`` on a real orbit library as it is, with its subnormal LOSVD values."""

    def setup(self) -> None:
        self.operator = medium_operator()
        self.x = np.random.default_rng(1).random(self.operator.shape[1:3])

    def track_fraction_of_sgemm(self) -> float:
        flops = medium_sizes().flops
        return fraction_of_sgemm(lambda: self.operator.matvec(self.x), flops, repeats=25)


class FewSpaxels:
    """Few spaxels of many components (V=100, C=400, P=150, L=500): both orders of products."""

    def _ratio(self, n_spaxels: int) -> float:
        sizes = Sizes(S=n_spaxels, V=100, C=400, P=150, L=500)
        operator = random_operator(sizes, np.float64)
        x = np.random.default_rng(1).random((sizes.C, sizes.P))
        residual = np.ones((sizes.S, sizes.L))
        routes = [kind(operator._kernels, operator._shifted) for kind in ROUTES]  # noqa: SLF001

        def pair(route: int) -> None:
            routes[route].spectra(x, sizes.S)
            routes[route].gradient(residual, sizes.C)

        return seconds(partial(pair, 0)) / seconds(partial(pair, 1))

    def setup(self) -> None:
        pass

    def track_gain_of_8_spaxels(self) -> float:
        return self._ratio(8)

    def track_gain_of_200_spaxels(self) -> float:
        return self._ratio(200)
