"""Data, model and residual of the picked spaxel."""

from __future__ import annotations

import numpy as np
from bokeh.layouts import column
from bokeh.models import Range1d, Span
from numpy.typing import NDArray

from cubefit.dashboard.style import (
    DATA_COLOUR,
    MODEL_COLOUR,
    QUIET_COLOUR,
    UNUSED_COLOUR,
    fit_range,
    new_figure,
    source,
)
from cubefit.live import Galaxy, Look, SpaxelSpectrum
from cubefit.spectra.grids import edges_of

Float = NDArray[np.float64]


class SpectrumPanel:
    """Two figures that share their wavelengths."""

    def __init__(self) -> None:
        self.lines = source(wave=[], data=[], model=[])
        self.dots = source(wave=[], residual=[])
        self.unused = source(left=[], right=[])
        self._observed: tuple[Galaxy, int, SpaxelSpectrum] | None = None
        self._above = new_figure(
            "", "Flux density [data unit]", "", height=250, y_range=Range1d(0, 1), name="spectrum"
        )
        self._below = new_figure(
            "Wavelength [\u212b]",
            "Residual",
            "",
            height=150,
            x_range=self._above.x_range,
            y_range=Range1d(-5, 5),
            toolbar_location=None,
        )
        for part in (self._above, self._below):
            part.vstrip(x0="left", x1="right", source=self.unused, color=UNUSED_COLOUR)
        self._above.line("wave", "data", source=self.lines, color=DATA_COLOUR, legend_label="data")
        self._above.line(
            "wave",
            "model",
            source=self.lines,
            color=MODEL_COLOUR,
            line_width=1.5,
            legend_label="model",
        )
        self._above.legend.location = "bottom_right"
        self._above.legend.orientation = "horizontal"
        self._above.legend.background_fill_alpha = 0.6
        self._below.scatter("wave", "residual", source=self.dots, size=2.5, color=DATA_COLOUR)
        self._below.add_layout(Span(location=0, dimension="width", line_color=QUIET_COLOUR))
        self.view = column(self._above, self._below, sizing_mode="stretch_width")

    def update(self, look: Look, spaxel: int) -> None:
        """Show a spaxel with the newest weights."""
        galaxy = look.galaxy
        if galaxy is None:
            return
        observed, wave = self._spectrum(galaxy, spaxel), galaxy.wave
        model, missing = np.full(wave.size, np.nan), np.full(wave.size, np.nan)
        title = f"Spaxel {spaxel}: no weights yet, so no model"
        self._below.visible = look.weights is not None
        residual = missing
        if look.weights is not None:
            model = galaxy.model_spectrum(spaxel, look.weights.x, look.weights.normalization)
            residual, unit = residual_of(observed, model)
            rms = float(np.sqrt(np.nanmean(residual**2))) if observed.used.any() else np.nan
            title = f"Spaxel {spaxel}: residual rms {rms:.3g} {unit}"
            self._below.yaxis.axis_label = f"Residual [{unit}]"
        self._above.title.text = title
        self.lines.data = {"wave": wave, "data": observed.data, "model": model}
        self.dots.data = {"wave": wave, "residual": residual}
        used = observed.used
        fit_range(self._above.y_range, np.concatenate([observed.data[used], model[used]]))
        if np.isfinite(residual).any():
            reach = 1.3 * float(np.nanpercentile(np.abs(residual), 99.0)) or 1.0
            self._below.y_range.update(start=-reach, end=reach)

    @property
    def title(self) -> str:
        """What stands above."""
        return str(self._above.title.text)

    def say(self, text: str) -> None:
        """Say why a spaxel is not shown."""
        self._above.title.text = text

    def _spectrum(self, galaxy: Galaxy, spaxel: int) -> SpaxelSpectrum:
        """Return what was observed, read once; shade what the fit does not use."""
        seen = self._observed
        if seen is not None and seen[0] is galaxy and seen[1] == spaxel:
            return seen[2]
        found = galaxy.spectrum(spaxel)
        self._observed = galaxy, spaxel, found
        self.unused.data = strips(np.exp(edges_of(galaxy.grids.obs_pix)), found.used)
        return found


def residual_of(observed: SpaxelSpectrum, model: Float) -> tuple[Float, str]:
    """Return data - model in sigma, or in percent of the model, NaN where unused; and the unit."""
    scale = 0.01 * np.abs(model) if observed.noise is None else observed.noise
    usable = observed.used & (scale > 0)
    residual = np.full(model.shape, np.nan)
    np.subtract(observed.data, model, out=residual, where=usable)
    np.divide(residual, scale, out=residual, where=usable)
    return residual, "%" if observed.noise is None else "sigma"


def strips(edges: Float, used: NDArray[np.bool_]) -> dict[str, Float]:
    """Return where unused pixels begin and end."""
    steps = np.diff(np.concatenate([[0], (~used).astype(np.int8), [0]]))
    return {"left": edges[np.flatnonzero(steps > 0)], "right": edges[np.flatnonzero(steps < 0)]}
