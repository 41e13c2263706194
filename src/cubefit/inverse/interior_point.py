"""The exact solver for smooth answers: a primal-dual interior-point method.

With smoothness most weights are above zero, and a working set does not pay. Each Newton system is
``A^T W^2 A + priors + diag(s / x)``. Its preconditioner takes the compressed model for the first
term; smoothness and diagonal are one P x P block per component, and the ratio rows ride along as
one more compressed template (the component sum), so that all comes down to one Cholesky
factorisation of size C (K + 1). Conjugate gradients with the model itself make the step exact.
Mehrotra 1992, SIAM J. Optim. 2, 575, for the predictor and corrector.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, solve_triangular

from cubefit.inverse.certificate import Certificate, Lowest
from cubefit.inverse.compressed import CompressedModel
from cubefit.inverse.objective import Evaluation, Objective
from cubefit.inverse.operators import Float
from cubefit.inverse.priors import Priors

BACK_OFF: Final = 0.995
"""Share of the way to the nearest bound that a step takes."""
STEP_ACCURACY: Final = 0.1
"""What a Newton step leaves of the gradient, times the weight, relative to the mean of the products
of weight and slack, which are to fall together."""
RIDGE: Final = 1e-14
"""Added to unit diagonals."""
MOST_PRODUCTS: Final = 20
"""Products with the model per Newton system."""
LEAST: Final = 0.1
MOST: Final = 1e3
"""Of a start, in expected weights."""
SHORTEST_STEP: Final = 1e-4
"""Where no step is longer, rounding has taken over."""
PATIENCE: Final = 10
"""Rounds in a row in which neither objective nor gap falls, after which rounding has taken over."""
SPREAD: Final = 100.0
"""Products of weight and slack stay within this factor of their mean: else steps get too short to
mend them, or go in circles."""
VANISHED: Final = 1e-60
"""Of the objective at the beginning: rounding of any data but zeros leaves far more."""
NOTHING: Final = 1e-17
"""Products of weight and slack that sum to this share of the objective are lost in its rounding."""


@dataclass(frozen=True, slots=True)
class Scaled:
    """The objective in units of the expected weights, ``x = unit q``; dark columns stay at zero."""

    objective: Objective
    unit: Float
    """Shape (C, 1)."""
    seen: NDArray[np.bool_]
    """Shape (C, P)."""

    def at(self, q: Float) -> Evaluation:
        """Return the objective at ``q``, with ``x`` and the gradient in its own units."""
        return self.objective.at(q * self.unit)

    def curvature(self, direction: Float) -> Float:
        """Return the second derivative times a direction."""
        product = self.objective.curvature(direction * self.unit) * self.unit
        return np.where(self.seen, product, 0.0)


class Preconditioner:
    """An approximate inverse of the Newton matrix, factored once per round.

    The matrix is scaled to a unit diagonal and, in each component, turned so that the compressed
    templates come first. The rest couples no components, and is eliminated first. Woodbury's
    identity would need less arithmetic, but subtracts numbers that grow without bound as the
    barrier falls: it broke down at a gap of 1e-3.

    Parameters
    ----------
    model : CompressedModel
        Second derivatives of the misfit.
    priors : Priors
        Ratio rows and smoothness.
    unit : ndarray, shape (C, 1)
        Weights per scaled weight.
    seen : ndarray of bool, shape (C, P)
        The other weights are fixed: their steps are zero.
    """

    def __init__(
        self, model: CompressedModel, priors: Priors, unit: Float, seen: NDArray[np.bool_]
    ) -> None:
        (C, K), P = model.curvature.shape[:2], model.basis.shape[0]
        self._fixed = ~seen
        self._smooth = priors.smooth
        self._relative = (unit / priors.unit[:, None]) ** 2
        self._basis = model.basis
        extra = int(priors.has_ratio)
        coupling = np.zeros((C, K + extra, C, K + extra))
        np.multiply(model.curvature, unit[:, :, None, None], out=coupling[:, :K, :, :K])
        coupling[:, :K, :, :K] *= unit.reshape(1, 1, C, 1)
        if extra:
            self._basis = np.concatenate([model.basis, np.ones((P, 1))], axis=1)
            coupling[:, K, :, K] = priors.ratio_gram * unit * unit.T
        self._coupling = coupling
        own = coupling[np.arange(C), :, np.arange(C)]
        self._stiffness = np.einsum("pk,ckl,pl->cp", self._basis, own, self._basis, optimize=True)

    def factor(self, diagonal: Float) -> None:
        """Take the diagonal (C, P) that the Newton matrix adds."""
        blocks = self._relative[:, :, None] * self._smooth
        numbers = np.arange(blocks.shape[1])
        blocks[:, numbers, numbers] += diagonal
        stiffness = blocks[:, numbers, numbers] + np.maximum(self._stiffness, 0.0)
        self._scale = np.where(self._fixed, 0.0, 1.0 / np.sqrt(stiffness))
        blocks *= self._scale[:, :, None]
        blocks *= self._scale[:, None, :]
        blocks[:, numbers, numbers] += np.where(self._fixed, 1.0, RIDGE)
        self._turn, triangle = np.linalg.qr(self._scale[:, :, None] * self._basis, mode="complete")
        first = min(triangle.shape[1:])
        turned = np.matmul(self._turn.transpose(0, 2, 1), np.matmul(blocks, self._turn))
        self._rest = np.linalg.cholesky(turned[:, first:, first:])
        self._link = triangular(self._rest, turned[:, first:, :first])
        own = turned[:, :first, :first] - np.matmul(self._link.transpose(0, 2, 1), self._link)
        self._joint = self._coupled(triangle[:, :first], own)

    def _coupled(self, triangle: Float, own: Float) -> Float:
        """Return the factor of what is left to all components together."""
        C, first, K = triangle.shape
        half = np.matmul(triangle, self._coupling.reshape(C, K, C * K)).reshape(C * first, C, K)
        joint = np.matmul(half.transpose(1, 0, 2), triangle.transpose(0, 2, 1))
        joint = np.ascontiguousarray(joint.reshape(C, C, first, first).transpose(1, 2, 0, 3))
        components = np.arange(C)
        joint[components, :, components] += own
        joint = joint.reshape(C * first, C * first)
        joint[np.diag_indices(C * first)] += RIDGE
        return np.asarray(cholesky(joint, lower=True, overwrite_a=True, check_finite=False))

    def __call__(self, right: Float) -> Float:
        """Return the approximate solution, shape (C, P)."""
        C, first = right.shape[0], self._link.shape[2]
        turned = np.matmul((self._scale * right)[:, None, :], self._turn)[:, 0]
        rest = triangular(self._rest, turned[:, first:, None])
        ahead = turned[:, :first] - np.matmul(self._link.transpose(0, 2, 1), rest)[:, :, 0]
        shared = cho_solve((self._joint, True), ahead.ravel(), check_finite=False)
        shared = shared.reshape(C, first)
        rest = triangular(self._rest, rest - np.matmul(self._link, shared[:, :, None]), trans=True)
        joined = np.concatenate([shared, rest[:, :, 0]], axis=1)
        return np.asarray(self._scale * np.matmul(self._turn, joined[:, :, None])[:, :, 0])


def triangular(factors: Float, right: Float, *, trans: bool = False) -> Float:
    """Return the solutions of many lower triangular systems (C, n, n) for (C, n, m)."""
    result = np.empty(right.shape)
    if not right.shape[1]:
        return result
    for c, factor in enumerate(factors):
        result[c] = solve_triangular(
            factor, right[c], lower=True, trans=int(trans), check_finite=False
        )
    return result


def conjugate_gradients(
    problem: Scaled,
    precondition: Preconditioner,
    right: Float,
    diagonal: Float,
    weight: Float,
    allowed: float,
) -> Float:
    """Return the Newton step (C, P) of a right side.

    Its residual is multiplied by ``weight`` (C, P) and brought to at most ``allowed``: it adds to
    the gradient where the weights are large, where nothing may be left.
    """
    step, residual = np.zeros(right.shape), right
    direction = precondition(right)
    size = float(np.vdot(residual, direction))
    for _ in range(MOST_PRODUCTS):
        product = problem.curvature(direction) + diagonal * direction
        bend = float(np.vdot(direction, product))
        if bend <= 0:  # Rounding is all that is left.
            break
        length = size / bend
        step = step + length * direction
        residual = residual - length * product
        if float(np.abs(weight * residual).max()) <= allowed:
            break
        ahead = precondition(residual)
        before, size = size, float(np.vdot(residual, ahead))
        direction = ahead + size / before * direction
    return step


def longest_step(value: Float, change: Float) -> float:
    """Return the share of a step, one at most, at which the first value reaches zero."""
    falling = change < 0
    return min(1.0, float((-value[falling] / change[falling]).min(initial=np.inf)))


def rounds(
    objective: Objective,
    certificate: Certificate,
    model: CompressedModel,
    start: Float,
) -> Iterator[Evaluation]:
    """Yield the start, and the point after each Newton step from there, moved inside.

    Parameters
    ----------
    objective : Objective
        Misfit and priors.
    certificate : Certificate
        Of the misfit.
    model : CompressedModel
        Of the misfit.
    start : ndarray, shape (C, P)
        Not negative.
    """
    priors = objective.priors or Priors.none(*start.shape)
    unit = priors.unit[:, None]
    seen = certificate.seen
    yield objective.at(np.where(seen, start, 0.0))
    problem = Scaled(objective, unit, seen)
    precondition = Preconditioner(model, priors, unit, seen)
    q = np.where(seen, inside(start / unit), 0.0)
    safe = np.where(seen, q, 1.0)
    here = problem.at(q)
    slack = here.gradient * unit
    barrier = 0.1 * float(np.abs(slack * q).mean())
    slack = np.where(seen, np.maximum(slack, barrier / safe), 0.0)
    lowest, idle, vanished = Lowest(), 0, VANISHED * here.value
    while float(np.vdot(q, slack)) > NOTHING * here.value and idle < PATIENCE:
        if here.value <= vanished:  # The data are zero, and so is the optimum.
            return
        gradient = np.where(seen, here.gradient * unit, 0.0)
        diagonal = np.where(seen, slack / safe, 1.0)
        try:
            precondition.factor(diagonal)
        except np.linalg.LinAlgError:  # Rounding is all that is left.
            return
        mean = float(np.vdot(q, slack)) / int(seen.sum())
        # Predictor: straight for the optimum, by the preconditioner alone.
        ahead = precondition(-gradient)
        slack_ahead = -slack - slack / safe * ahead
        share = min(longest_step(q, ahead), longest_step(slack, slack_ahead))
        reached = float(np.vdot(q + share * ahead, slack + share * slack_ahead))
        aim = (reached / float(np.vdot(q, slack))) ** 3 * mean
        # Corrector, and back to the centre; after a round without progress to the centre alone,
        # for with the corrector the steps can go in circles.
        reach = 1.0 if idle == 0 else 0.0
        target = np.where(seen, (aim - reach * ahead * slack_ahead) / safe, 0.0)
        step = conjugate_gradients(
            problem, precondition, target - gradient, diagonal, q, STEP_ACCURACY * mean
        )
        slack_step = target - slack - slack / safe * step
        share = min(longest_step(q, step), longest_step(slack, slack_step))
        share = min(1.0, BACK_OFF * share)
        if share < SHORTEST_STEP:
            return
        q, slack = q + share * step, slack + share * slack_step
        safe = np.where(seen, q, 1.0)
        slack = centred(slack, safe, seen)
        here = problem.at(q)
        yield here
        idle = 0 if lowest.falls(here.value, certificate.gap(here)) else idle + 1


def centred(slack: Float, q: Float, seen: NDArray[np.bool_]) -> Float:
    """Return slacks whose products with the weights are within `SPREAD` of their mean."""
    mean = float(np.vdot(q, slack)) / int(seen.sum())
    return np.where(seen, np.clip(slack, mean / (SPREAD * q), SPREAD * mean / q), 0.0)


def inside(q: Float) -> Float:
    """Return a start moved away from the bounds; scaled weights average one."""
    return np.clip(q, LEAST, MOST)
