"""Whether fluxes are of a size that computes well."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cubefit.errors import InputError

FAINTEST: Final = 1e-12
BRIGHTEST: Final = 1e12
"""Typical fluxes outside these limits are in a unit that was not scaled: squares of 1e-20, the
unit of MUSE in cgs, are no float32 numbers any more."""


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
