"""Chooses the smoothness as pPXF's users do: as much as the data bear."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from scipy.optimize import brentq

from cubefit.config import LARGEST_REGULARIZATION
from cubefit.exact_watch import Watch
from cubefit.inverse.exact import Exact, ExactState

logger = logging.getLogger(__name__)

FIRST: Final = 0.1
"""Strength that is tried first."""
FACTOR: Final = 8.0
"""Between strengths, until two lie around the answer."""
RANGE: Final = (1e-6, LARGEST_REGULARIZATION)
CLOSENESS: Final = 0.02
"""Of the strength, in the natural logarithm."""


class Choice(NamedTuple):
    """A strength and the fit that it gives."""

    strength: float
    state: ExactState


class Search:
    """Fits at one strength after another, each from the one before.

    Parameters
    ----------
    plain : ExactState
        The fit without smoothness.
    smoothed : callable
        Returns the fit of a strength.
    gap_tolerance : float
        Relative gap of each fit.
    watch : Watch
        Its limits hold.
    """

    def __init__(
        self,
        plain: ExactState,
        smoothed: Callable[[float], Exact],
        gap_tolerance: float,
        watch: Watch,
    ) -> None:
        self._plain = plain
        self._smoothed = smoothed
        self._gap_tolerance = gap_tolerance
        self._watch = watch
        self.last = Choice(0.0, plain)

    def excess(self, log_strength: float) -> float:
        """Return the logarithm of the growth of chi2, relative to the growth that is allowed."""
        if self._watch.is_over:
            return 0.0
        strength = float(np.exp(log_strength))
        exact = self._smoothed(strength)
        with self._watch.stage(f"Smoothness {strength:.3g}", self._gap_tolerance) as follow:
            for state in exact.solve(self.last.state.x, self._gap_tolerance):
                if follow(state):
                    break
        self.last = Choice(strength, self._watch.best)
        growth = self.last.state.chi2 - self._plain.chi2
        allowed = allowed_growth(self._plain.chi2, exact)
        logger.info(
            "Smoothness %.3g: chi2 grows by %.4g, of %.4g allowed.", strength, growth, allowed
        )
        return float(np.log(max(growth / allowed, 1e-6)))


def allowed_growth(chi2: float, exact: Exact) -> float:
    """Return ``sqrt(2 N)``; without noise in units of the misfit per voxel."""
    n_voxels = exact.objective.misfit.n_voxels
    unit = 1.0 if exact.objective.misfit.has_noise else chi2 / n_voxels
    return max(float(np.sqrt(2.0 * n_voxels)) * unit, np.finfo(float).tiny)


def choose_regularization(
    plain: ExactState,
    smoothed: Callable[[float], Exact],
    gap_tolerance: float,
    watch: Watch,
) -> Choice:
    """Return the strength at which chi2 has grown by ``sqrt(2 N)``.

    The rule of pPXF (Cappellari 2017, section 3.5, after Press et al. 2007).

    Parameters
    ----------
    plain : ExactState
        The fit without smoothness.
    smoothed : callable
        Returns the fit of a strength.
    gap_tolerance : float
        Relative gap of each fit.
    watch : Watch
        Its limits hold; where one ends the search, the last fit is returned.
    """
    search = Search(plain, smoothed, gap_tolerance, watch)
    low, high = (float(np.log(bound)) for bound in RANGE)
    here = float(np.log(FIRST))
    step = float(np.log(FACTOR))
    value = search.excess(here)
    direction = -1.0 if value > 0 else 1.0
    while not watch.is_over:
        ahead = here + direction * step
        if not low <= ahead <= high:
            logger.warning(
                "Smoothness %.3g is the last that is tried, because chi2 grows too %s at any: the "
                "data do not tell how smooth populations are, so give a number.",
                search.last.strength,
                "little" if direction > 0 else "much",
            )
            return search.last
        there = search.excess(ahead)
        if (there > 0) != (value > 0):
            known = remembering(search, {here: value, ahead: there})
            root = brentq(known, *sorted((here, ahead)), xtol=CLOSENESS)
            return Choice(float(np.exp(root)), search.last.state)
        here, value = ahead, there
    return search.last


def remembering(search: Search, known: dict[float, float]) -> Callable[[float], float]:
    """Return the excess as a function that fits each strength once."""

    def excess(log_strength: float) -> float:
        if log_strength not in known:
            known[log_strength] = search.excess(log_strength)
        return known[log_strength]

    return excess
