"""The exact solver for sparse answers: a compressed model chooses columns, the model decides.

Each round takes the gradient of the model itself and asks the compressed model where its minimum
would be. As long as that lowers the objective much, it is the next point; then the columns that it
uses are added to the working set, whose non-negative least squares is solved exactly. As every such
round also adds the columns of the steepest true gradient, it ends at the optimum whatever the
compressed model is worth; a good one makes it end in four to seven rounds.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cubefit.inverse.active_set import nnls_gram
from cubefit.inverse.certificate import Certificate, Lowest
from cubefit.inverse.compressed import CompressedModel
from cubefit.inverse.gram_cache import GramCache
from cubefit.inverse.objective import Evaluation, Objective
from cubefit.inverse.operators import Float, Members
from cubefit.inverse.priors import Priors

MOST_STEPS: Final = 60
"""Rounds on the compressed model within one round on the model."""
LARGE: Final = 1e-3
"""Where the compressed minimum lowers the objective by more than this share, it is taken as it is:
the working set is solved exactly once its columns have settled."""
MOST_TRIALS: Final = 10
"""In a row: a poor compressed model could otherwise creep along for ever."""
ROUNDING: Final = 1e-12
"""The objective may rise by this share while the gap still falls."""
MOST_MEMBERS: Final = 1500
"""Weights of a start above which it is thinned out: matrices of a working set are W x W."""
KEPT: Final = 3
"""Weights of each component that are then kept."""
COARSE: Final = 1e-5
"""The compressed model is solved to this share of the present slope."""


def steepest(slopes: Float, count: int, threshold: float) -> NDArray[np.bool_]:
    """Return, of each component, the ``count`` columns of largest slope above the threshold.

    Parameters
    ----------
    slopes : ndarray, shape (C, P)
        See `Certificate.slopes`.
    count : int
        Columns per component.
    threshold : float
        Slopes up to it count as none.

    Returns
    -------
    ndarray of bool, shape (C, P)
    """
    count = min(count, slopes.shape[1])
    best = np.argpartition(-slopes, count - 1, axis=1)[:, :count]
    chosen = np.zeros(slopes.shape, bool)
    np.put_along_axis(chosen, best, np.take_along_axis(slopes, best, 1) > threshold, 1)
    return chosen


def solve_members(
    gram: Float, gradient: Float, x: Float, chosen: NDArray[np.bool_], guess: Float
) -> Float:
    """Return the minimum over the chosen columns of the quadratic through ``x``, shape (C, P).

    Parameters
    ----------
    gram : ndarray, shape (W, W)
        Second derivatives of the chosen columns.
    gradient : ndarray, shape (C, P)
        At ``x``.
    x : ndarray, shape (C, P)
        Zero outside the chosen columns.
    chosen : ndarray of bool, shape (C, P)
    guess : ndarray, shape (C, P)
        Guess of the answer.
    """
    diagonal = np.diagonal(gram)
    length = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    scaled = gram / length / length[:, None]
    target = scaled @ (x[chosen] * length) - gradient[chosen] / length
    result = np.zeros(x.shape)
    # A gradient of rounding size is none: else columns that repeat each other swap for ever.
    tolerance = 1e-13 * float(np.abs(target).max(initial=0.0))
    result[chosen] = nnls_gram(scaled, target, guess[chosen] * length, tolerance=tolerance) / length
    return result


def propose(
    model: CompressedModel,
    priors: Priors,
    certificate: Certificate,
    here: Evaluation,
    *,
    count: int,
    threshold: float,
) -> Float:
    """Return the minimum of the compressed quadratic through a point, shape (C, P).

    Its gradient at the point is the true one, so that errors of the compression fade from round to
    round.

    Parameters
    ----------
    model : CompressedModel
        Second derivatives of the misfit.
    priors : Priors
        Their second derivatives are exact.
    certificate : Certificate
        Ranks the columns.
    here : Evaluation
        The point.
    count : int
        Columns per component and step.
    threshold : float
        Slopes up to it count as none.
    """
    x, gradient = here.x, here.gradient
    # |a|^2 >= (sum a)^2 / N: what the compression lost of a faint column.
    floor = certificate.lever**2 / certificate.n_voxels
    deficit = np.maximum(floor - model.diagonal(), 0.0)
    for _ in range(MOST_STEPS):
        slopes = np.where(x > 0, 0.0, certificate.slopes(gradient))
        fresh = steepest(slopes, count, threshold)
        if x is not here.x and not fresh.any():
            break
        chosen = (x > 0) | fresh
        members = Members.where(chosen)
        gram = model.gram(members, members) + priors.gram(members, members)
        gram[np.diag_indices(members.size)] += deficit[chosen]
        x = solve_members(gram, gradient, x, chosen, x)
        change = x - here.x
        gradient = here.gradient + model.times(change) + deficit * change + priors.gradient(change)
    return x


def beginning(objective: Objective, start: Float) -> Evaluation:
    """Return the objective at a start, thinned out where a working set could not hold it.

    Of a start with more than `MOST_MEMBERS` weights, say of a smooth fit, the heaviest of each
    component are kept and scaled to the data; or zero, where that is better.
    """
    if np.count_nonzero(start) <= MOST_MEMBERS:
        return objective.at(start)
    kept = np.where(steepest(start, KEPT, 0.0), start, 0.0)
    thinned = objective.at(objective.misfit.scaled_to_data(kept))
    zero = objective.at(np.zeros(start.shape))
    return min(thinned, zero, key=lambda here: here.value)


def rounds(
    objective: Objective,
    certificate: Certificate,
    model: CompressedModel,
    start: Float,
    *,
    gap_tolerance: float,
    count: int,
    n_bytes: float,
) -> Iterator[Evaluation]:
    """Yield the start, and a better point after each round, for as long as there is one.

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
    gap_tolerance : float
        Relative gap that is aimed at.
    count : int
        Columns per component and round.
    n_bytes : float
        Memory for a batch of columns.
    """
    priors = objective.priors or Priors.none(*start.shape)
    cache = GramCache(objective, n_bytes)
    here = beginning(objective, np.where(certificate.seen, start, 0.0))
    lowest, n_trials = Lowest(), 0
    lowest.falls(here.value, certificate.gap(here))
    while True:
        yield here
        light = max(certificate.light(here.x), certificate.light_of_data)
        # Half of the gap for the term of first order in the slope, half for that of second.
        allowed = 0.5 * gap_tolerance * here.value
        threshold = float(np.sqrt(allowed / certificate.n_voxels))
        if light > 0:
            threshold = min(threshold, 0.5 * allowed / light)
        finest = max(threshold, COARSE * certificate.gap(here).slope)
        guess = propose(model, priors, certificate, here, count=count, threshold=finest)
        trial = objective.at(guess)
        if trial.value < (1.0 - LARGE) * here.value and n_trials < MOST_TRIALS:
            lowest.falls(trial.value, certificate.gap(trial))
            here, n_trials = trial, n_trials + 1
            continue
        base, n_trials = trial if trial.value < here.value else here, 0
        slopes = np.where(base.x > 0, 0.0, certificate.slopes(base.gradient))
        chosen = (base.x > 0) | (guess > 0) | steepest(slopes, count, threshold)
        x = solve_members(cache.of(chosen), base.gradient, base.x, chosen, guess)
        better = min(objective.at(x), base, key=lambda e: e.value)
        # At the end the objective stands still in float64 while the gap still falls.
        falls = lowest.falls(better.value, certificate.gap(better))
        if better.value > (1 + ROUNDING) * here.value or not falls:
            return
        here = better
