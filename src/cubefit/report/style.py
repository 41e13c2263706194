"""How all figures look: sizes, colours that the colour-blind can tell apart, and axis limits."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.mathtext import MathTextParser
from matplotlib.ticker import (
    LogFormatterSciNotation,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    StrMethodFormatter,
)

from cubefit.drawing import limits, log_limits, unused_ranges
from cubefit.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from numpy.typing import NDArray

PAGE_WIDTH_INCH: Final = 7.1
"""Two columns of a journal page."""
COLUMN_WIDTH_INCH: Final = 3.4
"""One column of a journal page."""
SIDE_BY_SIDE_INCH: Final = 5.0
"""Two square panels need as much."""
WIDTHS_INCH: Final = (2.5, 30.0)
"""Type of 8 points does not fit into less."""

FONT_PT: Final = 8.0
SMALL_FONT_PT: Final = 7.0
CHARACTERS_PER_INCH: Final = 13.0
"""Of a title in type of `FONT_PT`."""
UNBROKEN: Final = "\u00a0"
"""A space at which no line of a title ends."""
LINE_PT: Final = 0.8

UNUSED_COLOUR: Final = "0.88"
QUIET_COLOUR: Final = "0.6"

SERIES_COLOURS: Final = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#000000",
    "#E69F00",
    "#56B4E9",
)
"""Okabe & Ito (2008), dark ones first; yellow is too faint for thin lines on white."""

PROPERTY_DECADES: Final = 4.0
"""Properties further than this below the largest stand off a log axis."""

Corner: TypeAlias = Literal["best", "upper left", "upper right", "lower right"]

LEGEND_ENTRIES: Final = 6
"""More lines than this are told apart by nobody: they get a colour scale and no legend."""


def require_width(width_inch: float) -> None:
    """Raise InputError unless a figure of that width can be read and printed."""
    if not WIDTHS_INCH[0] <= width_inch <= WIDTHS_INCH[1]:
        raise InputError(
            f"A figure {width_inch:g} inch wide: give {WIDTHS_INCH[0]:g} to {WIDTHS_INCH[1]:g}, "
            f"such as {COLUMN_WIDTH_INCH} for one column or {PAGE_WIDTH_INCH} for two."
        )


def require_label(text: str) -> None:
    """Raise InputError unless a text can be drawn: between two dollars it is math."""
    try:
        MathTextParser("path").parse(text)
    except ValueError:
        raise InputError(
            f"The label {text!r} is no math that can be drawn: mend what is between the dollars, "
            "or write \\$ for a dollar."
        ) from None


def drawable(text: str) -> str:
    """Return a user's text as it can be drawn: dollars that enclose no math are dollars."""
    try:
        MathTextParser("path").parse(text)
    except ValueError:
        return text.replace("$", r"\$")
    return text


def in_lines(title: str, width_inch: float, font_pt: float = FONT_PT) -> str:
    """Return a title in lines that a figure has room for; none ends at an `UNBROKEN` space."""
    width = int(width_inch * CHARACTERS_PER_INCH * FONT_PT / font_pt)
    lines = [line for part in title.split("\n") for line in wrap(part, width)]
    return "\n".join(lines).replace(UNBROKEN, " ")


def new_figure(width_inch: float, height_inch: float) -> Figure:
    """Return an empty figure that lays itself out and belongs to no window.

    Raises
    ------
    InputError
        If the width is not one that a page has.
    """
    require_width(width_inch)
    return Figure(figsize=(width_inch, height_inch), layout="constrained", dpi=100)


def series_colours(count: int) -> list[str]:
    """Return one colour for each of ``count`` lines."""
    if count <= len(SERIES_COLOURS):
        return list(SERIES_COLOURS[:count])
    scale = mpl.colormaps["cividis"](np.linspace(0.0, 0.9, count))
    return [str(mpl.colors.to_hex(colour)) for colour in scale]


def tidy(axes: Axes, *, x: str, y: str, title: str = "") -> None:
    """Label axes, keep what carries data, and set small type."""
    axes.set_xlabel(x, fontsize=FONT_PT)
    axes.set_ylabel(y, fontsize=FONT_PT)
    if title:
        axes.set_title(title, fontsize=FONT_PT, loc="left")
    axes.tick_params(which="both", labelsize=SMALL_FONT_PT, direction="out")
    axes.spines[["top", "right"]].set_visible(False)


def add_legend(
    axes: Axes, *, loc: Corner = "best", title: str | None = None, columns: int = 1
) -> None:
    """Show a small legend; of too many lines to tell apart, the title alone."""
    handles, labels = axes.get_legend_handles_labels()
    if len(handles) > LEGEND_ENTRIES:
        handles, labels = [], []
    if handles or title:
        axes.legend(
            handles,
            labels,
            fontsize=SMALL_FONT_PT,
            loc=loc,
            ncols=columns,
            columnspacing=1.0,
            handlelength=1.2,
            labelspacing=0.25,
            borderaxespad=0.3,
            framealpha=0.85,
            edgecolor="none",
            title=title,
            title_fontsize=SMALL_FONT_PT,
            alignment="left",
        )


def say(axes: Axes, text: str) -> None:
    """Write in an empty panel why it is empty."""
    axes.text(
        *(0.5, 0.5), text, transform=axes.transAxes, ha="center", va="center", fontsize=FONT_PT
    )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def shade_unused(axes: Axes, edges: NDArray[np.float64], used: NDArray[np.bool_]) -> None:
    """Shade the pixels that the fit does not use.

    Parameters
    ----------
    axes : Axes
    edges : ndarray, shape (L + 1,)
        Pixel edges on the x axis.
    used : ndarray of bool, shape (L,)
    """
    for left, right in zip(*unused_ranges(edges, used), strict=True):
        axes.axvspan(left, right, color=UNUSED_COLOUR, linewidth=0, zorder=0)


def plain_log_ticks(axis: Axis) -> None:
    """Label a log axis at 1, 2 and 5 of each decade, or at decades where it spans over two."""
    low, high = axis.get_view_interval()
    axis.set_minor_formatter(NullFormatter())
    if high <= 100 * low:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(LogFormatterSciNotation(minor_thresholds=(np.inf, np.inf)))
    if low >= 1e-3 and high <= 1e4:
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))


def property_x_axis(
    axes: Axes, values: NDArray[np.floating], *, decades: float = PROPERTY_DECADES
) -> None:
    """Scale the x axis for a property: log where it is positive and spans widely."""
    span = log_limits(values, decades=decades)
    if span is not None and bool((values > 0).all()) and span[1] > 30 * span[0]:
        axes.set_xscale("log")
        axes.set_xlim(span)
        plain_log_ticks(axes.xaxis)
    else:
        axes.set_xlim(limits(values))
        axes.xaxis.set_major_locator(MaxNLocator(5))


def median(values: NDArray[np.floating]) -> float:
    """Return the median of the finite values, 0 where there are none."""
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else 0.0


def require_shape(name: str, array: NDArray[np.generic], due: Sequence[int], axes: str) -> None:
    """Refuse an array of another shape than ``due``.

    Raises
    ------
    InputError
    """
    if array.shape != tuple(due):
        raise InputError(
            f"{name} has shape {array.shape}, but {axes} asks for {tuple(due)}: pass arrays of "
            "one fit together."
        )
