"""Populations of the components along what is known of them, such as the radius of the orbits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from cubefit.drawing import POINT_COLOUR, limits
from cubefit.errors import InputError
from cubefit.report.colour_scales import age_ticks
from cubefit.report.style import (
    COLUMN_WIDTH_INCH,
    PAGE_WIDTH_INCH,
    QUIET_COLOUR,
    SIDE_BY_SIDE_INCH,
    SMALL_FONT_PT,
    in_lines,
    new_figure,
    property_x_axis,
    require_shape,
    tidy,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

MOST_PROPERTIES: Final = 4
AREAS_PT2: Final = (3.0, 50.0)
"""Of a component without weight, and of the heaviest one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """What the components have of one population property."""

    means: NDArray[np.floating]
    """Shape (C,); NaN for components without weight, which are left out."""
    scatters: NDArray[np.floating]
    """Standard deviation inside each component, shape (C,)."""
    label: str
    """With unit."""
    is_log_age: bool = False
    """Whether the means are log10(age / Gyr): the axis then shows Gyr."""


def property_trends(
    *,
    trends: Sequence[Trend],
    properties: Mapping[str, NDArray[np.floating]],
    weights: NDArray[np.floating],
    weight_label: str,
    note: str = "",
    width_inch: float | None = None,
) -> Figure:
    """Draw means of population properties against properties of the components.

    Points have areas by weight, and thin bars of the scatter inside each component.

    Parameters
    ----------
    trends : sequence of Trend
        One row of panels each.
    properties : mapping of str to ndarray, shape (C,)
        One column of panels each, below each other where they do not fit side by side; the name,
        with unit, is the label.
    weights : ndarray, shape (C,)
        Finite, non-negative, not all zero.
    weight_label : str
        What they are, such as ``"light"``.
    note : str
        More to be told above all panels.
    width_inch : float, optional
        Width of the figure; default one column for one property, two for more.

    Returns
    -------
    Figure

    Raises
    ------
    InputError
        If shapes disagree, weights are impossible, or there is nothing or too much to draw.
    """
    if not trends or not 0 < len(properties) <= MOST_PROPERTIES:
        raise InputError(
            f"{len(trends)} trends along {len(properties)} properties: give at least one trend, "
            f"and 1 to {MOST_PROPERTIES} properties."
        )
    for trend in trends:
        require_shape(trend.label, trend.means, weights.shape, "weights")
        require_shape(f"the scatter of {trend.label}", trend.scatters, weights.shape, "weights")
    for name, values in properties.items():
        require_shape(name, values, weights.shape, "weights")
    if not (np.isfinite(weights) & (weights >= 0)).all() or not weights.any():
        raise InputError("weights must be finite, non-negative and not all zero: fit first.")
    width = width_inch or (COLUMN_WIDTH_INCH if len(properties) == 1 else PAGE_WIDTH_INCH)
    is_stack = len(properties) == 1 or width < SIDE_BY_SIDE_INCH
    figure, grid = _panels(len(trends), len(properties), width, is_stack=is_stack)
    for row, trend in zip(grid, trends, strict=True):
        for axes, (name, values) in zip(row, properties.items(), strict=True):
            _draw_trend(axes, values, trend, weights)
            first, last = is_stack or axes is row[0], axes in grid[-1]
            tidy(axes, x=name if last else "", y=trend.label if first else "")
            axes.tick_params(labelbottom=last, labelleft=first)
    title = f"Weighted by {weight_label} (area); bars: scatter within components"
    title = in_lines(f"{title}\n{note}", width, SMALL_FONT_PT)
    if is_stack:
        grid[0, 0].set_title(title, fontsize=SMALL_FONT_PT, loc="left")
    else:  # A title wider than its panel would push the next one away.
        figure.suptitle(title, fontsize=SMALL_FONT_PT, x=0.01, ha="left")
    figure.align_ylabels(list(grid.ravel() if is_stack else grid[:, 0]))
    return figure


def _panels(
    n_trends: int, n_properties: int, width_inch: float, *, is_stack: bool
) -> tuple[Figure, NDArray[np.object_]]:
    """Return a figure and its panels, (n_trends, n_properties), all in one column for a stack."""
    if not is_stack:
        figure = new_figure(width_inch, 0.6 + 1.7 * n_trends)
        return figure, figure.subplots(
            n_trends, n_properties, sharex="col", sharey="row", squeeze=False
        )
    figure = new_figure(width_inch, n_properties * (0.5 + 1.5 * n_trends) + 0.2)
    panels = figure.subplots(n_trends * n_properties, 1, squeeze=False)
    return figure, panels.reshape(n_properties, n_trends).T


def _draw_trend(
    axes: Axes, values: NDArray[np.floating], trend: Trend, weights: NDArray[np.floating]
) -> None:
    known = np.isfinite(trend.means) & np.isfinite(values) & (weights > 0)
    means, scatters = trend.means[known], trend.scatters[known]
    axes.errorbar(
        values[known],
        means,
        scatters,
        ls="none",
        ecolor=QUIET_COLOUR,
        elinewidth=0.5,
        alpha=0.6,
        zorder=1,
    )
    shares = weights[known] / weights.max()
    axes.scatter(
        values[known],
        means,
        s=AREAS_PT2[0] + np.diff(AREAS_PT2) * shares,
        color=POINT_COLOUR,
        alpha=0.75,
        edgecolor="white",
        linewidth=0.3,
        zorder=2,
    )
    property_x_axis(axes, values[np.isfinite(values)])
    window = limits([means - scatters, means + scatters]) or (0.0, 1.0)
    axes.set_ylim(window)
    if trend.is_log_age:
        age_ticks(axes.yaxis, window)
