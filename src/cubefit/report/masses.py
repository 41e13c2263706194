"""After a fit: component masses and populations against what is expected of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

from cubefit.drawing import POINT_COLOUR, limits, log_limits
from cubefit.errors import InputError
from cubefit.report.style import (
    PAGE_WIDTH_INCH,
    QUIET_COLOUR,
    SIDE_BY_SIDE_INCH,
    SMALL_FONT_PT,
    add_legend,
    new_figure,
    plain_log_ticks,
    property_x_axis,
    require_shape,
    tidy,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

MASS_DECADES = 4.0
"""Masses further than this below the largest count as zero in a figure."""

RATIO_WINDOWS: Final = {
    1.05: (0.96, 0.98, 1.0, 1.02, 1.04),
    1.3: (0.8, 0.9, 1.0, 1.1, 1.2),
    2.5: (0.5, 1.0, 2.0),
    10.0: (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0),
}
"""Largest ratio, or inverse of it, that an axis shows, and its ticks. The narrowest that holds all
is taken; ratios beyond the widest stand as triangles at its edges."""


def component_masses(
    *,
    fitted: NDArray[np.floating],
    expected: NDArray[np.floating],
    expected_label: str,
    sort_by: NDArray[np.floating] | None,
    sort_label: str | None,
    fitted_label: str = "Fitted component mass [same unit]",
    ratio_label: str = "Fitted / expected mass",
    width_inch: float = PAGE_WIDTH_INCH,
) -> Figure:
    """Draw fitted against expected component masses, and their ratio along the orbits.

    Parameters
    ----------
    fitted, expected : ndarray, shape (C,)
        Masses in one unit, non-negative. Those too small for the axes stand as triangles at the
        lower edge.
    expected_label : str
        Label of the expected masses, with unit.
    sort_by : ndarray, shape (C,), or None
        What the ratio is drawn against, such as the orbit radius in kpc.
    sort_label : str or None
        Its label, with unit; needed with ``sort_by``.
    fitted_label, ratio_label : str
        Labels of the fitted masses and of their ratio to the expected ones.
    width_inch : float
        Width of both panels together; below each other where they do not fit side by side.

    Returns
    -------
    Figure

    Raises
    ------
    InputError
        If shapes disagree, values are negative or not finite, nothing is positive, or
        ``sort_label`` is missing.
    """
    require_shape("expected", expected, fitted.shape, "fitted")
    for name, mass in (("fitted", fitted), ("expected", expected)):
        if not (np.isfinite(mass) & (mass >= 0)).all():
            raise InputError(f"{name} masses hold negative, NaN or infinite values: fit again.")
    window = log_limits(np.concatenate([fitted, expected]), decades=MASS_DECADES)
    if window is None:
        raise InputError("All fitted and expected masses are zero: there is nothing to draw.")
    if sort_by is None:
        figure = new_figure(min(0.5 * PAGE_WIDTH_INCH, width_inch), 3.4)
        axes = figure.subplots()
        draw_masses(axes, fitted, expected, (expected_label, fitted_label), window)
        return figure
    if not sort_label:
        raise InputError("sort_by needs a sort_label with its unit, such as 'Radius [kpc]'.")
    require_shape("sort_by", sort_by, fitted.shape, "fitted")
    beside = width_inch >= SIDE_BY_SIDE_INCH
    figure = new_figure(width_inch, 3.4 if beside else 2.0 * width_inch)
    if not beside:  # Of panels whose shape is given the layout does not foresee all of the labels.
        figure.set_layout_engine("constrained", w_pad=0.1)
    left, right = figure.subplots(*((1, 2) if beside else (2, 1)))
    draw_masses(left, fitted, expected, (expected_label, fitted_label), window)
    _draw_ratio(right, fitted, expected, sort_by, sort_label, ratio_label)
    return figure


def population_recovery(
    *,
    fitted_log_age: NDArray[np.floating],
    true_log_age: NDArray[np.floating],
    fitted_metal: NDArray[np.floating],
    true_metal: NDArray[np.floating],
    weights: NDArray[np.floating],
) -> Figure:
    """Draw fitted against true mean age and metallicity of each component.

    Parameters
    ----------
    fitted_log_age, true_log_age : ndarray, shape (C,)
        Mean log10(age / Gyr); NaN for components without mass, which are left out.
    fitted_metal, true_metal : ndarray, shape (C,)
        Mean [M/H] in dex, likewise.
    weights : ndarray, shape (C,)
        Masses, which set the areas of the points and weigh the scatter.

    Returns
    -------
    Figure

    Raises
    ------
    InputError
        If shapes disagree, or weights are negative, not finite, or all zero.
    """
    for name, array in (
        ("true_log_age", true_log_age),
        ("fitted_metal", fitted_metal),
        ("true_metal", true_metal),
        ("weights", weights),
    ):
        require_shape(name, array, fitted_log_age.shape, "fitted_log_age")
    if not (np.isfinite(weights) & (weights >= 0)).all() or not weights.any():
        raise InputError("weights must be finite, non-negative and not all zero: pass masses.")
    figure = new_figure(PAGE_WIDTH_INCH, 3.5)
    left, right = figure.subplots(1, 2)
    age = r"mean $\log_{10}$(age / Gyr)"
    _draw_recovery(left, fitted_log_age, true_log_age, weights, age)
    _draw_recovery(right, fitted_metal, true_metal, weights, "mean [M/H] [dex]")
    return figure


def draw_masses(
    axes: Axes,
    fitted: NDArray[np.floating],
    expected: NDArray[np.floating],
    labels: tuple[str, str],
    window: tuple[float, float],
) -> None:
    """Draw fitted against expected masses, and where both are the same."""
    axes.loglog(window, window, color=QUIET_COLOUR, lw=0.8, zorder=1, label="1:1")
    _draw_points(axes, expected, fitted, floors=(window[0], window[0]))
    axes.set(xlim=window, ylim=window)
    axes.set_box_aspect(1.0)
    plain_log_ticks(axes.xaxis)
    plain_log_ticks(axes.yaxis)
    tidy(axes, x=labels[0], y=labels[1])
    add_legend(axes)
    both = (fitted > window[0]) & (expected > window[0])
    if both.any():
        offset = np.log10(fitted[both] / expected[both])
        _note(axes, f"rms {_told(_rms(offset))} dex; {both.sum()} of {fitted.size} components")


def _draw_ratio(
    axes: Axes,
    fitted: NDArray[np.floating],
    expected: NDArray[np.floating],
    sort_by: NDArray[np.floating],
    sort_label: str,
    ratio_label: str,
) -> None:
    known = expected > 0
    ratio = fitted[known] / expected[known]
    reach, ticks = ratio_window(ratio)
    axes.axhline(1.0, color=QUIET_COLOUR, lw=0.8, zorder=1)
    axes.set_yscale("log")
    _draw_points(axes, sort_by[known], ratio, floors=(-np.inf, 1.0 / reach), ceiling=reach)
    axes.set_ylim(1.0 / reach, reach)
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    property_x_axis(axes, sort_by)
    axes.set_box_aspect(1.0)
    tidy(axes, x=sort_label, y=ratio_label)


def ratio_window(ratio: NDArray[np.floating]) -> tuple[float, tuple[float, ...]]:
    """Return the reach of an axis of ratios, from its inverse to itself, and its ticks."""
    for reach, ticks in RATIO_WINDOWS.items():
        if ((ratio >= 1.0 / reach) & (ratio <= reach)).all():
            return reach, ticks
    return max(RATIO_WINDOWS.items())


def _draw_recovery(
    axes: Axes,
    fitted: NDArray[np.floating],
    true: NDArray[np.floating],
    weights: NDArray[np.floating],
    quantity: str,
) -> None:
    known = np.isfinite(fitted) & np.isfinite(true) & (weights > 0)
    window = limits(np.concatenate([fitted[known], true[known]])) or (0.0, 1.0)
    axes.plot(window, window, color=QUIET_COLOUR, lw=0.8, zorder=1)
    axes.scatter(
        true[known],
        fitted[known],
        s=4.0 + 60.0 * weights[known] / weights.max(),
        color=POINT_COLOUR,
        alpha=0.55,
        edgecolor="white",
        linewidth=0.3,
    )
    axes.set(xlim=window, ylim=window)
    axes.set_box_aspect(1.0)
    tidy(axes, x=f"True {quantity}", y=f"Fitted {quantity}")
    if known.any():
        rms = _rms(fitted[known] - true[known], weights[known])
        _note(axes, f"area: weight; weighted rms {_told(rms)} dex; {known.sum()} of {known.size}")


def _draw_points(
    axes: Axes,
    x: NDArray[np.floating],
    y: NDArray[np.floating],
    *,
    floors: tuple[float, float],
    ceiling: float = np.inf,
) -> None:
    """Draw points, and those that the axes do not reach as triangles at their edges."""
    left, low, high = x < floors[0], y < floors[1], y > ceiling
    at_x, at_y = np.maximum(x, floors[0]), np.clip(y, floors[1], ceiling)
    inside = ~(left | low | high)
    axes.plot(x[inside], y[inside], ls="none", marker="o", ms=3.2, color=POINT_COLOUR, alpha=0.7)
    for which, marker in ((low, "v"), (high, "^"), (left & ~low & ~high, "<")):
        if which.any():
            axes.plot(
                at_x[which],
                at_y[which],
                ls="none",
                marker=marker,
                ms=4.0,
                mfc="white",
                mec=POINT_COLOUR,
                mew=0.8,
                clip_on=False,
                label="zero or off the axes",
            )


def _rms(values: NDArray[np.floating], weights: NDArray[np.floating] | None = None) -> float:
    return float(np.sqrt(np.average(np.square(values), weights=weights)))


def _told(rms: float) -> str:
    return f"{rms:.2f}" if rms >= 0.005 else "below 0.01"


def _note(axes: Axes, text: str) -> None:
    axes.set_title(text, fontsize=SMALL_FONT_PT, loc="right")
