"""Light of the orbits in each bin against flux of the cube: order and orientation of the bins."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.stats import spearmanr

from cubefit.errors import InputError
from cubefit.prepare.bin_matching import MIRRORED

Float = NDArray[np.float64]

MASS_TO_LIGHT: Final = 0.5
"""Scatter of ln(light / flux) that populations may bring where weights are masses: bins of a mock
with a young disk have 0.25."""

LEAST: Final = 0.9
"""Part of the correlation that such a scatter would leave below which it is too low."""

FAR_BETTER_SIGMA: Final = 4.0
"""By which another order must correlate better (Fisher's z) to be called the right one."""

EVEN: Final = 0.05
"""Scatter of ln(light) below which bins are alike and tell no order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LightAgreement:
    """How the light of the orbits in each bin goes with the flux of the cube."""

    ok: bool
    message: str
    correlation: float
    """Pearson's, of the logarithms; NaN where there is nothing to correlate."""
    rank_correlation: float
    """Spearman's."""
    alternatives: dict[str, float]
    """Correlation with the bins in other orders or orientations."""
    scatter: float
    """Robust scatter of ln(light / flux); NaN as above."""


def light_agreement(
    losvd: NDArray[np.floating],
    weights: Float,
    flux_per_bin: Float,
    *,
    x: Float | None = None,
    y: Float | None = None,
) -> LightAgreement:
    """Return whether bins that are bright in the orbit library are bright in the cube.

    Parameters
    ----------
    losvd : ndarray, shape (S, V, C)
        Histograms whose sum over velocity is the light of a component in a bin.
    weights : ndarray, shape (C,)
        Light of each component, in any unit.
    flux_per_bin : ndarray, shape (S,)
        Of the cube, summed over each bin, in any unit; bins whose flux is not positive are left
        out.
    x, y : ndarray, shape (S,), optional
        Centres of the bins, zero at the galaxy's: with them mirrored and turned bins are told.

    Returns
    -------
    LightAgreement
        Not ``ok`` when the correlation is lower than different mass-to-light ratios explain
        (`lowest_correlation`), or far better with another order.

    Raises
    ------
    InputError
        If numbers of bins or components differ.
    """
    _require_sizes(losvd, weights, flux_per_bin)
    light = np.einsum("svc,c->s", losvd, weights, dtype=np.float64)
    used = (light > 0) & np.isfinite(flux_per_bin) & (flux_per_bin > 0)
    if used.sum() < 3 or min(np.log(each[used]).std() for each in (light, flux_per_bin)) < EVEN:
        message = (
            f"Light cannot tell the order of the bins: {int(used.sum())} of {light.size} have "
            "light and flux, and these differ too little (LOSVDs scaled to one have no light left)."
        )
        return LightAgreement(
            ok=True,
            message=message,
            correlation=np.nan,
            rank_correlation=np.nan,
            alternatives={},
            scatter=np.nan,
        )
    found = _correlation(light, flux_per_bin)
    others = {
        name: _correlation(light[order], flux_per_bin) for name, order in _orders(light.size, x, y)
    }
    ratio = np.log(light[used] / flux_per_bin[used])
    # Populations widen the one or the other: the narrower is nearer to what both share.
    spread = min(float(np.log(each[used]).std()) for each in (light, flux_per_bin))
    ok, message = _verdict(found, others, lowest_correlation(spread), int(used.sum()))
    return LightAgreement(
        ok=ok,
        message=message,
        correlation=found,
        rank_correlation=float(spearmanr(light[used], flux_per_bin[used]).statistic),
        alternatives=others,
        scatter=float(1.4826 * np.median(np.abs(ratio - np.median(ratio)))),
    )


def _orders(n_bins: int, x: Float | None, y: Float | None) -> list[tuple[str, NDArray[np.intp]]]:
    """Return other orders of the bins: which of them would stand in each one's place."""
    found: list[tuple[str, NDArray[np.intp]]] = [("order reversed", np.arange(n_bins)[::-1])]
    if x is None or y is None:
        return found
    tree = cKDTree(np.column_stack((x, y)))
    for name, turned in MIRRORED.items():
        found.append((name, np.asarray(tree.query(np.column_stack(turned(x, y)))[1])))
    return found


def _correlation(light: Float, flux: Float) -> float:
    """Return Pearson's correlation of the logarithms where both are positive."""
    used = (light > 0) & np.isfinite(flux) & (flux > 0)
    logs = np.log(light[used]), np.log(flux[used])
    if used.sum() < 3 or min(each.std() for each in logs) == 0:
        return 0.0
    return float(np.corrcoef(*logs)[0, 1])


def lowest_correlation(spread: float) -> float:
    """Return the correlation below which orders differ, for a spread of ln(light) over the bins."""
    return LEAST * spread / math.hypot(spread, MASS_TO_LIGHT)


def _verdict(found: float, others: dict[str, float], least: float, n: int) -> tuple[bool, str]:
    name = max(others, key=lambda other: others[other])
    best = others[name]
    z_found, z_best = (math.atanh(min(max(r, -0.9999), 0.9999)) for r in (found, best))
    is_far_better = best >= least and (z_best - z_found) * math.sqrt(n - 2) > FAR_BETTER_SIGMA
    told = f"Light of the orbits and flux of the cube correlate with {found:.3f} over the bins"
    if is_far_better:
        return False, (
            f"{told}; they would with {best:.3f} after "
            f"this change of one of them: {name}. Turn the orbit library or the cube so that both "
            "agree."
        )
    if found < least:
        return False, (
            f"{told}, less than {least:.2f}, and no mirrored, turned or reversed order is "
            "right: check that both have the same bins, the same centre and position angle, and "
            "that LOSVDs keep their light."
        )
    return True, f"{told} (at least {least:.2f} is due): same order."


def _require_sizes(losvd: NDArray[np.floating], weights: Float, flux_per_bin: Float) -> None:
    if losvd.ndim != 3:
        raise InputError(f"losvd has shape {losvd.shape}: give (bins, velocities, components).")
    if flux_per_bin.shape != (losvd.shape[0],):
        raise InputError(
            f"The orbit library has {losvd.shape[0]} bins, the cube {flux_per_bin.size}: bin the "
            "cube with the map that the dynamical model was made with."
        )
    if weights.shape != (losvd.shape[2],):
        raise InputError(
            f"The orbit library has {losvd.shape[2]} components, but there are {weights.size} "
            "weights: give one for each."
        )
