"""Checks of single quantities: unit of the flux, order of the resolutions, range of templates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cubefit.errors import GridError, InputError
from cubefit.spectra.grids import Coverage, coverage, require_cover

Float = NDArray[np.float64]

FAINTEST: Final = 1e-12
BRIGHTEST: Final = 1e12
"""Typical fluxes outside these limits are in a unit that was not scaled: squares of 1e-20, the
unit of MUSE in cgs, are no float32 numbers any more."""

SAME_RESOLUTION: Final = 1e-3
"""Relative excess of the templates' FWHM that is rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FluxUnit:
    """Of what size the fluxes are."""

    ok: bool
    message: str
    median: float
    negative_share: float
    """Of the pixels in use."""
    dark_spectra: int
    """Spectra whose median is not positive."""


def flux_unit(flux: NDArray[np.floating], mask: NDArray[np.bool_] | None = None) -> FluxUnit:
    """Return whether fluxes are of a size that computes well, and mostly positive.

    Parameters
    ----------
    flux : ndarray, shape (S, L)
        Of each bin.
    mask : ndarray of bool, shape (S, L), optional
        True = use; the others may hold anything. Default all that are finite.

    Returns
    -------
    FluxUnit

    Raises
    ------
    InputError
        If no pixel is in use.
    """
    used = np.isfinite(flux) if mask is None else mask & np.isfinite(flux)
    if not used.any():
        raise InputError("No pixel of the cube is in use: check its mask.")
    values = np.asarray(flux[used], np.float64)
    median = float(np.median(values))
    medians = [
        float(np.median(row[good])) for row, good in zip(flux, used, strict=True) if any(good)
    ]
    dark = sum(value <= 0 for value in medians)
    negative = float((values < 0).mean())
    ok, message = True, f"The median flux is {median:.3g}; {100 * negative:.2g} % are negative."
    if median <= 0:
        ok = False
        message = (
            f"The median flux is {median:.3g}, not positive: was too much sky subtracted, or is "
            "this no flux? Give the cube's flux, and cut by min_sn."
        )
    elif not FAINTEST <= median <= BRIGHTEST:
        ok = False
        message = (
            f"The median flux is {median:.3g}: its unit was not scaled. Multiply flux and noise by "
            f"1e{-round(np.log10(median)):+d} (single precision ends at 1e-38 and 1e38, and "
            "squares are taken)."
        )
    elif dark:
        message += f" {dark} of {len(medians)} spectra have a median that is not positive."
    return FluxUnit(
        ok=ok, message=message, median=median, negative_share=negative, dark_spectra=dark
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolutionOrder:
    """Whether templates are at least as sharp as the data."""

    ok: bool
    message: str
    worst_ratio: float
    """Largest FWHM of the templates over that of the instrument."""
    worst_wave: float
    """Where, in Angstrom."""


def resolution_order(template_fwhm: Float, instrument_fwhm: Float, wave: Float) -> ResolutionOrder:
    """Return whether templates can be smoothed to the instrument's resolution.

    Parameters
    ----------
    template_fwhm, instrument_fwhm : ndarray, shape (L,) or scalar arrays
        In Angstrom at the same (rest) wavelengths: an observed FWHM is ``1 + z`` wider.
    wave : ndarray, shape (L,)
        Those, in Angstrom.

    Returns
    -------
    ResolutionOrder

    Raises
    ------
    InputError
        If a FWHM is not positive.
    """
    have, want = (np.broadcast_to(each, wave.shape) for each in (template_fwhm, instrument_fwhm))
    if not ((have > 0).all() and (want > 0).all()):
        raise InputError("A FWHM is not positive: give the resolution in Angstrom.")
    ratio = have / want
    worst = int(np.argmax(ratio))
    coarse = ratio > 1.0 + SAME_RESOLUTION
    ok = not coarse.any()
    if ok:
        message = (
            f"Templates are at least as sharp as the data: at most {ratio[worst]:.2f} as wide."
        )
    else:
        low, high = wave[coarse][[0, -1]]
        message = (
            f"Templates are coarser than the data between {low:.0f} and {high:.0f} A, at most at "
            f"{wave[worst]:.0f} A (FWHM {have[worst]:.2f} against {want[worst]:.2f} A): fits would "
            "make dispersions too small. Take a sharper library, narrow the range, or smooth the "
            "cube."
        )
    return ResolutionOrder(
        ok=ok, message=message, worst_ratio=float(ratio[worst]), worst_wave=float(wave[worst])
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateRange:
    """Whether templates reach as far as data and velocities need."""

    ok: bool
    message: str
    coverage: Coverage


def template_range(
    template_ln_wave: Float, observed_ln_wave: Float, velocity_edges_kms: tuple[float, float]
) -> TemplateRange:
    """Return how the templates cover the data, see `cubefit.spectra.grids.require_cover`."""
    found = coverage(template_ln_wave, observed_ln_wave, velocity_edges_kms)
    try:
        require_cover(template_ln_wave, observed_ln_wave, velocity_edges_kms)
    except GridError as error:
        return TemplateRange(ok=False, message=str(error), coverage=found)
    message = f"Templates cover data and velocities, with {found.spare_px:.1f} pixels to spare."
    return TemplateRange(ok=True, message=message, coverage=found)
