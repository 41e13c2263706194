"""The map of the galaxy, on which a spaxel is picked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
from bokeh.events import Tap
from bokeh.layouts import column
from bokeh.models import (
    BasicTickFormatter,
    ColorBar,
    HoverTool,
    LinearColorMapper,
    LogColorMapper,
    Select,
)
from bokeh.models.mappers import ContinuousColorMapper
from numpy.typing import NDArray

from cubefit.dashboard.style import PALETTE, new_figure, source
from cubefit.drawing import MODEL_COLOUR
from cubefit.errors import CubeFitError
from cubefit.inverse.means import spaxel_means
from cubefit.live import Galaxy, Look
from cubefit.live.sky import sky_of

Float = NDArray[np.float64]

LIGHT: Final = "light per spatial pixel (data)"
AGE: Final = "geometric mean age, by light (fit) [Gyr]"
METAL: Final = "mean [M/H], by light (fit) [dex]"
FITTED: Final = {AGE: "log_age", METAL: "metal"}
WIDTH_PX: Final = 440


class Drawn(NamedTuple):
    """Values of the pixels, and their colours."""

    values: Float
    """Shape (nPix,)."""
    is_light: bool


class GalaxyMap:
    """The light of the galaxy, or what the fit makes of it; a click picks a spaxel.

    Parameters
    ----------
    galaxy : Galaxy
        What to draw.
    on_pick : callable
        Called with the number of the spaxel picked.
    """

    def __init__(self, galaxy: Galaxy, on_pick: Callable[[int], None]) -> None:
        self._galaxy = galaxy
        self._on_pick = on_pick
        self._look: Look | None = None
        self.sky = sky_of(galaxy)
        self.light = self.sky.spread(galaxy.flux, extensive=self.sky.has_positions)
        """Of each pixel, shape (nPix,)."""
        self._properties = galaxy.properties
        known = [label for label, name in FITTED.items() if name in self._properties]
        self.select = Select(
            title="The galaxy (click a spaxel)", options=[LIGHT, *known], value=LIGHT, name="map_of"
        )
        self.select.on_change("value", self._chosen)
        place = (f"x [{galaxy.pixel_unit}]", f"y [{galaxy.pixel_unit}]")
        self._figure = new_figure(
            *(place if self.sky.has_positions else ("spaxels in order", "")),
            "",
            name="map",
            width=WIDTH_PX,
            height=380,
            sizing_mode="fixed",
            match_aspect=True,
            tools="pan,wheel_zoom,reset,save",
        )
        self._figure.grid.visible = False
        self._log = LogColorMapper(palette=PALETTE, low=1e-3, high=1.0, nan_color="white")
        self._linear = LinearColorMapper(palette=PALETTE, low=0.0, high=1.0, nan_color="white")
        self.pixels = source(value=[])
        self._layers = {mapper: self._layer(mapper) for mapper in (self._log, self._linear)}
        self._picked = source(x0=[], y0=[], x1=[], y1=[])
        self._figure.segment(
            *("x0", "y0", "x1", "y1"), source=self._picked, color=MODEL_COLOUR, line_width=2.5
        )
        self._figure.on_event(Tap, self._tapped)
        self.view = column(self.select, self._figure)
        self._draw()

    def _layer(self, mapper: ContinuousColorMapper) -> tuple[Any, Any]:
        """Return pixels and colour bar of one colour scale: one of the two is shown."""
        sky, grid = self.sky, self.sky.grid
        width, height = sky.steps
        if grid is None:
            drawn = self._figure.rect(
                x="x",
                y="y",
                width=width,
                height=height,
                source=self.pixels,
                fill_color={"field": "value", "transform": mapper},
                line_color=None,
            )
        else:
            drawn = self._figure.image(
                image="value",
                x=float(grid.x[0]) - 0.5 * width,
                y=float(grid.y[0]) - 0.5 * height,
                dw=grid.x.size * width,
                dh=grid.y.size * height,
                source=self.pixels,
                color_mapper=mapper,
            )
        bar = ColorBar(
            color_mapper=mapper, width=10, padding=4, formatter=BasicTickFormatter(precision=2)
        )
        self._figure.add_layout(bar, "right")
        self._figure.add_tools(
            HoverTool(renderers=[drawn], tooltips=[("spaxel", "@spaxel"), ("value", "@value")])
        )
        return drawn, bar

    @property
    def title(self) -> str:
        """What stands above."""
        return str(self._figure.title.text)

    def update(self, look: Look) -> None:
        """Take the newest weights, if the map is made of them."""
        self._look = look
        if self.select.value != LIGHT:
            self._draw()

    def _chosen(self, attr: str, old: object, new: object) -> None:
        del attr, old, new
        self._draw()

    def _values(self) -> Drawn:
        name = FITTED.get(self.select.value)
        weights = None if self._look is None else self._look.weights
        if name is None:
            return Drawn(self.light, is_light=True)
        if weights is None:
            return Drawn(np.full(self.light.shape, np.nan), is_light=False)
        share = self._galaxy.share(weights.normalization)
        light = weights.x * self._galaxy.template_light
        means = spaxel_means(share, light, self._properties[name].values)
        means = 10.0**means if name == "log_age" else means
        return Drawn(self.sky.spread(means, extensive=False), is_light=False)

    def _draw(self) -> None:
        try:
            values, is_light = self._values()
        except CubeFitError as error:
            # The file is being replaced, say: the next look shows what became of it.
            self._figure.title.text = f"Cannot be read now: {error}"
            return
        shown = np.isfinite(values).any()
        self._figure.title.text = "" if shown else "No weights yet, so nothing to show"
        sky = self.sky
        if sky.grid is None:
            self.pixels.data = {"x": sky.x, "y": sky.y, "value": values, "spaxel": sky.spaxel}
        else:
            spaxel = sky.grid.image_of(sky.spaxel.astype(np.int32), empty=-1)
            image = sky.grid.image_of(values).astype(np.float32)
            self.pixels.data = {"value": [image], "spaxel": [spaxel]}
        known = values[np.isfinite(values) & ((values > 0) | (not is_light))]
        low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
        # Light spans decades, unless it hardly varies.
        used = self._log if is_light and high > 2.0 * low > 0 else self._linear
        used.update(low=max(low, 1e-4 * high) if is_light else low, high=high + 1e-9 * abs(high))
        for mapper, (drawn, bar) in self._layers.items():
            drawn.visible = bar.visible = mapper is used

    def _tapped(self, event: Tap) -> None:
        if event.x is None or event.y is None:
            return
        spaxel = self.sky.nearest(float(event.x), float(event.y))
        if spaxel is not None:
            self._on_pick(spaxel)

    def mark(self, spaxel: int) -> None:
        """Show which spaxel is picked."""
        outline = self.sky.outline(spaxel)
        self._picked.data = dict(zip(("x0", "y0", "x1", "y1"), outline.T, strict=True))
