"""How a fit came to its end: figures of merit along its rounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import MaxNLocator

from cubefit.errors import InputError
from cubefit.report.style import (
    COLUMN_WIDTH_INCH,
    LINE_PT,
    add_legend,
    new_figure,
    plain_log_ticks,
    require_shape,
    series_colours,
    tidy,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

FEW_POINTS = 40
"""Curves of up to so many values are marked by points as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """Figures of merit in one unit, drawn in one panel."""

    label: str
    """With unit."""
    curves: Mapping[str, NDArray[np.floating]]
    """Name to values, shape (n,); NaN where not known. One of name "" needs no legend."""
    log: bool = False
    """Whether the axis is logarithmic; values that are not positive are then left out."""


def convergence_curves(
    *,
    courses: Sequence[Course],
    moments: NDArray[np.floating],
    moment_label: str,
    whole_moments: bool = False,
    title: str = "",
    width_inch: float = COLUMN_WIDTH_INCH,
) -> Figure:
    """Draw figures of merit along a fit, one panel for each unit.

    Parameters
    ----------
    courses : sequence of Course
        Curves without any value are left out, and so are panels of single values where others
        have more.
    moments : ndarray, shape (n,)
        Rounds, epochs or times at which they were written.
    moment_label : str
        What these are, with unit if any.
    whole_moments : bool
        Whether they are whole numbers.
    title : str
        Above the first panel.
    width_inch : float
        Width of the figure.

    Returns
    -------
    Figure

    Raises
    ------
    InputError
        If shapes disagree, or no curve has a value.
    """
    for course in courses:
        for name, values in course.curves.items():
            require_shape(name or course.label, values, moments.shape, moment_label)
    drawable = told_courses(courses)
    if not drawable:
        raise InputError("No figure of merit has a value: there is nothing to draw.")
    figure = new_figure(width_inch, 0.6 + 1.25 * len(drawable))
    panels = figure.subplots(len(drawable), 1, sharex=True, squeeze=False)[:, 0]
    for axes, course in zip(panels, drawable, strict=True):
        draw_course(axes, moments, course)
        first, last = axes is panels[0], axes is panels[-1]
        tidy(axes, x=moment_label if last else "", y=course.label, title=title if first else "")
        add_legend(axes)
    panels[-1].xaxis.set_major_locator(MaxNLocator(6, integer=whole_moments))
    figure.align_ylabels(list(panels))
    return figure


def told_courses(courses: Sequence[Course]) -> list[Course]:
    """Return the courses with a value; where some have more than one, not those of a single one."""
    known = [with_values(course) for course in courses]
    least = min(2, max(map(_length, known), default=0))
    return [course for course in known if _length(course) >= max(least, 1)]


def with_values(course: Course) -> Course:
    """Return a course of the curves that have something to show, the rest of their values NaN."""
    curves = {
        name: np.where(np.isfinite(values) & ((values > 0) | (not course.log)), values, np.nan)
        for name, values in course.curves.items()
    }
    kept = {name: values for name, values in curves.items() if np.isfinite(values).any()}
    return Course(label=course.label, curves=kept, log=course.log)


def _length(course: Course) -> int:
    """Return the number of values of the longest curve."""
    return max((int(np.isfinite(v).sum()) for v in course.curves.values()), default=0)


def draw_course(axes: Axes, moments: NDArray[np.floating], course: Course) -> None:
    """Draw the curves of one panel."""
    colours = series_colours(len(course.curves))
    for (name, values), colour in zip(course.curves.items(), colours, strict=True):
        known = np.isfinite(values)
        marker = "." if known.sum() <= FEW_POINTS else ""
        axes.plot(
            moments[known],
            values[known],
            color=colour,
            lw=LINE_PT,
            marker=marker,
            ms=3.5,
            label=name or None,
        )
    if course.log:
        axes.set_yscale("log")
        plain_log_ticks(axes.yaxis)
    else:
        axes.ticklabel_format(axis="y", useOffset=False)
