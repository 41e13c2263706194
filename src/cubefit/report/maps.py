"""Maps of quantities on the sky: images where pixels lie on a grid, squares where they do not."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.collections import PolyCollection
from matplotlib.ticker import MaxNLocator
from scipy.spatial import cKDTree

from cubefit.errors import InputError
from cubefit.report.colour_scales import (
    Scale,
    add_colour_bar,
    colour_map,
    colour_norm,
    shown,
)
from cubefit.report.compass import Compass, draw_compass
from cubefit.report.style import (
    COLUMN_WIDTH_INCH,
    FONT_PT,
    PAGE_WIDTH_INCH,
    SIDE_BY_SIDE_INCH,
    in_lines,
    new_figure,
    require_shape,
    tidy,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Colormap, Normalize
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

STRIP = 0.6
"""Maps of less height over width have their colour bar above them, where its label has room."""
BESIDE_INCH = 1.0
"""Width that labels and colour bar of a map take."""
LEFT_INCH = 0.6
"""Width that the labels of a map without a bar beside it take."""
ABOVE_INCH = 0.65
"""Height of a colour bar above a map."""
BELOW_INCH = 0.4
"""Height of the labels below the last map of a column."""
GAP_INCH = 0.15
CHARACTER_INCH = 0.052
"""Mean width of those of a label."""
MARGIN_INCH = 0.06
"""Height free above and below everything."""
HEIGHTS_INCH = (1.4, 3.4)
"""Least and largest height of a map: the label of its colour bar fits into the least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MapPanel:
    """One quantity on the sky."""

    values: NDArray[np.floating]
    """Shape (ny, nx) on a grid, or (nPix,) anywhere; NaN where there is no value."""
    label: str
    """Of the colour bar, with unit."""
    scale: Scale = "linear"
    """``log_age`` of log10(age / Gyr), whose ticks are in Gyr; ``signed`` of residuals."""


def map_panels(
    *,
    panels: Sequence[MapPanel],
    x: NDArray[np.floating],
    y: NDArray[np.floating],
    pixel_unit: str,
    compass: Compass | None = None,
    title: str = "",
    width_inch: float | None = None,
) -> Figure:
    """Draw maps of quantities, each with its colour bar.

    Colour limits are driven by all values; where a few outliers would flatten the others they are
    the 1st and 99th percentile, and the ends of the colour bar say so.

    Parameters
    ----------
    panels : sequence of MapPanel
        What to draw; all on the same pixels.
    x, y : ndarray
        Centres of columns (nx,) and rows (ny,) of a regular grid, ascending, for values (ny, nx);
        coordinates of each pixel (nPix,) for values (nPix,).
    pixel_unit : str
        Unit of the coordinates.
    compass : Compass, optional
        North and east, drawn into the first map.
    title : str
        Above the first map.
    width_inch : float, optional
        Width of the figure; default one column for one map, two for more.

    Returns
    -------
    Figure

    Raises
    ------
    InputError
        If there is nothing to draw, or shapes disagree.
    """
    if not panels:
        raise InputError("map_panels got no panel: give at least one quantity.")
    gridded = panels[0].values.ndim == 2
    if not gridded:
        require_shape("y", y, x.shape, "x")
    for panel in panels:
        due = (y.size, x.size) if gridded else (x.size,)
        require_shape(panel.label, panel.values, due, "x and y")
    if not x.size or not np.isfinite(np.concatenate([x, y])).all():
        raise InputError("x or y is empty or not finite: give the coordinates of every pixel.")
    steps = grid_steps(x, y) if gridded else (spacing(x, y),) * 2
    frame = frame_of(x, y, steps)
    width = width_inch or (COLUMN_WIDTH_INCH if len(panels) == 1 else PAGE_WIDTH_INCH)
    title = in_lines(title, width)
    columns = columns_of(len(panels), width)
    rows = -(-len(panels) // columns)
    shape = (frame[3] - frame[2]) / (frame[1] - frame[0])
    is_strip = shape < STRIP
    ragged = len(panels) % columns > 0
    row = row_height(shape, width / columns)
    panels = labelled_within(panels, math.inf if is_strip else row)
    above = GAP_INCH * (1 + title.count("\n")) if title else 0.0
    figure = new_figure(width, rows * row + (1 + ragged) * BELOW_INCH + above)
    figure.set_layout_engine("compressed")  # Of panels whose shape is given.
    if is_strip and title:
        figure.suptitle(title, fontsize=FONT_PT, x=0.01, ha="left")
    grid = figure.subplots(rows, columns, squeeze=False)
    for place, axes in enumerate(grid.ravel()):
        if place >= len(panels):
            axes.set_axis_off()
            continue
        draw_map(figure, axes, panels[place], x, y, steps, bar_above=is_strip)
        axes.set(xlim=frame[:2], ylim=frame[2:], aspect="equal")
        last, first = place + columns >= len(panels), place % columns == 0
        tidy(
            axes,
            x=f"x [{pixel_unit}]" if last else "",
            y=f"y [{pixel_unit}]" if first else "",
            title=title if place == 0 and not is_strip else "",
        )
        axes.tick_params(labelbottom=last, labelleft=first)
        if place == 0 and compass is not None:
            draw_compass(figure, axes, compass)
        if is_strip:
            axes.yaxis.set_major_locator(MaxNLocator(2))
    _trim(figure)
    return figure


def _trim(figure: Figure) -> None:
    """Take away the height that panels of a given shape leave free, known when all is laid out."""
    figure.draw_without_rendering()
    height, drawn = figure.get_figheight(), figure.get_tightbbox()
    # Maps stay in the middle, and labels may reach beyond them at one end alone.
    spare = 2.0 * (min(drawn.y0, height - drawn.y1) - MARGIN_INCH)
    if spare > 0:
        figure.set_figheight(height - spare)


def row_height(shape: float, width_inch: float) -> float:
    """Return the height of a map of a given height over width, and of a bar above it, in inch."""
    if shape < STRIP:
        return max((width_inch - LEFT_INCH) * shape, 0.2) + ABOVE_INCH
    return float(np.clip((width_inch - BESIDE_INCH) * shape, *HEIGHTS_INCH)) + GAP_INCH


def labelled_within(panels: Sequence[MapPanel], height_inch: float) -> list[MapPanel]:
    """Return panels whose labels stand beside a row: units of long ones in a line of their own."""
    room = (height_inch - GAP_INCH) / CHARACTER_INCH
    broken = [
        "\n[".join(p.label.rsplit(" [", 1)) if len(p.label) > room else p.label for p in panels
    ]
    return [replace(panel, label=label) for panel, label in zip(panels, broken, strict=True)]


def columns_of(n_panels: int, width_inch: float) -> int:
    """Return how many maps stand side by side: two or three on a page, one in a column."""
    if width_inch < SIDE_BY_SIDE_INCH:
        return 1
    return min(n_panels, 2 if n_panels in {2, 4} else 3)


def grid_steps(x: NDArray[np.floating], y: NDArray[np.floating]) -> tuple[float, float]:
    """Return width and height of a pixel; square where there is one column or one row alone."""
    steps = [float(v[-1] - v[0]) / (v.size - 1) if v.size > 1 else 0.0 for v in (x, y)]
    return steps[0] or steps[1] or 1.0, steps[1] or steps[0] or 1.0


def spacing(x: NDArray[np.floating], y: NDArray[np.floating]) -> float:
    """Return the side of square pixels anywhere: the median distance to the nearest neighbour."""
    points = np.unique(np.column_stack([x, y]), axis=0)
    if len(points) < 2:
        return 1.0
    nearest, _ = cKDTree(points).query(points, k=2)
    return float(np.median(nearest[:, 1]))


def frame_of(
    x: NDArray[np.floating], y: NDArray[np.floating], steps: tuple[float, float]
) -> tuple[float, float, float, float]:
    """Return the outer edges of all pixels: left, right, bottom, top."""
    half = 0.5 * steps[0], 0.5 * steps[1]
    return (
        float(x.min() - half[0]),
        float(x.max() + half[0]),
        float(y.min() - half[1]),
        float(y.max() + half[1]),
    )


def draw_map(
    figure: Figure,
    axes: Axes,
    panel: MapPanel,
    x: NDArray[np.floating],
    y: NDArray[np.floating],
    steps: tuple[float, float],
    *,
    bar_above: bool,
) -> None:
    """Draw a map and its colour bar."""
    norm, extend = colour_norm(panel.values, panel.scale)
    values, colours = shown(panel.values, norm), colour_map(panel.scale)
    drawn: ScalarMappable
    if panel.values.ndim == 2:
        drawn = axes.imshow(
            values,
            cmap=colours,
            norm=norm,
            origin="lower",
            extent=frame_of(x, y, steps),
            interpolation="nearest",
        )
    else:
        drawn = _squares(x, y, steps[0], values, colours, norm)
        axes.add_collection(drawn)
    place = {"location": "top", "aspect": 30} if bar_above else {}
    add_colour_bar(
        figure, drawn, axes, label=panel.label, scale=panel.scale, extend=extend, **place
    )


def _squares(
    x: NDArray[np.floating],
    y: NDArray[np.floating],
    side: float,
    values: NDArray[np.floating],
    colours: Colormap,
    norm: Normalize,
) -> PolyCollection:
    """Return one square for each pixel, as large as the pixel."""
    corners = 0.5 * side * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    squares = np.column_stack([x, y])[:, None, :] + corners
    # Thin lines of the same colour close the gaps that rounding leaves between squares.
    drawn = PolyCollection(
        list(squares), cmap=colours, norm=norm, edgecolors="face", linewidths=0.2
    )
    drawn.set_array(np.ma.masked_invalid(values))
    return drawn
