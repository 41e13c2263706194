"""The cases that benchmarks run on."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from cubefit.demo import Mock, make_mock
from cubefit.inverse.matrix_free import MatrixFreeOperator
from cubefit.inverse.observed import Observed
from cubefit.spectra.shifted_templates import shifted_templates


class Sizes(NamedTuple):
    """Sizes of a fit."""

    S: int
    V: int
    C: int
    P: int
    L: int

    @property
    def flops(self) -> float:
        """Floating-point operations of one ``A x``, and of one ``A^T r``."""
        return 2.0 * self.V * self.C * self.L * (self.P + self.S)


NGC4365 = Sizes(S=2854, V=201, C=207, P=360, L=724)


def random_operator(sizes: Sizes, dtype: DTypeLike = np.float32) -> MatrixFreeOperator:
    """Return an operator of random non-negative inputs."""
    rng = np.random.default_rng(0)
    losvd = rng.random((sizes.S, sizes.V, sizes.C), dtype=np.float32)
    shifted = rng.random((sizes.V, sizes.P, sizes.L), dtype=np.float32)
    return MatrixFreeOperator(losvd, shifted, dtype=dtype)


@cache
def medium_mock() -> Mock:
    """Return the demo's medium galaxy: a real orbit library, subnormal values and all."""
    return make_mock("medium")


@cache
def medium_shifted() -> NDArray[np.floating]:
    """Return the shifted templates (V, P, L) of the medium case, of equal light.

    With equal mass, old stars are 100 times fainter than young ones and Kaczmarz sweeps crawl: see
    `benchmarks.template_scaling`.
    """
    arrays = medium_mock().arrays
    templates = arrays["templates"].reshape(arrays["templates"].shape[0], -1).T
    templates = templates / medium_mock().light[:, None]
    return shifted_templates(templates, arrays["tem_pix"], arrays["obs_pix"], arrays["vel_pix"])


@cache
def medium_operator() -> MatrixFreeOperator:
    """Return the matrix-free operator of the medium case."""
    return MatrixFreeOperator(medium_mock().arrays["losvd"], medium_shifted())


@cache
def medium_observed() -> Observed:
    """Return data and noise of the medium case."""
    arrays = medium_mock().arrays
    return Observed.of(arrays["datacube"], noise=arrays["noise"])


def medium_sizes() -> Sizes:
    """Return the sizes of the medium case."""
    S, V, C = medium_mock().arrays["losvd"].shape
    _, P, L = medium_shifted().shape
    return Sizes(S=S, V=V, C=C, P=P, L=L)
