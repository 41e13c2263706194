"""How the page looks: one set of colours and one kind of figure."""

from __future__ import annotations

from typing import Any, Final

from bokeh.models import ColumnDataSource, LogAxis, LogTicker, Range1d
from bokeh.palettes import RdBu11, interp_palette
from bokeh.plotting import figure

SECOND_COLOUR: Final = "#009E73"
QUIET_COLOUR: Final = "#999999"
UNUSED_COLOUR: Final = "#dddddd"
PALETTE: Final = "Viridis256"
SIGNED_PALETTE: Final = interp_palette(RdBu11, 256)
"""From blue, below zero, to red."""
TONES: Final = {
    "waiting": "#56B4E9", "running": "#E69F00", "done": "#009E73", "doubtful": "#E69F00",
    "stopped": "#D55E00",
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


def fit_range(span: Range1d, found: tuple[float, float] | None) -> None:
    """Let a range have these limits; leave it where there are none."""
    if found is not None:
        span.update(start=found[0], end=found[1])
