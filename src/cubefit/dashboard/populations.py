"""The age-metallicity plane of one component, or of all."""

from __future__ import annotations

from typing import Final

import numpy as np
from bokeh.layouts import column
from bokeh.models import ColorBar, FixedTicker, HoverTool, LinearColorMapper, Select
from numpy.typing import NDArray

from cubefit.dashboard.style import PALETTE, new_figure, source
from cubefit.live import Galaxy, Look
from cubefit.results.axes import Axis

Float = NDArray[np.float64]

ALL: Final = "all"
MOST_TICKS: Final = 6


class PopulationsPanel:
    """Shares of the light in each cell of the template grid.

    Parameters
    ----------
    galaxy : Galaxy
        Whose components.
    """

    def __init__(self, galaxy: Galaxy) -> None:
        self._galaxy = galaxy
        self._look: Look | None = None
        C = galaxy.shape[0]
        options = [(ALL, "all components")] + [(str(c), told_of(galaxy, c)) for c in range(C)]
        self.select = Select(
            title="Ages and metallicities of", options=options, value=ALL, name="component"
        )
        self.select.on_change("value", self._chosen)
        self._x, self._y = plane_axes(galaxy)
        self.cells = source(x=[], y=[], share=[], age=[], metal=[])
        self._colours = LinearColorMapper(palette=PALETTE, low=0.0, high=1.0)
        self._figure = new_figure(
            self._x.long_name + unit_text(self._x),
            self._y.long_name + unit_text(self._y),
            "",
            height=320,
            x_range=(-0.5, self._x.values.size - 0.5),
            y_range=(-0.5, self._y.values.size - 0.5),
            name="populations",
        )
        drawn = self._figure.rect(
            x="x",
            y="y",
            width=1.0,
            height=1.0,
            source=self.cells,
            fill_color={"field": "share", "transform": self._colours},
            line_color={"field": "share", "transform": self._colours},
        )
        for axis, values in ((self._figure.xaxis, self._x), (self._figure.yaxis, self._y)):
            places = spread_ticks(values.values.size)
            axis.ticker = FixedTicker(ticks=places)
            axis.major_label_overrides = {int(i): f"{values.values[i]:.2g}" for i in places}
        self._figure.grid.visible = False
        tips = [(self._x.long_name, "@age"), (self._y.long_name, "@metal"),
                ("share of the light", "@share{0.0000}")]  # fmt: skip
        self._figure.add_tools(HoverTool(renderers=[drawn], tooltips=tips))
        self._figure.add_layout(
            ColorBar(color_mapper=self._colours, width=8, padding=3, title="share"), "right"
        )
        self.view = column(self.select, self._figure, sizing_mode="stretch_width")

    def pick(self, component: int) -> None:
        """Show a component."""
        self.select.value = str(component)

    def update(self, look: Look) -> None:
        """Show the newest weights."""
        self._look = look
        self.view.visible = look.weights is not None
        self._draw()

    def _chosen(self, attr: str, old: object, new: object) -> None:
        del attr, old, new
        self._draw()

    def _draw(self) -> None:
        look = self._look
        if look is None or look.weights is None:
            return
        light = look.weights.x * self._galaxy.template_light
        total = float(light.sum()) or 1.0
        chosen = light.sum(axis=0) if self.select.value == ALL else light[int(self.select.value)]
        here = float(chosen.sum())
        plane = self._galaxy.plane(chosen, (self._y.name, self._x.name)) / (here or 1.0)
        rows, columns = np.indices(plane.shape)
        self.cells.data = {
            "x": columns.ravel(),
            "y": rows.ravel(),
            "share": plane.ravel(),
            "age": self._x.values[columns.ravel()],
            "metal": self._y.values[rows.ravel()],
        }
        self._colours.high = float(plane.max()) or 1.0
        of_all = f"Shares of its light, which is {100.0 * here / total:.3g} % of all"
        self._figure.title.text = (
            of_all
            if chosen.size and self.select.value != ALL
            else ("Shares of the light of all components")
        )


def plane_axes(galaxy: Galaxy) -> tuple[Axis, Axis]:
    """Return the two axes that are drawn: age and metallicity, else the first ones there are."""
    axes = {axis.name: axis for axis in galaxy.axes}
    if {"age", "metal"} <= set(axes):
        return axes["age"], axes["metal"]
    numbers = [
        Axis(name=f"axis {k}", values=np.arange(float(n)))
        for k, n in enumerate(galaxy.template_shape)
    ]
    numbers = list(galaxy.axes) or numbers
    one = Axis(name="", values=np.zeros(1))
    return (numbers[1], numbers[0]) if len(numbers) > 1 else (numbers[0], one)


def spread_ticks(size: int) -> list[int]:
    """Return places of labels that do not run into each other."""
    stride = -(-size // MOST_TICKS)
    return list(range(0, size, stride))


def unit_text(axis: Axis) -> str:
    """Return the unit of an axis in brackets."""
    return f" [{axis.unit}]" if axis.unit else ""


def told_of(galaxy: Galaxy, component: int) -> str:
    """Return a component with what is known of it."""
    facts = [f"{n} {v[component]:.3g}" for n, v in galaxy.component_properties.items()]
    return f"component {component}" + (f" ({', '.join(facts)})" if facts else "")
