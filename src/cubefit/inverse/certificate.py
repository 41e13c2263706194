"""How far an x is from the optimum: a duality gap that bounds it from above."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cubefit.errors import InputError
from cubefit.inverse.misfit import Misfit
from cubefit.inverse.objective import Evaluation
from cubefit.inverse.operators import Float

FITTED: Final = 1e-13
"""Where no more than this share of ``f(0)`` is left, rounding is all that is left."""
VALUE_STEP: Final = 1e-12
"""An objective that falls by a smaller share stands still."""
GAP_STEP: Final = 0.9
"""Likewise a gap that does not fall below this share."""


class Gap(NamedTuple):
    """An upper bound on ``f(x) - min f``."""

    absolute: float
    """At most ``f(x)``, because no objective is negative."""
    relative: float
    """Share of ``f(x)``; of ``f(0)`` where ``x`` fits the data to rounding."""
    slope: float
    """``tau`` of `Certificate`."""


class Lowest:
    """The least objective and gap that a fit has reached: where both stand, it is at its end."""

    def __init__(self) -> None:
        self._value = self._gap = float("inf")

    def falls(self, value: float, gap: Gap) -> bool:
        """Take a point, and return whether either is lower than ever by more than rounding."""
        falls = value < (1.0 - VALUE_STEP) * self._value or gap.absolute < GAP_STEP * self._gap
        self._value, self._gap = min(self._value, value), min(self._gap, gap.absolute)
        return falls


class Certificate:
    """Bounds the distance of any x >= 0 to the optimum of an objective.

    Models, templates and weights are not negative. So from the weighted residual ``r``, the
    gradient ``g`` and the vector ``z`` that is one in every voxel in use, ``theta = r + tau z``
    with ``tau = max(0, max_j -g_j / (A^T W z)_j)`` is feasible for the dual problem, whose value
    ``-|theta|^2 / 2 - theta . W y`` no point of the primal problem undercuts. Prior rows are
    further rows of ``A`` where ``y`` and ``z`` are zero. The difference of the two values is

        ``x . g + tau z . W A x + tau^2 |z|^2 / 2``,

    which needs no difference of large numbers. Columns that no voxel in use sees are fixed at zero.

    Parameters
    ----------
    misfit : Misfit
        Model, data and weights.

    Raises
    ------
    InputError
        If a template has negative flux.
    """

    def __init__(self, misfit: Misfit) -> None:
        self.lever: Float = misfit.lever()
        """``A^T W z``, shape (C, P)."""
        if (self.lever < 0).any():
            c, p = (int(i) for i in np.argwhere(self.lever < 0)[0])
            raise InputError(
                f"The model of population {p} on component {c} sums to a negative number: the "
                "exact method needs templates of positive flux. Give such, or fit with "
                "method='kaczmarz'."
            )
        self.light_of_data = misfit.light_of_data
        """``z . W y``."""
        self._value_of_zero = 0.5 * misfit.chi2_of_zero
        self.n_voxels = misfit.n_voxels
        """``|z|^2``."""

    @property
    def seen(self) -> NDArray[np.bool_]:
        """Columns that a voxel in use sees, shape (C, P)."""
        return self.lever > 0

    def slopes(self, gradient: Float) -> Float:
        """Return ``-g_j / (A^T W z)_j``, shape (C, P): above zero, a column wants more weight."""
        return np.divide(-gradient, self.lever, out=np.zeros(gradient.shape), where=self.seen)

    def gap(self, here: Evaluation) -> Gap:
        """Return the gap at a point."""
        return self.bound(
            value=here.value,
            slack=float(np.vdot(here.x, here.gradient)),
            slope=float(self.slopes(here.gradient).max(initial=0.0)),
            light=self.light(here.x),
        )

    def light(self, x: Float) -> float:
        """Return ``z . W A x``."""
        return float(np.vdot(self.lever, x))

    def bound(self, *, value: float, slack: float, slope: float, light: float) -> Gap:
        """Return the gap of ``f(x)``, ``x . g``, ``tau`` and ``z . W A x``."""
        absolute = slack + slope * light + 0.5 * slope * slope * self.n_voxels
        absolute = max(min(absolute, value), 0.0)
        base = value if value > FITTED * self._value_of_zero else self._value_of_zero
        return Gap(absolute, absolute / base if base > 0 else 0.0, slope)
