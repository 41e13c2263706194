"""The prior terms that the settings ask for, and the fit without smoothness that scales them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cubefit.config import PriorCfg
from cubefit.errors import ConfigError, InputError
from cubefit.inverse.exact import Exact, ExactState
from cubefit.inverse.expected_total import one_population_total
from cubefit.inverse.misfit import Misfit
from cubefit.inverse.priors import (
    Priors,
    expected_units,
    ratio_matrix,
    require_second_differences,
    smoothness,
)
from cubefit.inverse.ratio import checked_orbit_weights, ratio_targets

Float = NDArray[np.float64]

ASSUMED_NOISE: Final = 0.01
"""Noise relative to the rms of the data, for the prior terms of a fit without noise."""
TOTAL_ACCURACY: Final = 1e-3
"""Relative gap of the fit that the total is taken from: it then holds to a few parts in 1000."""


def wanted_weights(
    orbit_weights: ArrayLike | None, n_components: int, config: PriorCfg
) -> Float | None:
    """Return the orbit weights (C,) that act as a prior, relative to the largest, or None.

    Raises
    ------
    ConfigError, InputError
        If they are asked for without being given, or unusable.
    """
    if orbit_weights is None:
        if config.ratio_use:
            raise ConfigError("ratio_use=True needs orbit_weights: pass them.")
        return None
    weights = checked_orbit_weights(orbit_weights, n_components)
    weights = weights / weights.max()
    ratio_targets(weights, config.ratio_anchor, config.ratio_min_weight)
    if config.ratio_use is False:
        return None
    # Those too small for a ratio row say nothing of smoothness either.
    return np.where(weights >= config.ratio_min_weight, weights, 0.0)


def require_smoothable(shape: Sequence[int], config: PriorCfg) -> None:
    """Raise ConfigError if smoothness is asked for along axes that have no second differences."""
    if config.regularization:
        require_second_differences(shape, config.regularization)


@dataclass(frozen=True, slots=True)
class PriorPlan:
    """Which prior terms a fit has, but for the total weight that they are measured in."""

    config: PriorCfg
    template_shape: tuple[int, ...]
    weights: Float | None
    """Orbit weights, shape (C,)."""

    @staticmethod
    def noise_unit(misfit: Misfit) -> float:
        """Return one sigma in units of the misfit: without noise, `ASSUMED_NOISE` of the data.

        The prior terms are measured in it, so that they do not depend on the unit of the flux.
        """
        if misfit.has_noise:
            return 1.0
        return ASSUMED_NOISE * float(np.sqrt(misfit.square_of_data / misfit.n_voxels))

    @property
    def wants_smooth(self) -> bool:
        """Whether there is any smoothness."""
        return self.config.regularization != 0

    def rough_total(self, exact: Exact) -> float:
        """Return the total that the ratio rows are measured in; zero where there are none."""
        if self.weights is None or not self.config.ratio_weight > 0:
            return 0.0
        if self.config.total_weight:
            return self.config.total_weight
        start = exact.objective.at(np.zeros(exact.objective.misfit.shape[1:3]))
        return one_population_total(exact.model, start, self.weights)

    def with_ratio(self, exact: Exact, total: float) -> Exact:
        """Return a fit with the ratio rows, measured in a total above zero."""
        _, C, P, _ = exact.objective.misfit.shape
        priors = Priors.none(C, P)
        if self.weights is not None and total > 0:
            lit = np.asarray(exact.certificate.seen.any(axis=1))
            anchor, candidates = ratio_targets(
                self.weights, self.config.ratio_anchor, self.config.ratio_min_weight, lit
            )
            strength = self.config.ratio_weight * self.noise_unit(exact.objective.misfit)
            rows = ratio_matrix(self.weights, total, strength, candidates, anchor)
            priors = replace(priors, ratio=rows)
        return replace(exact, objective=replace(exact.objective, priors=priors))

    def with_smoothness(self, exact: Exact, strength: float, total: float) -> Exact:
        """Return a fit that has its ratio rows with smoothness added, measured in the total."""
        _, C, P, _ = exact.objective.misfit.shape
        had = exact.objective.priors or Priors.none(C, P)
        if not total > 0:
            raise InputError(
                "The fit without smoothness has no weight, so that there is nothing to smooth: are "
                "the data positive?"
            )
        unit = self.noise_unit(exact.objective.misfit)
        priors = replace(
            had,
            smooth=smoothness(self.template_shape, strength * unit),
            unit=expected_units(self.weights, total, C, P),
        )
        return replace(exact, objective=replace(exact.objective, priors=priors))


def unsmoothed(
    exact: Exact, gap_tolerance: float, follow: Callable[[ExactState], bool]
) -> ExactState:
    """Return the fit without smoothness; from zero, so that it depends on the data alone.

    Parameters
    ----------
    exact : Exact
        With its ratio rows.
    gap_tolerance : float
        Relative gap.
    follow : callable
        Takes each state; True ends the fit there.
    """
    _, C, P, _ = exact.objective.misfit.shape
    last = None
    for state in exact.solve(np.zeros((C, P)), gap_tolerance):
        last = state
        if follow(state):
            break
    assert last is not None  # noqa: S101 - the start at least
    return last
