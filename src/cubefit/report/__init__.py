"""Arrays to matplotlib figures; opens nothing and keeps no state."""

from __future__ import annotations

from matplotlib.figure import Figure

from cubefit.report.compass import Compass
from cubefit.report.convergence import Course, convergence_curves
from cubefit.report.figures import require_figure_path, save_figure
from cubefit.report.maps import MapPanel, map_panels
from cubefit.report.masses import component_masses, population_recovery
from cubefit.report.populations import population_planes
from cubefit.report.prefit import prefit_panels
from cubefit.report.residual_views import residual_spectrum
from cubefit.report.spectra import residuals, spectrum_fits
from cubefit.report.trends import Trend, property_trends

__all__ = [
    "Compass",
    "Course",
    "Figure",
    "MapPanel",
    "Trend",
    "component_masses",
    "convergence_curves",
    "map_panels",
    "population_planes",
    "population_recovery",
    "prefit_panels",
    "property_trends",
    "require_figure_path",
    "residual_spectrum",
    "residuals",
    "save_figure",
    "spectrum_fits",
]
