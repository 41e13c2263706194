"""After a fit: spectra of some spaxels against the model, with residuals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.patches import Patch

from cubefit.drawing import DATA_COLOUR, MODEL_COLOUR, limits
from cubefit.errors import InputError
from cubefit.report.style import (
    LINE_PT,
    PAGE_WIDTH_INCH,
    QUIET_COLOUR,
    SMALL_FONT_PT,
    UNUSED_COLOUR,
    new_figure,
    require_shape,
    shade_unused,
    tidy,
)
from cubefit.spectra.grids import edges_of
from cubefit.spectra.residuals import scaled_residual

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

BULK_PERCENT: Final = (1.0, 99.0)
FLATTENED: Final = 3.0
"""Limits leave outliers out where all data need more than so many times the room of the bulk."""


def spectrum_fits(
    *,
    ln_wave: NDArray[np.float64],
    data: NDArray[np.floating],
    model: NDArray[np.floating],
    noise: NDArray[np.floating] | None,
    used: NDArray[np.bool_],
    titles: Sequence[str],
    flux_unit: str = "data unit",
    width_inch: float = PAGE_WIDTH_INCH,
) -> Figure:
    """Draw data and model of some spaxels, and below each the residual.

    Parameters
    ----------
    ln_wave : ndarray, shape (L,)
        Pixel centres in ln(wavelength / Angstrom).
    data, model : ndarray, shape (n, L)
        Flux densities; those of unused pixels may be anything, NaN too.
    noise : ndarray, shape (n, L), or None
        One sigma, positive in used pixels; residuals are in its units. Without it they are in
        percent of the model.
    used : ndarray of bool, shape (n, L)
        True where the fit uses the pixel; the others are shaded and drive no limits.
    titles : sequence of str
        One for each spaxel.
    flux_unit : str
        Unit of the flux densities.
    width_inch : float
        Width of the figure.

    Returns
    -------
    Figure

    Raises
    ------
    InputError
        If shapes disagree, there is no spaxel, or the noise is not positive in a used pixel.
    """
    shape = (len(titles), ln_wave.size)
    for name, array in (("data", data), ("model", model), ("used", used), ("noise", noise)):
        if array is not None:
            require_shape(name, array, shape, "titles and ln_wave")
    if not titles:
        raise InputError("spectrum_fits got no spaxel: give at least one spectrum and title.")
    if noise is not None and not (noise[used] > 0).all():
        raise InputError(
            "noise is zero, negative or NaN in a used pixel: mark such pixels as unused."
        )
    figure = new_figure(width_inch, 0.5 + 2.1 * len(titles))
    # The label of a tick at the right edge reaches beyond what the layout counts with.
    figure.set_layout_engine("constrained", w_pad=0.1)
    panels = figure.subplots(
        2 * len(titles), 1, sharex=True, squeeze=False, height_ratios=[2.6, 1.0] * len(titles)
    )[:, 0]
    for row, title in enumerate(titles):
        upper, lower = panels[2 * row], panels[2 * row + 1]
        for axes in (upper, lower):
            shade_unused(axes, np.exp(edges_of(ln_wave)), used[row])
        draw_fit(upper, np.exp(ln_wave), data[row], model[row], used[row])
        sigma = None if noise is None else noise[row]
        residual, unit = residuals(data[row], model[row], sigma, used[row])
        _draw_residual(lower, np.exp(ln_wave), residual)
        tidy(upper, x="", y=f"Flux density\n[{flux_unit}]", title=title)
        tidy(lower, x="", y=f"Residual\n[{unit}]")
    _add_legend(figure, panels[0], shaded=not used.all())
    panels[-1].set_xlabel("Wavelength [Å]", fontsize=panels[-1].yaxis.label.get_fontsize())
    panels[-1].set_xlim(*np.exp(edges_of(ln_wave)[[0, -1]]))
    figure.align_ylabels(list(panels))
    return figure


def residuals(
    data: NDArray[np.floating],
    model: NDArray[np.floating],
    noise: NDArray[np.floating] | None,
    used: NDArray[np.bool_],
) -> tuple[NDArray[np.float64], str]:
    """Return data - model in units of the noise, or in percent of the model, and the unit.

    Unused pixels are NaN, and so are those where the model holds no light to compare with.
    """
    return scaled_residual(data, model, noise, used), "%" if noise is None else r"$\sigma$"


def draw_fit(
    axes: Axes,
    wave: NDArray[np.float64],
    data: NDArray[np.floating],
    model: NDArray[np.floating],
    used: NDArray[np.bool_],
) -> None:
    """Draw data and model of a spaxel, within limits that outliers do not set."""
    axes.plot(wave, data, color=DATA_COLOUR, lw=LINE_PT, label="data")
    axes.plot(wave, model, color=MODEL_COLOUR, lw=LINE_PT, label="model")
    window = fit_window(data[used], model[used])
    if window is not None:
        axes.set_ylim(window)
        _tell_outside(axes, int(((data[used] < window[0]) | (data[used] > window[1])).sum()))


def fit_window(
    data: NDArray[np.floating], model: NDArray[np.floating]
) -> tuple[float, float] | None:
    """Return limits that show all used data and model, but not outliers that would flatten both."""
    everything = limits(np.concatenate([data, model]))
    if everything is None:
        return None
    middle = np.concatenate([np.percentile(data, BULK_PERCENT), model])
    bulk = limits(middle)
    if bulk is None or np.ptp(everything) <= FLATTENED * np.ptp(bulk):
        return everything
    return bulk


def _draw_residual(axes: Axes, wave: NDArray[np.float64], residual: NDArray[np.float64]) -> None:
    axes.axhline(0.0, color=QUIET_COLOUR, lw=0.6)
    axes.plot(wave, residual, ls="none", marker=".", ms=1.6, color=DATA_COLOUR)
    finite = np.abs(residual[np.isfinite(residual)])
    if finite.size:
        bulk, most = float(np.percentile(finite, BULK_PERCENT[1])), float(finite.max())
        # A single bad pixel must not flatten all others: it leaves the panel instead.
        reach = (1.1 * most if most <= FLATTENED * bulk else 1.5 * bulk) or 1.0
        axes.set_ylim(-reach, reach)
        outside = int((finite > reach).sum())
        _tell_outside(axes, outside)


def _add_legend(figure: Figure, axes: Axes, *, shaded: bool) -> None:
    """Name the lines, and what is shaded, above all panels: inside there is no room."""
    handles: list[Artist] = list(axes.lines[:2])
    if shaded:
        handles.append(Patch(color=UNUSED_COLOUR, linewidth=0, label="not used"))
    figure.legend(
        handles=handles,
        loc="outside upper right",
        ncols=len(handles),
        fontsize=SMALL_FONT_PT,
        frameon=False,
        handlelength=1.2,
        borderaxespad=0.1,
    )


def _tell_outside(axes: Axes, count: int) -> None:
    """Write how many points are beyond the limits, if any."""
    if count:
        axes.text(
            *(0.995, 0.93),
            f"{count} outside",
            transform=axes.transAxes,
            ha="right",
            va="top",
            fontsize=SMALL_FONT_PT,
            bbox={"color": "white", "pad": 0.5},
        )
