"""Small problems of every awkward kind, and one registry of operators that solve them."""

from dataclasses import dataclass, replace

import numpy as np
from hypothesis import strategies as st

from cubefit.inverse.matrix_free import MatrixFreeOperator
from cubefit.inverse.operators import StoredOperator
from cubefit.inverse.scaling import LOSVD_FLOOR

TINY_FLOAT32 = 1e-42
"""A subnormal number: PSF tails of real orbit libraries hold many."""


@dataclass(frozen=True)
class Problem:
    """What the models are made of."""

    losvd: np.ndarray
    """Shape (S, V, C), float32."""
    shifted: np.ndarray
    """Shape (V, P, L), float32."""

    @property
    def models(self):
        """The models in float64, shape (S, C, P, L)."""
        return np.einsum(
            "svc,vpl->scpl", self.losvd.astype(np.float64), self.shifted.astype(np.float64)
        )

    def uncertainty(self, kind):
        """Return how far a model of an operator may be off, shape (S, C, P, L).

        Rounding, the LOSVD values that count as zero, and the step of float32's subnormals.
        """
        faint = np.where(self.losvd < 2 * LOSVD_FLOOR * self.losvd.max(), self.losvd, 0.0)
        dropped = np.einsum("svc,vpl->scpl", faint.astype(np.float64), self.shifted)
        return kind.rounding * self.models + dropped + kind.subnormal

    @property
    def shape(self):
        """Sizes (S, C, P, L)."""
        return self.losvd.shape[0], self.losvd.shape[2], *self.shifted.shape[1:]


@dataclass(frozen=True)
class Planes:
    """A stored HyperCube in memory."""

    models: np.ndarray

    @property
    def shape(self):
        """Sizes (S, C, P, L)."""
        return self.models.shape

    def plane(self, spaxel):
        """Return the models of a spaxel."""
        return self.models[spaxel]


def random_problem(seed, sizes=(3, 4, 3, 2, 7), *, dark=0.0, losvd_unit=1.0, template_unit=1.0):
    """Return a problem of the given sizes (S, V, C, P, L).

    Parameters
    ----------
    dark : float
        Chance that a spaxel, a velocity bin, a component or one histogram holds no light;
        histogram entries are then subnormal with the same chance.
    losvd_unit, template_unit : float
        Order of magnitude.
    """
    S, V, C, P, L = sizes
    rng = np.random.default_rng(seed)
    losvd = losvd_unit * rng.uniform(0.01, 1.0, (S, V, C))
    losvd[rng.random(losvd.shape) < dark] = TINY_FLOAT32
    for shape in ((S, 1, 1), (1, V, 1), (1, 1, C), (S, 1, C)):
        losvd[np.broadcast_to(rng.random(shape) < dark, losvd.shape)] = 0.0
    shifted = template_unit * rng.uniform(0.1, 1.0, (V, P, L))
    return Problem(losvd.astype(np.float32), shifted.astype(np.float32))


@st.composite
def problem_strategy(draw):
    """Draw a problem: any axis may have length one, anything may be dark."""
    sizes = draw(st.tuples(*(st.integers(1, most) for most in (4, 5, 4, 4, 9))))
    return random_problem(
        draw(st.integers(0, 2**32 - 1)),
        sizes,
        dark=draw(st.sampled_from([0.0, 0.2, 0.6])),
        losvd_unit=draw(st.sampled_from([1e-6, 1.0])),
        template_unit=draw(st.sampled_from([1e-20, 1.0, 1e6])),
    )


@dataclass(frozen=True)
class Kind:
    """An implementation of the operator and its rounding."""

    name: str
    dtype: type

    @property
    def rounding(self):
        """Error that sums of a few hundred non-negative terms may show, relative to the sum."""
        return 1e-6 if self.dtype is np.float32 else 1e-13

    @property
    def subnormal(self):
        """Error of a model that the type holds as a subnormal number."""
        return 2e-45 if self.name == "stored" else 0.0

    def of(self, problem, spaxels=None):
        """Return the operator of a problem, or of some of its spaxels: a slice."""
        losvd, cube = problem.losvd, {}
        if spaxels is not None:
            cube = {"lit_bins": losvd.any(axis=(0, 2)), "brightest": float(losvd.max())}
            losvd = losvd[spaxels]
        if self.name == "stored":
            return StoredOperator(
                Planes(replace(problem, losvd=losvd).models.astype(self.dtype)),
                lambda: MatrixFreeOperator(losvd, problem.shifted, **cube),
            )
        return MatrixFreeOperator(losvd, problem.shifted, dtype=self.dtype, **cube)


KINDS = (
    Kind("stored", np.float32),
    Kind("matrix-free", np.float32),
    Kind("matrix-free", np.float64),
)
"""Every operator there is."""

FLOAT64 = KINDS[-1]
"""The operator that the exact solver is meant for."""
