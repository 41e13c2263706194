"""Scale-free orbit-weight rows: ``s_c - (w_c / w_i) s_i = 0`` with ``s_c = sum_p x_cp``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cubefit.config import SolverCfg
from cubefit.errors import ConfigError, InputError
from cubefit.inverse.operators import Float


def checked_orbit_weights(orbit_weights: ArrayLike, n_components: int) -> Float:
    """Return orbit weights (C,), any scale, or refuse them.

    Raises
    ------
    InputError
        If they have the wrong length or hold negative, NaN or only zero values.
    """
    try:
        given = np.asarray(orbit_weights)
        weights = np.asarray(given.real, np.float64)
    except (ValueError, TypeError) as error:
        raise InputError(
            f"orbit_weights are no numbers ({error}): give one per component."
        ) from error
    if np.iscomplexobj(given):
        raise InputError("orbit_weights are complex: give one real number per component.")
    if weights.shape != (n_components,):
        raise InputError(
            f"orbit_weights has shape {weights.shape}: give one weight per component, "
            f"({n_components},)."
        )
    if not np.isfinite(weights).all() or (weights < 0).any() or not weights.any():
        raise InputError(
            "orbit_weights must be finite, not negative and not all zero: "
            f"they run from {weights.min():.3g} to {weights.max():.3g}."
        )
    return weights


def ratio_targets(
    weights: Float,
    anchor: int | Literal["auto"],
    min_weight: float,
    lit: NDArray[np.bool_] | None = None,
) -> tuple[int, NDArray[np.intp]]:
    """Return the component that ratios refer to, and those that get a row.

    Parameters
    ----------
    weights : ndarray, shape (C,)
        Orbit weights, any scale.
    anchor : int or "auto"
        The component; ``auto`` takes the one of largest weight.
    min_weight : float
        Components below this weight, relative to the largest, get no row.
    lit : ndarray of bool, shape (C,), optional
        Components that can have weight at all.

    Raises
    ------
    ConfigError
        If the anchor is no component of positive weight that can have weight.
    """
    usable = weights > 0 if lit is None else (weights > 0) & lit
    if anchor == "auto":
        anchor = int(np.argmax(np.where(usable, weights, 0.0)))
    if anchor >= weights.size or not usable[anchor]:
        raise ConfigError(
            f"ratio_anchor={anchor}: give a component below {weights.size} of positive weight, "
            "with light in a voxel in use."
        )
    heavy = usable & (weights >= min_weight * weights.max())
    heavy[anchor] = False
    return anchor, np.flatnonzero(heavy)


@dataclass(frozen=True, slots=True, kw_only=True)
class RatioRows:
    """Rows that nudge the component sums towards the ratios of the orbit weights.

    The anchor ``i`` sets the scale, so the total flux floats.
    """

    ratios: Float
    """``w_c / w_i``, shape (C,)."""
    anchor: int
    candidates: NDArray[np.intp]
    """Components that get a row."""
    eta: float
    """Relaxation of one row."""
    batch: int
    """Rows per batch."""

    @classmethod
    def of(cls, orbit_weights: Float, n_components: int, config: SolverCfg) -> RatioRows:
        """Return the rows of ``orbit_weights`` (C,), any scale.

        Raises
        ------
        InputError
            If the weights have the wrong length or hold negative, NaN or only zero values.
        ConfigError
            If the anchor is no component of positive weight.
        """
        weights = checked_orbit_weights(orbit_weights, n_components)
        anchor, candidates = ratio_targets(weights, config.ratio_anchor, config.ratio_min_weight)
        return cls(
            ratios=weights / weights[anchor],
            anchor=anchor,
            candidates=candidates,
            eta=0.1 * config.lr if config.ratio_eta is None else config.ratio_eta,
            batch=config.ratio_batch,
        )

    def project(self, x: Float, rng: np.random.Generator) -> None:
        """Apply one batch of randomly chosen rows to ``x`` (C, P), in place."""
        if not self.candidates.size:
            return
        n_populations = x.shape[1]
        for c in rng.choice(self.candidates, self.batch):
            ratio = self.ratios[c]
            residual = x[c].sum() - ratio * x[self.anchor].sum()
            step = self.eta * residual / (n_populations * (1.0 + ratio**2))
            x[c] -= step
            x[self.anchor] += step * ratio


def ratio_rows(
    orbit_weights: ArrayLike | None, n_components: int, config: SolverCfg
) -> RatioRows | None:
    """Return the ratio rows that the settings ask for, or None.

    Raises
    ------
    ConfigError
        If they are asked for without weights.
    InputError
        If the weights are unusable, see `RatioRows.of`.
    """
    if orbit_weights is None and config.ratio_use:
        raise ConfigError("ratio_use=True needs orbit_weights: pass them.")
    if orbit_weights is None or config.ratio_use is False:
        return None
    return RatioRows.of(checked_orbit_weights(orbit_weights, n_components), n_components, config)
