"""Residuals against wavelength, spaxel by spaxel and over all of them."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Final

import numpy as np

from cubefit.drawing import DATA_COLOUR, MODEL_COLOUR
from cubefit.errors import InputError
from cubefit.report.colour_scales import add_colour_bar, colour_map, colour_norm
from cubefit.report.style import (
    COLUMN_WIDTH_INCH,
    LINE_PT,
    QUIET_COLOUR,
    add_legend,
    new_figure,
    require_shape,
    shade_unused,
    tidy,
)
from cubefit.spectra.grids import edges_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

BAND_PERCENT: Final = (16.0, 50.0, 84.0)


def residual_spectrum(
    *,
    ln_wave: NDArray[np.float64],
    residual: NDArray[np.floating],
    unit: str,
    expected: float | None = None,
    width_inch: float = COLUMN_WIDTH_INCH,
) -> Figure:
    """Draw the residuals of all spaxels against wavelength, and their median and spread.

    Lines through all spaxels at one wavelength are what templates or sky leave; at one spaxel, what
    its noise or its orbits do.

    Parameters
    ----------
    ln_wave : ndarray, shape (L,)
        Pixel centres in ln(wavelength / Angstrom).
    residual : ndarray, shape (S, L)
        Data - model; NaN in voxels that the fit does not use.
    unit : str
        Of the residuals.
    expected : float, optional
        Their scatter if the model is right, 1 where they are in units of the noise.
    width_inch : float
        Width of the figure.

    Returns
    -------
    Figure

    Raises
    ------
    InputError
        If shapes disagree, or there is no residual at all.
    """
    require_shape("residual", residual, (len(residual), ln_wave.size), "ln_wave")
    if not np.isfinite(residual).any():
        raise InputError("All residuals are NaN: there is nothing to draw.")
    edges, wave = np.exp(edges_of(ln_wave)), np.exp(ln_wave)
    figure = new_figure(width_inch, 3.8)
    image, profile = figure.subplots(2, 1, sharex=True, height_ratios=[1.4, 1.0])
    norm, extend = colour_norm(residual, "signed")
    drawn = image.pcolorfast(
        edges,
        np.arange(len(residual) + 1) - 0.5,
        np.ma.masked_invalid(residual),
        cmap=colour_map("signed"),
        norm=norm,
    )
    label = f"Data - model [{unit}]"
    add_colour_bar(
        figure, drawn, image, label=label, scale="signed", extend=extend, location="top", aspect=40
    )
    tidy(image, x="", y="Spaxel")
    image.yaxis.get_major_locator().set_params(integer=True)
    low, middle, high = percentiles(residual)
    shade_unused(profile, edges, np.isfinite(middle))
    profile.axhline(0.0, color=QUIET_COLOUR, lw=0.6)
    profile.fill_between(
        wave, low, high, color=DATA_COLOUR, alpha=0.25, linewidth=0, label="68 % of spaxels"
    )
    profile.plot(wave, middle, color=DATA_COLOUR, lw=LINE_PT, label="median")
    reach = 1.3 * float(np.nanpercentile(np.abs([low, high]), 99.0)) or 1.0
    if expected is not None:
        for sign in (-1.0, 1.0):
            profile.axhline(
                sign * expected,
                color=MODEL_COLOUR,
                lw=0.7,
                ls="--",
                label="noise" if sign > 0 else None,
            )
        reach = max(reach, 1.3 * expected)
    profile.set(xlim=(edges[0], edges[-1]), ylim=(-reach, 1.35 * reach))
    tidy(profile, x="Wavelength [Å]", y=label)
    add_legend(profile, loc="upper right", columns=3)
    figure.align_ylabels([image, profile])
    return figure


def percentiles(residual: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the percentiles of `BAND_PERCENT` over spaxels, shape (3, L); NaN without values."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice", RuntimeWarning)
        return np.asarray(np.nanpercentile(residual, BAND_PERCENT, axis=0))
