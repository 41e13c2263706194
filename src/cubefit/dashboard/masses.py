"""Component masses against orbit weights, or against what else is known of the orbits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from bokeh.events import Tap
from bokeh.layouts import column
from bokeh.models import (
    BasicTickFormatter,
    ColorBar,
    HoverTool,
    LogColorMapper,
    LogTicker,
    Range1d,
    Select,
)
from bokeh.plotting import figure
from numpy.typing import NDArray

from cubefit.dashboard.style import PALETTE, QUIET_COLOUR, fit_range, new_figure, source
from cubefit.drawing import limits, log_limits
from cubefit.inverse.means import component_means
from cubefit.live import Galaxy, Look

Float = NDArray[np.float64]

ORBIT_WEIGHTS: Final = "orbit weight"
NUMBER: Final = "component number"
TITLE: Final = "Component masses against"
DECADES: Final = 4.0
"""Shares further below the largest stand at the lower edge."""


class MassesPanel:
    """One point per component; a click picks it.

    Parameters
    ----------
    galaxy : Galaxy
        Whose components.
    on_pick : callable
        Called with the number of the component picked.
    """

    def __init__(self, galaxy: Galaxy, on_pick: Callable[[int], None]) -> None:
        self._galaxy = galaxy
        self._on_pick = on_pick
        self.points = source(x=[], y=[], component=[], fitted=[], age=[], gyr=[])
        self._look: Look | None = None
        self.select = Select(
            title=TITLE,
            options=[ORBIT_WEIGHTS, *galaxy.component_properties, NUMBER],
            value=ORBIT_WEIGHTS,
            name="masses_against",
        )
        self.select.on_change("value", self._chosen)
        self._colours = LogColorMapper(palette=PALETTE, low=0.1, high=1, nan_color=QUIET_COLOUR)
        self._by_weight = self._figure("Orbit weight / sum", x_axis_type="log")
        self._by_weight.title.text = "On the line if the fit was given them"
        self._by_weight.line(
            [1e-12, 1e3], [1e-12, 1e3], color=QUIET_COLOUR, legend_label="equal shares"
        )
        self._by_weight.legend.location = "top_left"
        self._by_other = self._figure(NUMBER, visible=False)
        self.view = column(self.select, self._by_weight, self._by_other)

    def _figure(self, x: str, **settings: str | bool) -> figure:
        made = new_figure(
            x,
            "Weight of the component / sum",
            "",
            width=420,
            height=320,
            sizing_mode="fixed",
            y_axis_type="log",
            x_range=Range1d(0, 1),
            y_range=Range1d(1e-4, 1),
            **settings,
        )
        drawn = made.scatter(
            "x",
            "y",
            source=self.points,
            size=8,
            line_color="white",
            fill_color={"field": "gyr", "transform": self._colours},
        )
        tips = [("component", "@component"), ("share of the weights", "@fitted"),
                ("geometric mean age [Gyr]", "@gyr")]  # fmt: skip
        made.add_tools(HoverTool(renderers=[drawn], tooltips=tips))
        made.add_layout(
            ColorBar(
                color_mapper=self._colours,
                width=8,
                title="Age [Gyr]",
                padding=3,
                ticker=LogTicker(desired_num_ticks=5, mantissas=[1, 2, 5]),
                formatter=BasicTickFormatter(),
            ),
            "right",
        )
        made.on_event(Tap, self._tapped)
        return made

    def update(self, look: Look) -> None:
        """Show the newest weights."""
        self._look = look
        self.view.visible = look.weights is not None
        self._draw()

    def _chosen(self, attr: str, old: object, new: object) -> None:
        del attr, old, new
        self._draw()

    def _draw(self) -> None:
        look, wanted = self._look, self.select.value
        if look is None or look.weights is None:
            return
        x = look.weights.x
        fitted = x.sum(axis=1) / (x.sum() or 1.0)
        by_weight = wanted == ORBIT_WEIGHTS and look.orbit_weights is not None
        missing = wanted == ORBIT_WEIGHTS and not by_weight
        self.select.title = f"No orbit weights given. {TITLE}" if missing else TITLE
        wanted = NUMBER if missing else wanted
        along = self._along(look, wanted)
        positive = np.concatenate([fitted, along]) if by_weight else fitted
        window = log_limits(positive, decades=DECADES) or (1e-4, 1.0)
        shown = np.maximum(fitted, window[0] * 1.1)
        age = mean_log_age(self._galaxy, x)
        self.points.data = {
            "x": np.maximum(along, window[0] * 1.1) if by_weight else along,
            "y": shown,
            "component": np.arange(fitted.size),
            "fitted": fitted,
            "age": age,
            "gyr": 10.0**age,
        }
        known = 10.0 ** age[np.isfinite(age)]
        if known.size:
            self._colours.update(low=float(known.min()), high=float(known.max()) * (1 + 1e-6))
        self._by_weight.visible, self._by_other.visible = by_weight, not by_weight
        for part in (self._by_weight, self._by_other):
            part.y_range.update(start=window[0], end=window[1])
        if by_weight:
            self._by_weight.x_range.update(start=window[0], end=window[1])
        else:
            self._by_other.xaxis.axis_label = wanted
            fit_range(self._by_other.x_range, limits(along))

    def _along(self, look: Look, wanted: str) -> Float:
        if wanted == ORBIT_WEIGHTS and look.orbit_weights is not None:
            return np.asarray(look.orbit_weights / (look.orbit_weights.sum() or 1.0))
        if wanted in self._galaxy.component_properties:
            return self._galaxy.component_properties[wanted]
        return np.arange(float(self._galaxy.shape[0]))

    def _tapped(self, event: Tap) -> None:
        data = self.points.data
        if event.x is None or event.y is None or not len(data["x"]):
            return
        x, y = np.asarray(data["x"], float), np.log10(np.asarray(data["y"], float))
        at_x = float(event.x)
        if self._by_weight.visible:
            x, at_x = np.log10(x), np.log10(max(at_x, 1e-300))
        spans = [np.ptp(v[np.isfinite(v)]) or 1.0 if np.isfinite(v).any() else 1.0 for v in (x, y)]
        distance = np.hypot(
            (x - at_x) / spans[0], (y - np.log10(max(float(event.y), 1e-300))) / spans[1]
        )
        if np.isfinite(distance).any() and np.nanmin(distance) < 0.05:
            self._on_pick(int(np.nanargmin(distance)))


def mean_log_age(galaxy: Galaxy, x: Float) -> Float:
    """Return the mean log10(age / Gyr) of each component by light, NaN where not known."""
    found = galaxy.properties.get("log_age")
    if found is None:
        return np.full(x.shape[0], np.nan)
    return component_means(x * galaxy.template_light, found.values)
