"""The map of the galaxy, on which a spaxel is picked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from bokeh.events import Tap
from bokeh.layouts import column
from bokeh.models import (
    BasicTickFormatter,
    ColorBar,
    HoverTool,
    LinearColorMapper,
    LogColorMapper,
    LogTicker,
    Select,
    Title,
)
from bokeh.models.mappers import ContinuousColorMapper
from numpy.typing import NDArray

from cubefit.dashboard.style import PALETTE, SIGNED_PALETTE, new_figure, source
from cubefit.drawing import MODEL_COLOUR
from cubefit.errors import CubeFitError
from cubefit.inverse.means import spaxel_masses, spaxel_means, spaxel_velocities
from cubefit.live import Galaxy, Look
from cubefit.live.sky import sky_of
from cubefit.store.viewing import Weights

Float = NDArray[np.float64]

LIGHT: Final = "light per spatial pixel (data)"
AGE: Final = "geometric mean age, by light (fit) [Gyr]"
METAL: Final = "mean [M/H], by light (fit) [dex]"
ALPHA: Final = "mean [alpha/Fe], by light (fit) [dex]"
VELOCITY: Final = "mean velocity, by light (fit) [km/s]"
DISPERSION: Final = "velocity dispersion, by light (fit) [km/s]"
MODEL_LIGHT: Final = "light per spatial pixel (fit)"
MASS: Final = "mass per spatial pixel (fit)"
MEANS: Final = {AGE: "log_age", METAL: "metal", ALPHA: "alpha"}
WIDTH_PX: Final = 440


class Scale(NamedTuple):
    """How the values of a map are told."""

    name: str
    """What they are, with their unit."""
    kind: Literal["log", "linear", "signed"]
    """Only values above zero mean something in ``log``; colours of ``signed`` are even about 0."""


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
        self._scales = scales_of(galaxy)
        self.select = Select(
            title="The galaxy (click a spaxel)",
            options=list(self._scales),
            value=LIGHT,
            name="map_of",
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
        self._signed = LinearColorMapper(
            palette=SIGNED_PALETTE, low=-1.0, high=1.0, nan_color="white"
        )
        self.pixels = source(value=[])
        self._hover = HoverTool(renderers=[])
        self._figure.add_tools(self._hover)
        mappers = (self._log, self._linear, self._signed)
        self._layers = {mapper: self._layer(mapper) for mapper in mappers}
        self._name = Title(align="center", text_font_size="12px", text_font_style="normal")
        self._figure.add_layout(self._name, "right")
        self._picked = source(x0=[], y0=[], x1=[], y1=[])
        self._figure.segment(
            *("x0", "y0", "x1", "y1"), source=self._picked, color=MODEL_COLOUR, line_width=2.5
        )
        self._figure.on_event(Tap, self._tapped)
        self.view = column(self.select, self._figure)
        self._draw()

    def _layer(self, mapper: ContinuousColorMapper) -> tuple[Any, Any]:
        """Return pixels and colour bar of one colour scale: one of them is shown."""
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
        bar = ColorBar(color_mapper=mapper, width=10, padding=4, formatter=BasicTickFormatter())
        if mapper is self._log:
            bar.ticker = LogTicker(desired_num_ticks=6, mantissas=[1, 2, 5])
        self._figure.add_layout(bar, "right")
        self._hover.renderers = [*self._hover.renderers, drawn]
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

    def _values(self) -> Float:
        """Return what is chosen of each pixel, shape (nPix,)."""
        if self.select.value == LIGHT:
            return self.light
        if self._look is None or self._look.weights is None:
            return np.full(self.light.shape, np.nan)
        return self._fitted(self.select.value, self._look.weights)

    def _fitted(self, label: str, weights: Weights) -> Float:
        """Return what the weights say of each pixel, shape (nPix,)."""
        galaxy, sky = self._galaxy, self.sky
        moments = galaxy.moments(weights.normalization)
        share = moments[0]
        light = weights.x * galaxy.template_light
        if label in MEANS:
            name = MEANS[label]
            means = spaxel_means(share, light, self._properties[name].values)
            return sky.spread(10.0**means if name == "log_age" else means, extensive=False)
        if label in {VELOCITY, DISPERSION}:
            mean, dispersion = spaxel_velocities(moments, light)
            return sky.spread(mean if label == VELOCITY else dispersion, extensive=False)
        if label == MASS and galaxy.template_masses is not None:
            light = weights.x * galaxy.template_masses
        return sky.spread(spaxel_masses(share, light), extensive=sky.has_positions)

    def _draw(self) -> None:
        try:
            values = self._values()
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
        self._colour(values, self._scales[self.select.value])

    def _colour(self, values: Float, scale: Scale) -> None:
        """Fit the colours to the values, and name them."""
        known = values[np.isfinite(values) & ((values > 0) | (scale.kind != "log"))]
        low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
        # Light and ages span decades, unless they hardly vary.
        used = self._log if scale.kind == "log" and high > 2.0 * low > 0 else self._linear
        if scale.kind == "log":
            low = max(low, 1e-4 * high)
        elif scale.kind == "signed":
            used, high = self._signed, max(-low, high)
            low = -high
        used.update(low=low, high=high + 1e-9 * abs(high))
        for mapper, (drawn, bar) in self._layers.items():
            drawn.visible = bar.visible = mapper is used
        self._name.text = scale.name
        self._hover.tooltips = [("Spaxel", "@spaxel"), (scale.name, "@value")]

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


def scales_of(galaxy: Galaxy) -> dict[str, Scale]:
    """Return what there is to map, and how it is told."""
    scales = {LIGHT: Scale(f"Mean flux density [{galaxy.flux_unit}]", "log")}
    means = {
        AGE: Scale("Geometric mean age [Gyr]", "log"),
        METAL: Scale("Mean [M/H] [dex]", "linear"),
        ALPHA: Scale("Mean [alpha/Fe] [dex]", "linear"),
    }
    for label, scale in means.items():
        found = galaxy.properties.get(MEANS[label])
        if found is not None and (label != ALPHA or np.ptp(found.values) > 0):
            scales[label] = scale
    scales[VELOCITY] = Scale("Mean velocity [km/s]", "signed")
    scales[DISPERSION] = Scale("Velocity dispersion [km/s]", "linear")
    scales[MODEL_LIGHT] = scales[LIGHT]
    if galaxy.template_masses is not None:
        scales[MASS] = Scale("Mass [unit of template_masses]", "log")
    return scales
