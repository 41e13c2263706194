"""Whether the noise that a cube states is what its spectra scatter by."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

FACTOR: Final = 3.0
"""By which the two may differ: neighbours share noise, and stated noise has its own error."""
LAGS: Final = (1, 2)
"""Pixels between those that are compared: neighbours share noise, far ones differ by lines."""
STEPS: Final = (1.0, -3.0, 3.0, -1.0)
"""Third differences: no smooth continuum is left."""
SIGMA: Final = 1.4826
"""Of a Gaussian, in median absolute deviations."""
LINES: Final = 1.5
"""Times the reference's that lines of a galaxy may differ by."""
MOST_SN: Final = 1e5
"""No spectrum has more signal to noise a pixel."""
MOST_SPECTRA: Final = 500
"""That are looked at, evenly of all: their median is what counts."""
LEAST: Final = 20
"""Differences that tell the scatter of a spectrum."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedNoise:
    """The scatter between neighbouring pixels, over the noise that is stated."""

    ok: bool
    message: str
    ratio: float
    """Median over the spectra; NaN where nothing tells it."""


def stated_noise(
    flux: NDArray[np.floating],
    noise: NDArray[np.floating],
    mask: NDArray[np.bool_],
    reference: Float | None = None,
    *,
    shared_px: float = 1.0,
) -> StatedNoise:
    """Return whether spectra scatter from pixel to pixel as their noise says.

    Parameters
    ----------
    flux, noise : ndarray, shape (S, L)
        Spectra and one sigma.
    mask : ndarray of bool, shape (S, L)
        True = use; the others may hold anything.
    reference : ndarray, shape (L,), optional
        A spectrum of such lines as the galaxy has, in any unit: how far they alone make
        neighbours differ.
    shared_px : float
        Pixels that were made of one pixel of the detector, or over which noise is shared.

    Returns
    -------
    StatedNoise
        Not ``ok`` beyond a factor of three. Noise that neighbours share makes them alike, lines
        make them differ: neither counts.
    """
    some = slice(None, None, -(-len(flux) // MOST_SPECTRA))
    flux, noise, mask = flux[some], noise[some], mask[some]
    used = mask & (noise > 0)
    if used.any():
        typical = float(np.median(np.abs(flux[used]).astype(np.float64) / noise[used]))
        if typical > MOST_SN:
            message = (
                f"The stated noise is {1.0 / typical:.2g} of the flux: is it in another unit, or a "
                "variance? Give one sigma in the unit of the flux."
            )
            return StatedNoise(ok=False, message=message, ratio=np.nan)
    stride = max(1, math.ceil(shared_px))
    found = np.array([_ratios(flux, noise, mask, reference, stride * lag) for lag in LAGS])
    low, high = (float(np.nanmedian(f)) if np.isfinite(f).any() else np.nan for f in _ends(found))
    if not low <= high:
        return StatedNoise(ok=True, message="Spectra are too short to tell noise.", ratio=np.nan)
    ratio = min(max(1.0, low), high)
    if 1.0 / FACTOR <= ratio <= FACTOR:
        message = f"Neighbouring pixels scatter as their noise says, to a factor of {FACTOR:g}."
        return StatedNoise(ok=True, message=message, ratio=ratio)
    message = (
        f"Neighbouring pixels scatter by {ratio:.3g} times the stated noise: is it a variance, "
        "1 / variance, in another unit than the flux, or only relative? Give one sigma in the unit "
        "of the flux, or the format that the cube has."
    )
    return StatedNoise(ok=False, message=message, ratio=ratio)


def _ends(ratios: Float) -> tuple[Float, Float]:
    """Return what a spectrum scatters by at least and at most, shapes (S,).

    Lines are felt least by the nearest neighbours, and shared noise by the farthest.
    """
    low, high = ratios[:, 0], ratios[:, 1]
    return np.fmin.reduce(low, axis=0), np.fmax.reduce(high, axis=0)


def _ratios(
    flux: NDArray[np.floating],
    noise: NDArray[np.floating],
    mask: NDArray[np.bool_],
    reference: Float | None,
    lag: int,
) -> Float:
    """Return scatter over noise of each spectrum without what lines do, and with it, (2, S)."""
    found = np.full((2, len(flux)), np.nan)
    n = flux.shape[1] - 3 * lag
    if n < LEAST:
        return found
    for s, (values, sigma, use) in enumerate(zip(flux, noise, mask, strict=True)):
        good = use[:n] & use[lag : lag + n] & use[2 * lag : 2 * lag + n] & use[3 * lag :]
        if good.sum() < LEAST:
            continue
        steps = _third(np.where(use, values, 0.0).astype(np.float64), lag)[good]
        variance = np.where(use, sigma, 0.0).astype(np.float64) ** 2
        expected = np.sqrt(sum(c**2 * variance[k * lag : k * lag + n] for k, c in enumerate(STEPS)))
        due = float(np.median(expected[good]))
        if not due > 0:
            continue
        scatter = SIGMA * float(np.median(np.abs(steps)))
        lines, level = 0.0, 0.0 if reference is None else float(np.median(reference[use]))
        if reference is not None and level > 0:
            unit = abs(float(np.median(values[use]))) / level
            lines = LINES * SIGMA * unit * float(np.median(np.abs(_third(reference, lag)[good])))
        with np.errstate(over="ignore"):
            found[:, s] = np.sqrt(max(scatter**2 - lines**2, 0.0)) / due, scatter / due
    return found


def _third(values: Float, lag: int) -> Float:
    n = values.size - 3 * lag
    return np.asarray(sum(c * values[k * lag : k * lag + n] for k, c in enumerate(STEPS)))
