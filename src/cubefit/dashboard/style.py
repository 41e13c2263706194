"""How the page looks: one set of colours and one kind of figure."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from bokeh.models import ColumnDataSource, LogAxis, LogTicker, Range1d
from bokeh.plotting import figure
from numpy.typing import NDArray

DATA_COLOUR: Final = "black"
MODEL_COLOUR: Final = "#D55E00"
POINT_COLOUR: Final = "#0072B2"
SECOND_COLOUR: Final = "#009E73"
QUIET_COLOUR: Final = "#999999"
UNUSED_COLOUR: Final = "#dddddd"
PALETTE: Final = "Viridis256"
TONES: Final = {
    "waiting": "#56B4E9", "running": "#E69F00", "done": "#009E73", "stopped": "#D55E00",
}  # fmt: skip


def new_figure(x: str, y: str, title: str, **settings: Any) -> figure:
    """Return an empty figure with labelled axes."""
    made = figure(
        **{
            "title": title,
            "x_axis_label": x,
            "y_axis_label": y,
            "tools": "pan,box_zoom,wheel_zoom,reset,save",
            "toolbar_location": "above",
            "sizing_mode": "stretch_width",
            **settings,
        }
    )
    made.toolbar.logo = None
    made.toolbar.autohide = True
    made.grid.grid_line_alpha = 0.4
    made.axis.axis_label_text_font_style = "normal"
    made.axis.axis_label_text_font_size = "12px"
    made.axis.major_label_text_font_size = "11px"
    made.title.text_font_size = "13px"
    for axis in made.axis:
        if isinstance(axis, LogAxis):
            axis.ticker = LogTicker(desired_num_ticks=4, mantissas=[1, 2, 5])
    return made


def source(**columns: Any) -> ColumnDataSource:
    """Return a data source."""
    return ColumnDataSource(data=columns)


def fit_range(span: Range1d, values: NDArray[np.floating], share: float = 0.06) -> None:
    """Let a range hold all finite values, with some room; leave it where there are none."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return
    low, high = float(finite.min()), float(finite.max())
    room = share * (high - low) or 0.1 * abs(high) or 1.0
    span.update(start=low - room, end=high + room)
