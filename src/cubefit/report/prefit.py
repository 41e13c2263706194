"""Before a fit: data, templates, LOSVDs and stored models side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cubefit.drawing import extent
from cubefit.report.style import (
    FONT_PT,
    LEGEND_ENTRIES,
    LINE_PT,
    PAGE_WIDTH_INCH,
    SIDE_BY_SIDE_INCH,
    SMALL_FONT_PT,
    add_legend,
    drawable,
    median,
    new_figure,
    require_shape,
    say,
    series_colours,
    shade_unused,
    tidy,
)
from cubefit.spectra.grids import edges_of, ln_shift, velocity_of_shift

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

LABEL_SHARE = 0.075
"""Share of the height of a panel that one line of text takes."""


def prefit_panels(
    *,
    ln_wave: NDArray[np.float64],
    spectra: NDArray[np.floating],
    spectrum_labels: Sequence[str],
    mask: NDArray[np.bool_],
    templates: NDArray[np.floating],
    template_labels: Sequence[str],
    velocity_kms: NDArray[np.float64],
    losvds: NDArray[np.floating],
    losvd_labels: Sequence[str],
    dln_template: float,
    models: NDArray[np.floating],
    model_labels: Sequence[str],
    width_inch: float = PAGE_WIDTH_INCH,
) -> Figure:
    """Draw what goes into a fit, in four panels.

    Spectra, templates and models are divided by their medians and raised one above the other,
    LOSVDs divided by their peaks, so that faint and bright ones can be read in one panel; the
    labels keep the amplitudes.

    Parameters
    ----------
    ln_wave : ndarray, shape (L,)
        Observed pixel centres in ln(wavelength / Angstrom).
    spectra : ndarray, shape (n, L)
        Observed spectra; NaN leaves a gap.
    mask : ndarray of bool, shape (n, L)
        True where the fit uses the voxel. The others are drawn faint and drive no limits; pixels
        that none of the spectra uses are shaded.
    templates : ndarray, shape (m, L)
        Templates on the observed grid, not convolved.
    velocity_kms : ndarray, shape (V,)
        Centres of the velocity bins in km/s.
    losvds : ndarray, shape (k, V)
        LOSVD histograms.
    dln_template : float
        Template pixel in ln(wavelength).
    models : ndarray, shape (q, L)
        Stored models of some pairs of spaxel and component; q may be 0.
    spectrum_labels, template_labels, losvd_labels, model_labels : sequence of str
        One label for each row.
    width_inch : float
        Width of the figure; too narrow for two panels, it has one below the other.

    Returns
    -------
    Figure

    Raises
    ------
    InputError
        If arrays or labels disagree in shape.
    """
    n_pixels = ln_wave.size
    for name, array, labels, due in (
        ("spectra", spectra, spectrum_labels, n_pixels),
        ("templates", templates, template_labels, n_pixels),
        ("losvds", losvds, losvd_labels, velocity_kms.size),
        ("models", models, model_labels, n_pixels),
    ):
        require_shape(name, array, (len(labels), due), "the number of labels and the grid")
    require_shape("mask", mask, spectra.shape, "spectra")
    beside = width_inch >= SIDE_BY_SIDE_INCH
    figure = new_figure(width_inch, 5.6 if beside else 9.2)
    panels = figure.subplots(*((2, 2) if beside else (4, 1)))
    observed, unconvolved, kernels, stored = panels.ravel()
    for axes, rows, labels, used, title in (
        (observed, spectra, spectrum_labels, mask, "Observed spectra"),
        (unconvolved, templates, template_labels, None, "Templates, before convolution"),
        (stored, models, model_labels, None, "Stored models"),
    ):
        if len(rows):
            counted = np.ones(rows.shape, bool) if used is None else used
            _draw_stack(axes, ln_wave, rows, labels, counted, title=title)
        else:
            tidy(axes, x="", y="", title=title)
            say(axes, "no tiles built yet" if rows is models else "none given")
    _draw_losvds(kernels, velocity_kms, losvds, losvd_labels, dln_template)
    return figure


def stacked(
    spectra: NDArray[np.floating], used: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return spectra over their medians, raised so that none touches the next.

    Parameters
    ----------
    spectra : ndarray, shape (n, L)
        NaN stays NaN.
    used : ndarray of bool, shape (n, L)
        What counts; the rest follows, and may run off.

    Returns
    -------
    raised : ndarray, shape (n, L)
    edges : ndarray, shape (n, 2)
        Lowest and highest used value of each row, raised.
    """
    scaled = np.array(
        [row / (median(np.abs(row[good])) or 1.0) for row, good in zip(spectra, used, strict=True)]
    )
    edges = np.array(
        [extent(row[good]) or (0.0, 0.0) for row, good in zip(scaled, used, strict=True)]
    )
    heights = np.ptp(edges, axis=1)
    share = min(LABEL_SHARE, 0.5 / len(edges))
    room = max(0.2 * heights.max(), share * heights.sum() / (1.0 - share * len(edges)), 0.02)
    rises = edges[:-1, 1] - edges[1:, 0] + room
    offsets = np.concatenate([[0.0], np.cumsum(rises)])[:, None]
    return scaled + offsets, edges + offsets


def _draw_stack(
    axes: Axes,
    ln_wave: NDArray[np.float64],
    spectra: NDArray[np.floating],
    labels: Sequence[str],
    used: NDArray[np.bool_],
    *,
    title: str,
) -> None:
    """Draw spectra one above the other, each with a label above it."""
    tidy(axes, x="Wavelength [Å]", y="Flux density / median + offset", title=title)
    wave_edges = np.exp(edges_of(ln_wave))
    shade_unused(axes, wave_edges, np.asarray(used.any(axis=0)))
    raised, edges = stacked(spectra, used)
    for row, (line, label, colour) in enumerate(
        zip(raised, labels, series_colours(len(labels)), strict=True)
    ):
        axes.plot(np.exp(ln_wave), np.where(used[row], line, np.nan), color=colour, lw=LINE_PT)
        if not used.all():
            axes.plot(np.exp(ln_wave), line, color=colour, lw=LINE_PT, alpha=0.3, zorder=1)
        axes.annotate(
            f"{drawable(label)} (median {median(spectra[row, used[row]]):.3g})",
            (wave_edges[0], edges[row, 1]),
            xytext=(3.0, 1.5),
            textcoords="offset points",
            fontsize=SMALL_FONT_PT,
            color=colour,
        )
    low, high = edges[0, 0], edges[-1, 1]
    axes.set_ylim(low - 0.05 * (high - low) - 0.01, high + 0.12 * (high - low) + 0.01)
    axes.set_xlim(wave_edges[0], wave_edges[-1])


def _draw_losvds(
    axes: Axes,
    velocity_kms: NDArray[np.float64],
    losvds: NDArray[np.floating],
    labels: Sequence[str],
    dln_template: float,
) -> None:
    edges = edges_of(velocity_kms)
    for losvd, label, colour in zip(losvds, labels, series_colours(len(labels)), strict=True):
        peak = float(losvd.max()) or 1.0
        axes.stairs(
            losvd / peak, edges, color=colour, lw=LINE_PT, label=f"{label}: {losvd.sum():.3g}"
        )
        pixel_velocity, kernel = sampled_kernel(losvd, edges, dln_template)
        lit = kernel > 0
        axes.plot(
            pixel_velocity[lit], kernel[lit] / peak, ls="none", marker="o", ms=2, color=colour
        )
    title = "LOSVDs and their sums; dots: per template pixel"
    tidy(axes, x="Velocity [km/s]", y="LOSVD / peak", title=title)
    axes.set_xlim(edges[0], edges[-1])
    many = len(labels) > LEGEND_ENTRIES
    lines_of_text = 1 if many else -(-len(labels) // 2)
    axes.set_ylim(0.0, 1.1 / (1.0 - LABEL_SHARE * lines_of_text))
    told = f"{drawable(labels[0])} to {drawable(labels[-1])}" if many else None
    add_legend(axes, title=told, loc="upper left", columns=2)
    pixels = axes.secondary_xaxis(
        "top",
        functions=(
            lambda velocity: ln_shift(velocity) / dln_template,
            lambda offset: velocity_of_shift(np.asarray(offset) * dln_template),
        ),
    )
    pixels.set_xlabel("Offset [template pixels]", fontsize=FONT_PT)
    pixels.tick_params(labelsize=SMALL_FONT_PT)


def sampled_kernel(
    losvd: NDArray[np.floating], velocity_edges_kms: NDArray[np.float64], dln_template: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return an LOSVD as the templates see it: averaged over whole template pixels.

    Parameters
    ----------
    losvd : ndarray, shape (V,)
        Histogram: light per velocity bin.
    velocity_edges_kms : ndarray, shape (V + 1,)
        Bin edges in km/s.
    dln_template : float
        Template pixel in ln(wavelength).

    Returns
    -------
    velocity_kms : ndarray, shape (K,)
        Velocities of all whole pixel offsets that the histogram reaches.
    kernel : ndarray, shape (K,)
        Light in each template pixel, per width of a velocity bin as the histogram itself.
    """
    reach = np.round(ln_shift(velocity_edges_kms[[0, -1]]) / dln_template).astype(int)
    offsets = np.arange(reach[0], reach[1] + 1)
    pixel_edges = velocity_of_shift((np.append(offsets, offsets[-1] + 1) - 0.5) * dln_template)
    running = np.concatenate([[0.0], np.cumsum(losvd, dtype=np.float64)])
    light = np.diff(np.interp(pixel_edges, velocity_edges_kms, running))
    bin_width = float(velocity_edges_kms[1] - velocity_edges_kms[0])
    return velocity_of_shift(offsets * dln_template), light * bin_width / np.diff(pixel_edges)
