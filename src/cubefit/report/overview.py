"""A fit at a glance, while it runs and afterwards: one still picture of everything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.ticker import MaxNLocator

from cubefit.drawing import DATA_COLOUR, POINT_COLOUR, limits, log_limits
from cubefit.report.colour_scales import add_colour_bar, age_ticks
from cubefit.report.convergence import Course, draw_course, told_courses
from cubefit.report.maps import MapPanel, draw_map
from cubefit.report.masses import MASS_DECADES, draw_masses
from cubefit.report.populations import cell_edges, draw_plane, white
from cubefit.report.spectra import draw_fit
from cubefit.report.style import (
    LINE_PT,
    SMALL_FONT_PT,
    add_legend,
    new_figure,
    say,
    shade_unused,
    tidy,
)
from cubefit.spectra.grids import edges_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

SIZE_INCH: Final = (10.5, 8.6)
PANELS: Final = [
    ["map", "spectrum", "spectrum"],
    ["course 0", "course 1", "course 2"],
    ["masses", "plane", "tiles"],
]
TILE_COLOURS: Final = "Blues"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpectrumView:
    """One spaxel."""

    title: str
    ln_wave: NDArray[np.float64]
    """Pixel centres in ln(wavelength / Angstrom), shape (L,)."""
    data: NDArray[np.floating]
    """Flux density, shape (L,)."""
    model: NDArray[np.floating] | None
    used: NDArray[np.bool_]
    """True where the fit uses the pixel, shape (L,)."""
    flux_unit: str = "data unit"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneView:
    """How the light of all components is spread over the templates."""

    weights: NDArray[np.floating]
    """Shape (nZ, nAge)."""
    log_age: NDArray[np.floating]
    """log10(age / Gyr), ascending, shape (nAge,)."""
    metal: NDArray[np.floating]
    """[M/H], ascending, shape (nZ,)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MassesView:
    """Weights of the components."""

    fitted: NDArray[np.floating]
    """Shape (C,)."""
    expected: NDArray[np.floating] | None
    """Orbit weights, in the same unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SkyView:
    """The light of the galaxy."""

    x: NDArray[np.floating]
    """Of the pixels, shape (nPix,); of a regular grid, of its columns."""
    y: NDArray[np.floating]
    steps: tuple[float, float]
    """Width and height of a pixel."""
    light: NDArray[np.floating]
    """Shape (nPix,), or (ny, nx)."""
    labels: tuple[str, str]
    """Of x and y, with unit."""


def fit_overview(
    *,
    headline: str,
    details: str,
    sky: SkyView,
    spectrum: SpectrumView,
    courses: Sequence[Course],
    moments: NDArray[np.floating],
    moment_label: str,
    masses: MassesView | None,
    plane: PlaneView | None,
    done: NDArray[np.floating] | None,
) -> Figure:
    """Draw all that is known of a fit; a panel without anything to show says so.

    Parameters
    ----------
    headline, details : str
        How far it is and how well it fits; what is fitted to what.
    sky : SkyView
        The galaxy.
    spectrum : SpectrumView
        One of its spaxels.
    courses : sequence of Course
        Figures of merit along the fit; the first three of `told_courses` are drawn.
    moments : ndarray, shape (n,)
        When they were written.
    moment_label : str
        What these are, with unit if any.
    masses : MassesView, optional
        Weights of the components.
    plane : PlaneView, optional
        Ages and metallicities.
    done : ndarray, shape (Sgrid, Cgrid), optional
        Share of the tiles of the HyperCube that are done.

    Returns
    -------
    Figure
    """
    figure = new_figure(*SIZE_INCH)
    # Names of files and axes may hold dollars, which are no math.
    title = f"{headline}\n{details}".replace("$", r"\$")
    figure.suptitle(title, fontsize=9.0, x=0.01, ha="left", wrap=True)
    axes: dict[str, Axes] = figure.subplot_mosaic(PANELS)  # type: ignore[arg-type]
    panel = MapPanel(values=sky.light, label=f"Light per pixel [{spectrum.flux_unit}]", scale="log")
    draw_map(figure, axes["map"], panel, sky.x, sky.y, sky.steps, bar_above=False)
    axes["map"].set_aspect("equal")
    axes["map"].autoscale_view()
    tidy(axes["map"], x=sky.labels[0], y=sky.labels[1])
    _draw_spectrum(axes["spectrum"], spectrum)
    _draw_courses([axes[f"course {k}"] for k in range(3)], courses, moments, moment_label)
    _draw_components(axes["masses"], masses)
    _draw_populations(figure, axes["plane"], plane)
    _draw_tiles(axes["tiles"], done)
    return figure


def _draw_spectrum(axes: Axes, view: SpectrumView) -> None:
    wave = np.exp(view.ln_wave)
    shade_unused(axes, np.exp(edges_of(view.ln_wave)), view.used)
    if view.model is None:
        axes.plot(wave, view.data, color=DATA_COLOUR, lw=LINE_PT, label="data")
        axes.set_ylim(limits(view.data[view.used]))
    else:
        draw_fit(axes, wave, view.data, view.model, view.used)
    axes.set_xlim(wave[0], wave[-1])
    tidy(axes, x="Wavelength [\u212b]", y=f"Flux density [{view.flux_unit}]", title=view.title)
    add_legend(axes, loc="lower right")


def _draw_courses(
    panels: list[Axes],
    courses: Sequence[Course],
    moments: NDArray[np.floating],
    moment_label: str,
) -> None:
    known, whole = told_courses(courses), bool((moments % 1 == 0).all())
    for place, axes in enumerate(panels):
        if place < len(known):
            draw_course(axes, moments, known[place])
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=whole))
            tidy(axes, x=moment_label, y=known[place].label.replace("\n", " "))
            add_legend(axes)
        else:
            say(axes, "no figures of merit yet" if place == 0 else "")


def _draw_components(axes: Axes, view: MassesView | None) -> None:
    if view is None:
        say(axes, "no weights yet")
        return
    if view.expected is None:
        axes.bar(np.arange(view.fitted.size), view.fitted, color=POINT_COLOUR)
        tidy(axes, x="Component", y="Share of the weights")
        return
    window = log_limits(np.concatenate([view.fitted, view.expected]), decades=MASS_DECADES)
    if window is None:
        say(axes, "all weights are zero")
        return
    labels = "Orbit weight / sum", "Weight of the component / sum"
    draw_masses(axes, view.fitted, view.expected, labels, window)


def _draw_populations(figure: Figure, axes: Axes, view: PlaneView | None) -> None:
    if view is None:
        say(axes, "no ages and metallicities to show")
        return
    percent = 100.0 * view.weights / (view.weights.sum() or 1.0)
    edges = cell_edges("log_age", view.log_age), cell_edges("metal", view.metal)
    norm = Normalize(0.0, float(percent.max()) or 1.0)
    drawn = draw_plane(axes, percent, edges, norm, "All components")
    age_ticks(axes.xaxis, (float(edges[0][0]), float(edges[0][-1])))
    axes.set(xlabel="Age [Gyr]", ylabel="[M/H] [dex]")
    add_colour_bar(
        figure, drawn, axes, label=f"Share of the light [%]\n{white(norm)}", scale="linear"
    )


def _draw_tiles(axes: Axes, done: NDArray[np.floating] | None) -> None:
    if done is None:
        say(axes, "no HyperCube: the fit does without")
        return
    axes.imshow(
        0.15 + 0.7 * done, cmap=TILE_COLOURS, vmin=0.0, vmax=1.0, aspect="auto", origin="lower"
    )
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
    tidy(axes, x="Component tile", y="Spaxel tile")
    axes.set_title(
        f"HyperCube: {100.0 * done.mean():.0f} % of its tiles", fontsize=SMALL_FONT_PT, loc="left"
    )
