"""Arrays to matplotlib figures; opens nothing and keeps no state."""

from __future__ import annotations

from cubefit.report.figures import save_figure
from cubefit.report.masses import component_masses, population_recovery
from cubefit.report.prefit import prefit_panels
from cubefit.report.spectra import spectrum_fits

__all__ = [
    "component_masses",
    "population_recovery",
    "prefit_panels",
    "save_figure",
    "spectrum_fits",
]
