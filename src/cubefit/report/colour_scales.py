"""What colours mean: colour maps that the colour-blind can read, robust limits, colour bars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import matplotlib as mpl
import numpy as np
from matplotlib.colors import LogNorm, Normalize
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from cubefit.report.style import FONT_PT, SMALL_FONT_PT, plain_log_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.cm import ScalarMappable
    from matplotlib.colorbar import Colorbar
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

Scale: TypeAlias = Literal["linear", "log", "log_age", "signed"]
Extend: TypeAlias = Literal["neither", "min", "max", "both"]

SEQUENTIAL: Final = "viridis"
DIVERGING: Final = "RdBu_r"
"""Of signed values alone. Perceptually uniform ones (berlin, vanimo) are dark where nothing is."""
EMPTY_COLOUR: Final = "0.85"
"""Where there is no value: no colour of either map."""

ROBUST_PERCENT: Final = (1.0, 99.0)
FLATTENED: Final = 1.0
"""A limit leaves outliers out where they would take more room than all other values have."""
LOG_RANGE: Final = 10.0
"""Positive values that differ by more are told apart on a log scale only."""
MOST_DECADES: Final = 5.0
"""Light further than this below the brightest is none that a map tells apart."""
AGE_MANTISSAS: Final = (
    (1.0,),
    (1.0, 3.0),
    (1.0, 2.0, 5.0),
    (1.0, 2.0, 3.0, 4.0, 6.0, 8.0),
    tuple(np.arange(1.0, 10.0)),
)


def robust_limits(values: NDArray[np.floating]) -> tuple[float, float, Extend]:
    """Return limits of a colour scale for finite values, and at which ends values are beyond.

    All values are inside unless outliers would flatten the others: then a limit is a percentile.

    Parameters
    ----------
    values : ndarray
        Any shape; NaN does not count. Without any finite value the limits are 0 and 1.
    """
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0, "neither"
    least, most = float(finite.min()), float(finite.max())
    low, high = (float(v) for v in np.percentile(finite, ROBUST_PERCENT))
    bulk = high - low
    low = low if bulk and low - least > FLATTENED * bulk else least
    high = high if bulk and most - high > FLATTENED * bulk else most
    extend = extend_of(beyond_low=least < low, beyond_high=most > high)
    if high == low:
        room = 0.01 * abs(high) or 1.0
        low, high = low - room, high + room
    return low, high, extend


def extend_of(*, beyond_low: bool, beyond_high: bool) -> Extend:
    """Return which ends of a colour bar are extended."""
    ends: dict[tuple[bool, bool], Extend] = {
        (False, False): "neither",
        (True, False): "min",
        (False, True): "max",
        (True, True): "both",
    }
    return ends[beyond_low, beyond_high]


def colour_norm(values: NDArray[np.floating], scale: Scale) -> tuple[Normalize, Extend]:
    """Return the norm of a colour scale for values, and at which ends values are beyond.

    Parameters
    ----------
    values : ndarray
        Any shape; NaN does not count.
    scale : {"linear", "log", "log_age", "signed"}
        ``log`` is linear where the positive values span less than a decade; ``signed`` is even
        about zero.
    """
    if scale == "signed":
        size = np.abs(values)
        _, reach, extend = robust_limits(np.concatenate([size.ravel(), [0.0]]))
        beyond = size > reach
        ends = extend_of(
            beyond_low=bool((beyond & (values < 0)).any()),
            beyond_high=bool((beyond & (values > 0)).any()),
        )
        return Normalize(-reach, reach), ends
    positive = values[np.isfinite(values) & (values > 0)]
    if scale == "log" and positive.size and positive.max() > LOG_RANGE * positive.min():
        low, high, extend = robust_limits(np.log10(positive))
        low = max(low, high - MOST_DECADES)
        ends = extend_of(
            beyond_low=bool((values < 10.0**low * (1.0 - 1e-9)).any()),
            beyond_high=extend in {"max", "both"},
        )
        return LogNorm(10.0**low, 10.0**high), ends
    low, high, extend = robust_limits(values)
    return Normalize(low, high), extend


def colour_map(scale: Scale) -> Colormap:
    """Return the colour map of a scale; no value is light grey."""
    found = mpl.colormaps[DIVERGING if scale == "signed" else SEQUENTIAL]
    return found.with_extremes(bad=EMPTY_COLOUR)


def shown(values: NDArray[np.floating], norm: Normalize) -> NDArray[np.floating]:
    """Return values as a norm can show them: zero lies below a log scale, not outside of it."""
    if not isinstance(norm, LogNorm) or norm.vmin is None:
        return values
    return np.where(values <= 0, 0.5 * norm.vmin, values)


def add_colour_bar(
    figure: Figure,
    drawn: ScalarMappable,
    axes: Axes | list[Axes],
    *,
    label: str,
    scale: Scale,
    extend: Extend = "neither",
    **place: Any,
) -> Colorbar:
    """Draw the colour bar of an artist, with its label and readable ticks."""
    bar = figure.colorbar(drawn, ax=axes, extend=extend, pad=0.02, **{"aspect": 18, **place})
    bar.set_label(label, fontsize=FONT_PT)
    bar.ax.tick_params(which="both", labelsize=SMALL_FONT_PT, direction="out")
    bar.outline.set_linewidth(0.5)
    axis = bar.ax.yaxis if bar.orientation == "vertical" else bar.ax.xaxis
    if scale == "log_age":
        age_ticks(axis, axis.get_view_interval())
    elif isinstance(drawn.norm, LogNorm):
        plain_log_ticks(axis)
    else:
        bar.locator = MaxNLocator(5)
        bar.update_ticks()
    return bar


def age_ticks(axis: Axis, log_age: tuple[float, float]) -> None:
    """Label an axis of log10(age / Gyr) at round ages in Gyr.

    Parameters
    ----------
    axis : Axis
    log_age : tuple of float
        Least and largest log10(age / Gyr) on it.
    """
    axis.set_major_locator(FixedLocator(list(np.log10(round_ages(*log_age)))))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{10.0**value:.4g}"))
    axis.set_minor_locator(NullLocator())


def round_ages(low: float, high: float) -> NDArray[np.float64]:
    """Return at least two round ages in Gyr between two log10(age / Gyr), low < high."""
    decades = 10.0 ** np.arange(np.floor(low), np.ceil(high) + 1.0)
    edges = 10.0**low * (1.0 - 1e-9), 10.0**high * (1.0 + 1e-9)
    for mantissas in AGE_MANTISSAS:
        ages = np.sort(np.outer(decades, mantissas).ravel())
        inside = np.asarray(ages[(ages >= edges[0]) & (ages <= edges[1])])
        if inside.size >= 3:
            return inside
    ages = np.asarray(MaxNLocator(4).tick_values(*edges))
    return np.asarray(ages[(ages >= edges[0]) & (ages <= edges[1])])
