"""LOSVD histograms to another velocity grid: each bin's light goes where the bins overlap."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from cubefit.errors import ConfigError, GridError
from cubefit.spectra.grids import edges_of, require_velocities, step_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

FINEST: Final = 20.0
"""New bins that an old one may be divided into: their light is spread evenly, nothing is gained."""


@dataclass(frozen=True, slots=True)
class RebinnedLosvd:
    """Histograms on a new velocity grid, and what fell off its ends."""

    losvd: NDArray[np.float32]
    """Shape (S, V, C)."""
    vel: NDArray[np.float64]
    """New bin centres in km/s, shape (V,)."""
    lost: NDArray[np.float64]
    """Share of the light of each component that lies outside the new grid, shape (C,)."""


def velocity_shares(
    old_edges: NDArray[np.float64], new_edges: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return which share of each old bin falls into each new one.

    Parameters
    ----------
    old_edges : ndarray, shape (V + 1,)
        Increasing, in km/s.
    new_edges : ndarray, shape (W + 1,)
        Increasing, in km/s.

    Returns
    -------
    ndarray, shape (V, W)
        Rows sum to one where the new bins cover the old one.
    """
    left = np.maximum(old_edges[:-1, None], new_edges[:-1])
    right = np.minimum(old_edges[1:, None], new_edges[1:])
    return np.asarray(np.clip(right - left, 0.0, None) / np.diff(old_edges)[:, None])


def velocities_of_step(vel: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    """Return bin centres of a wanted step that cover a velocity grid, one of them at zero.

    Raises
    ------
    ConfigError
        If the step is no share of the grid that makes sense.
    """
    edges = edges_of(vel)
    finest, coarsest = float(vel[1] - vel[0]) / FINEST, float(edges[-1] - edges[0]) / 3.0
    if not finest <= step <= coarsest:
        raise ConfigError(
            f"velocity_step = {step:g} km/s: the velocities of the library run from "
            f"{edges[0]:g} to {edges[-1]:g} km/s in bins of {vel[1] - vel[0]:g}; give from "
            f"{finest:g} to {coarsest:g}."
        )
    low, high = math.floor(edges[0] / step + 0.5), math.ceil(edges[-1] / step - 0.5)
    return np.asarray(step * np.arange(low, high + 1))


def rebin_losvd(
    losvd: NDArray[np.floating],
    vel: NDArray[np.float64],
    new_vel: ArrayLike,
    *,
    max_lost: float = 1e-3,
) -> RebinnedLosvd:
    """Rebin histograms to another velocity grid, conserving their light.

    A bin's light is spread evenly over the bin, so new bins narrower than the old ones show
    stairs.

    Parameters
    ----------
    losvd : ndarray, shape (S, V, C)
        Histograms: light per bin.
    vel : ndarray, shape (V,)
        Bin centres in km/s, uniform.
    new_vel : array_like, shape (W,)
        New bin centres in km/s, uniform.
    max_lost : float
        Largest share of any component's light that may lie outside the new grid; it is dropped.

    Returns
    -------
    RebinnedLosvd

    Raises
    ------
    GridError
        If a grid is not uniform, its bins are far finer than the old ones or wider than all of
        them, or more light than that lies outside the new one.
    """
    old = require_velocities(vel, "vel")
    new = _new_velocities(old, np.asarray(new_vel, np.float64))
    shares = velocity_shares(edges_of(old), edges_of(new)).T
    rebinned = np.empty((losvd.shape[0], new.size, losvd.shape[2]), np.float32)
    before, after = np.zeros((2, losvd.shape[2]))
    for spaxel, histograms in enumerate(losvd):  # in float64, one spaxel at a time
        moved = shares @ histograms
        rebinned[spaxel] = moved
        before += histograms.sum(axis=0, dtype=np.float64)
        after += moved.sum(axis=0)
    # Rounding alone makes the difference negative at times.
    lost = np.maximum(1.0 - np.divide(after, before, out=np.ones_like(before), where=before > 0), 0)
    worst = int(np.argmax(lost))
    if lost[worst] > max_lost:
        raise GridError(
            f"Component {worst} has {lost[worst]:.2%} of its light outside the new velocity grid "
            f"({edges_of(new)[0]:.6g} to {edges_of(new)[-1]:.6g} km/s), more than the "
            f"{max_lost:.2%} allowed: widen the grid, or raise max_lost."
        )
    return RebinnedLosvd(rebinned, new, lost)


def _new_velocities(old: NDArray[np.float64], new_vel: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = edges_of(old)[[0, -1]]
    told = f"The LOSVDs have {old.size} bins of {step_of(old):.6g} km/s, {low:.6g} to {high:.6g}"
    if new_vel.size < 2:
        raise GridError(
            f"{told}, but the new grid (new_vel) has {new_vel.size}: give a velocity step well "
            f"below {high - low:.6g} km/s."
        )
    finest = step_of(old) / FINEST
    if new_vel.ndim == 1 and abs(step_of(new_vel)) < finest * (1.0 - 1e-9):
        raise GridError(
            f"{told}, but those of the new grid (new_vel) have {abs(step_of(new_vel)):.3g} km/s: "
            f"give a velocity step of {finest:.6g} km/s or more; finer bins hold nothing new."
        )
    return require_velocities(new_vel, "new_vel")
