"""The age-metallicity plane: how weights are spread over the templates."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING, Final

import matplotlib as mpl
import numpy as np
from matplotlib.colors import Normalize, PowerNorm

from cubefit.errors import InputError
from cubefit.report.colour_scales import add_colour_bar, age_ticks
from cubefit.report.style import (
    COLUMN_WIDTH_INCH,
    PAGE_WIDTH_INCH,
    SIDE_BY_SIDE_INCH,
    SMALL_FONT_PT,
    new_figure,
    require_shape,
    tidy,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

PLANE_COLOURS: Final = "magma_r"
NOTHING: Final = 1e-3
"""Cells below this part of the fullest are white: most cells of a solution hold nothing."""
MOST_PLANES: Final = 24
LETTERS_PER_INCH: Final = 13
"""Of the label of a colour bar."""
MEAN_COLOUR: Final = "#009E73"


def population_planes(
    *,
    weights: NDArray[np.floating],
    log_age: NDArray[np.floating],
    metal: NDArray[np.floating],
    titles: Sequence[str],
    weight_label: str,
    width_inch: float | None = None,
) -> Figure:
    """Draw how the weights of each panel are spread over age and metallicity, and their mean.

    Parameters
    ----------
    weights : ndarray, shape (n, nZ, nAge)
        Non-negative; each panel is drawn in percent of its own sum.
    log_age : ndarray, shape (nAge,)
        log10(age / Gyr) of the templates, in any order.
    metal : ndarray, shape (nZ,)
        Their [M/H] in dex, in any order.
    titles : sequence of str
        One for each panel.
    weight_label : str
        What the weights are, such as ``"light"``.
    width_inch : float, optional
        Width of the figure; default one column for one panel, two for more.

    Returns
    -------
    Figure

    Raises
    ------
    InputError
        If shapes disagree, weights are negative or not finite, there is no panel or there are too
        many, an age is not finite, or two ages or metallicities are the same.
    """
    require_shape(
        "weights", weights, (len(titles), metal.size, log_age.size), "titles, metal and log_age"
    )
    if not 0 < len(titles) <= MOST_PLANES:
        raise InputError(f"{len(titles)} planes: choose 1 to {MOST_PLANES} of them.")
    if not (np.isfinite(weights) & (weights >= 0)).all():
        raise InputError("weights hold negative, NaN or infinite values: fit again.")
    if not np.isfinite(log_age).all():
        raise InputError(
            "log_age holds NaN or infinite values: the plane needs ages above zero in Gyr; "
            "populate with template_axes of those."
        )
    by_metal, by_age = np.argsort(metal), np.argsort(log_age)
    edges = cell_edges("log_age", log_age[by_age]), cell_edges("metal", metal[by_metal])
    ordered = weights[:, by_metal][:, :, by_age]
    totals = ordered.sum(axis=(1, 2), keepdims=True)
    percent = np.divide(100.0 * ordered, totals, out=np.zeros(ordered.shape), where=totals > 0)
    width = width_inch or (COLUMN_WIDTH_INCH if len(titles) == 1 else PAGE_WIDTH_INCH)
    columns = min(len(titles), 4 if width >= SIDE_BY_SIDE_INCH else 2)
    rows = -(-len(titles) // columns)
    single = len(titles) == 1
    height = 2.4 if single else 0.5 + 0.72 * width / columns * rows
    figure = new_figure(width, height)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    # Planes of single components are peaked, and that of their sum is not: a root shows both.
    norm = PowerNorm(1.0 if single else 0.5, 0.0, float(percent.max()) or 1.0)
    for place, axes in enumerate(grid.ravel()):
        if place >= len(titles):
            axes.set_axis_off()
            continue
        title = titles[place] if place else f"{titles[0]} (dot: mean)"
        drawn = draw_plane(axes, percent[place], edges, norm, title)
        _mark_mean(axes, percent[place], log_age[by_age], metal[by_metal])
        age_ticks(axes.xaxis, (float(edges[0][0]), float(edges[0][-1])))
        below = place + columns >= len(titles)
        axes.tick_params(labelbottom=below)
        axes.set_xlabel("Age [Gyr]" if below else "")
        axes.set_ylabel("[M/H] [dex]" if place % columns == 0 else "")
    share = f"Share of {weight_label} per cell [%]"
    how = f"{'' if single else 'square-root scale; '}{white(norm)}"
    lines = [share, *wrap(how, int(LETTERS_PER_INCH * height))]
    add_colour_bar(
        *(figure, drawn, list(grid.ravel())),
        label="\n".join(lines),
        scale="linear",
        aspect=18 * rows,
    )
    return figure


def white(norm: Normalize) -> str:
    """Return what is white in a plane."""
    return f"white: below {NOTHING * float(norm.vmax or 1.0):.2g} %"


def cell_edges(name: str, centres: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return edges of cells halfway between ascending centres, the outer ones as far out.

    Raises
    ------
    InputError
        If two centres are the same.
    """
    if centres.size == 1:
        return np.array([centres[0] - 0.1, centres[0] + 0.1])
    if not (np.diff(centres) > 0).all():
        raise InputError(
            f"Two values of {name} are the same: give each axis of the templates once."
        )
    middles = 0.5 * (centres[1:] + centres[:-1])
    ends = 2.0 * centres[[0, -1]] - middles[[0, -1]]
    return np.concatenate([ends[:1], middles, ends[1:]])


def draw_plane(
    axes: Axes,
    percent: NDArray[np.floating],
    edges: tuple[NDArray[np.float64], NDArray[np.float64]],
    norm: Normalize,
    title: str,
) -> QuadMesh:
    """Draw shares of cells, (nZ, nAge) in percent, with the edges of the cells."""
    cells = np.ma.masked_less(percent, NOTHING * float(norm.vmax or 1.0))  # See `white`.
    drawn = axes.pcolormesh(*edges, cells, cmap=mpl.colormaps[PLANE_COLOURS], norm=norm)
    tidy(axes, x="x", y="y")
    axes.spines[:].set_visible(True)
    axes.set_title(title, fontsize=SMALL_FONT_PT, loc="left", pad=3.0)
    return drawn


def _mark_mean(
    axes: Axes,
    percent: NDArray[np.floating],
    log_age: NDArray[np.floating],
    metal: NDArray[np.floating],
) -> None:
    total = percent.sum()
    if total > 0:
        axes.plot(
            percent.sum(axis=0) @ log_age / total,
            percent.sum(axis=1) @ metal / total,
            ls="none",
            marker="o",
            ms=4.0,
            mfc=MEAN_COLOUR,
            mec="white",
            mew=0.8,
            label="mean",
        )
