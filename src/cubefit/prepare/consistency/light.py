"""Light of the orbits in each bin against flux of the cube: order and orientation of the bins."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.stats import rankdata, spearmanr

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

NORMALISED: Final = 0.1
"""Scatter below which spectra, or LOSVDs, may have lost their amplitudes: the mean of a spectrum
divided by its median differs with its lines and its slope."""

UNEVEN: Final = 0.15
"""Scatter of ln(light) from which on bins surely have amplitudes."""

UNEVEN_BY: Final = 5.0
"""And how many times that of the other side it must be, for the other to have lost them."""

OUTLIER: Final = 8.0
"""Robust scatters of ln(light / flux) from which on a bin stands out."""

OUTLIER_FACTOR: Final = 1.5
"""And the factor: populations differ from bin to bin."""

LEAST_FOR_TREND: Final = 12
"""Bins that tell how populations follow the brightness."""

ROUNDS: Final = 20
"""Of weights for least absolute deviations."""

SMALLEST: Final = 0.01
"""Deviations below weigh alike."""

NAMED: Final = 5
"""Bins that are named."""


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
    outliers: NDArray[np.intp] = field(default_factory=lambda: np.empty(0, np.intp))
    """Bins whose light / flux stands out."""


def light_agreement(
    losvd: NDArray[np.floating],
    weights: Float,
    flux_per_bin: Float,
    *,
    x: Float | None = None,
    y: Float | None = None,
    n_pixels: NDArray[np.integer] | None = None,
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
    n_pixels : ndarray of int, shape (S,), optional
        Of each bin: populations follow the surface brightness, and bins that stand out from this
        trend are told.

    Returns
    -------
    LightAgreement
        Not ``ok`` when the correlation is lower than different mass-to-light ratios explain
        (`lowest_correlation`), or far better with another order, when only one of the two has
        amplitudes, or when single bins stand out.

    Raises
    ------
    InputError
        If numbers of bins or components differ.
    """
    _require_sizes(losvd, weights, flux_per_bin)
    light = np.einsum("svc,c->s", losvd, weights, dtype=np.float64)
    used = (light > 0) & np.isfinite(flux_per_bin) & (flux_per_bin > 0)
    few = used.sum() < 3
    spreads = [0.0 if few else float(np.log(v[used]).std()) for v in (light, flux_per_bin)]
    lost = _lost_amplitudes(*spreads)
    if lost is not None or min(spreads) < EVEN:
        message = lost or (
            f"Light cannot tell the order of the bins: {int(used.sum())} of {light.size} have "
            "light and flux, and these differ too little (LOSVDs scaled to one have no light left)."
        )
        return LightAgreement(
            ok=lost is None,
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
    # Populations widen the one or the other: the narrower is nearer to what both share.
    ok, message = _verdict(found, others, lowest_correlation(min(spreads)), int(used.sum()))
    ratio = np.log(light[used] / flux_per_bin[used])
    off = _off_trend(ratio, light[used], None if n_pixels is None else n_pixels[used])
    # Few bins have no trend to stand out from: a gradient of populations would do it.
    out = np.flatnonzero(_stands_out(off) & (off.size >= LEAST_FOR_TREND))
    outliers = np.flatnonzero(used)[out]
    if ok and outliers.size:
        ok, message = False, _about_outliers(outliers, off[out], found)
    return LightAgreement(
        ok=ok,
        message=message,
        correlation=found,
        rank_correlation=float(spearmanr(light[used], flux_per_bin[used]).statistic),
        alternatives=others,
        scatter=_robust_scatter(ratio),
        outliers=outliers,
    )


def has_amplitudes(values: Float) -> bool:
    """Return whether the light of bins, those of positive light, differs as it does in galaxies."""
    lit = np.isfinite(values) & (values > 0)
    return bool(lit.sum() >= 3 and np.log(values[lit]).std() > UNEVEN)


def _lost_amplitudes(of_orbits: float, of_cube: float) -> str | None:
    """Return a complaint where one of two scatters of ln(light) is that of normalised bins."""
    low, high = sorted((of_orbits, of_cube))
    if not (low < NORMALISED and high > max(UNEVEN, UNEVEN_BY * low)):
        return None
    told = f"of the orbits differs by {of_orbits:.2g} and flux of the cube by {of_cube:.2g}"
    if of_cube < of_orbits:
        lost, mend = "Spectra", "give spectra with their flux"
    else:
        lost, mend = "LOSVDs", "give LOSVDs whose sum over velocity is the light of a bin"
    return (
        f"{lost} have no amplitudes left: the logarithm of the light {told} from bin to bin (rms). "
        f"They seem normalised: {mend}, or fit with normalization = 'unit' spectra that are each "
        "normalised."
    )


def _off_trend(ratio: Float, light: Float, n_pixels: NDArray[np.integer] | None) -> Float:
    """Return ln(light / flux) less its trend with light and surface brightness."""
    if n_pixels is None or ratio.size < LEAST_FOR_TREND:
        return np.asarray(ratio - np.median(ratio))
    # Ranks, as a cubic of the brightness itself leaves it at the few faintest bins.
    bright = rankdata(light / n_pixels) / ratio.size - 0.5
    columns = np.column_stack((np.ones(ratio.size), np.log(light), bright, bright**2, bright**3))
    off = ratio - np.median(ratio)
    for _ in range(ROUNDS):  # of least absolute deviations, which outliers do not draw
        root = 1.0 / np.sqrt(np.maximum(np.abs(off), SMALLEST))
        fit = np.linalg.lstsq(columns * root[:, None], ratio * root)[0]
        off = ratio - columns @ fit
    return np.asarray(off - np.median(off))


def _robust_scatter(values: Float) -> float:
    return float(1.4826 * np.median(np.abs(values - np.median(values))))


def _stands_out(off: Float) -> NDArray[np.bool_]:
    return np.asarray(np.abs(off) > max(OUTLIER * _robust_scatter(off), math.log(OUTLIER_FACTOR)))


def _about_outliers(outliers: NDArray[np.intp], off: Float, correlation: float) -> str:
    factors = np.exp(off)
    worst = np.argsort(-np.abs(off))[:NAMED]
    named = ", ".join(f"{outliers[n]} ({factors[n]:.2g})" for n in worst)
    return (
        f"Light of the orbits and flux of the cube correlate with {correlation:.3f} over the bins, "
        f"but their ratio stands out in {outliers.size} of them, by the factor in brackets: bin "
        f"{named}{', ...' if outliers.size > NAMED else ''}. Look there for bins in another order, "
        "stars in front, companions, dust or young stars, and pixels to be masked."
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
