"""Data, model and residual of the picked spaxel."""

from __future__ import annotations

from typing import Final

import numpy as np
from bokeh.layouts import column
from bokeh.models import Range1d, Span
from numpy.typing import NDArray

from cubefit.dashboard.style import QUIET_COLOUR, UNUSED_COLOUR, fit_range, new_figure, source
from cubefit.drawing import DATA_COLOUR, MODEL_COLOUR, limits, unused_ranges
from cubefit.live import Galaxy, Look, SpaxelSpectrum
from cubefit.spectra.grids import edges_of
from cubefit.spectra.residuals import scaled_residual

Float = NDArray[np.float64]

WAVELENGTH: Final = "Wavelength [\u212b]"


class SpectrumPanel:
    """Two figures that share their wavelengths.

    Parameters
    ----------
    flux_unit : str
        Unit of the flux densities.
    """

    def __init__(self, flux_unit: str) -> None:
        self.lines = source(wave=[], data=[], model=[])
        self.dots = source(wave=[], residual=[])
        self.unused = source(left=[], right=[])
        self._observed: tuple[Galaxy, int, SpaxelSpectrum] | None = None
        self._above = new_figure(
            "",
            f"Flux density [{flux_unit}]",
            "",
            height=250,
            y_range=Range1d(0, 1),
            name="spectrum",
        )
        self._below = new_figure(
            WAVELENGTH,
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
        self._model = self._above.line(
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
        self._show_model(there_is_one=look.weights is not None)
        residual = missing
        if look.weights is not None:
            model = galaxy.model_spectrum(spaxel, look.weights.x, look.weights.normalization)
            residual = scaled_residual(observed.data, model, observed.noise, observed.used)
            unit = "%" if observed.noise is None else "sigma"
            known = residual[np.isfinite(residual)]
            title = f"Spaxel {spaxel}: nothing to compare, the model or the data are empty there"
            if known.size:
                title = f"Spaxel {spaxel}: residual rms {np.sqrt(np.mean(known**2)):.3g} {unit}"
            self._below.yaxis.axis_label = f"Residual [{unit}]"
        self._above.title.text = title
        self.lines.data = {"wave": wave, "data": observed.measured_data, "model": model}
        self.dots.data = {"wave": wave, "residual": residual}
        used = observed.used
        both = np.concatenate([observed.data[used], model[used]])
        fit_range(self._above.y_range, limits(both))
        if np.isfinite(residual).any():
            reach = 1.3 * float(np.nanpercentile(np.abs(residual), 99.0)) or 1.0
            self._below.y_range.update(start=-reach, end=reach)

    def _show_model(self, *, there_is_one: bool) -> None:
        """Show or hide what is only there with a model; the lower figure names the x axis."""
        self._below.visible = self._model.visible = there_is_one
        self._above.legend[0].items[1].visible = there_is_one
        self._above.xaxis.axis_label = "" if there_is_one else WAVELENGTH

    @property
    def title(self) -> str:
        """What stands above."""
        return str(self._above.title.text)

    def say(self, text: str) -> None:
        """Say why a spaxel is not shown, and show none."""
        self._observed = None
        self._above.title.text = text
        self.lines.data = {"wave": [], "data": [], "model": []}
        self.dots.data = {"wave": [], "residual": []}
        self.unused.data = {"left": [], "right": []}

    def _spectrum(self, galaxy: Galaxy, spaxel: int) -> SpaxelSpectrum:
        """Return what was observed, read once; shade what the fit does not use."""
        seen = self._observed
        if seen is not None and seen[0] is galaxy and seen[1] == spaxel:
            return seen[2]
        found = galaxy.spectrum(spaxel)
        self._observed = galaxy, spaxel, found
        left, right = unused_ranges(np.exp(edges_of(galaxy.grids.obs_pix)), found.used)
        self.unused.data = {"left": left, "right": right}
        return found
