"""Still pictures of a build or a fit, for where there is no browser; and the way to the page.

`cubefit.dashboard` is the live page; this module draws the same into a file.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubefit.errors import CubeFitError, StoreError
from cubefit.live import Galaxy, LiveFile, Look, headline, what_is_fitted
from cubefit.live.sky import Sky, sky_of
from cubefit.pictures.of_fits import courses_of, moments_of
from cubefit.report import Figure, require_figure_path, save_figure
from cubefit.report.overview import (
    MassesView,
    PlaneView,
    SkyView,
    SpectrumView,
    fit_overview,
)
from cubefit.report.style import drawable

__all__ = ["draw_look", "render_dashboard", "watch_dashboard"]

Float = NDArray[np.float64]


def render_dashboard(h5_path: str | Path, out_png: str | Path = "dashboard.png") -> Path:
    """Draw how far a file is and how well it fits, also while it is written to.

    Parameters
    ----------
    h5_path : str or Path
        A populated file.
    out_png : str or Path
        Where the picture goes (png, pdf or svg); one that is there is replaced, in one step.

    Returns
    -------
    Path
        The picture.

    Raises
    ------
    StoreError
        If the file is missing, foreign or damaged.
    """
    live, out = LiveFile(Path(h5_path)), Path(out_png)
    require_figure_path(out)
    live.refresh()
    return save_figure(draw_look(live.now), out)


def watch_dashboard(
    h5_path: str | Path, out_png: str | Path = "dashboard.png", *, every_s: float = 60.0
) -> Iterator[str]:
    """Draw a file again and again, whenever it has changed.

    Parameters
    ----------
    h5_path : str or Path
        The file, which need not exist yet.
    out_png : str or Path
        See `render_dashboard`.
    every_s : float
        Seconds between two looks.

    Yields
    ------
    str
        What was drawn, or why nothing was.
    """
    live, out = LiveFile(Path(h5_path)), Path(out_png)
    require_figure_path(out)
    due, said = False, ""
    while True:
        due |= live.refresh()
        if due:
            try:
                save_figure(draw_look(live.now), out)
                due, told = False, f"{out}: {headline(live.now)}"
            except CubeFitError as error:
                # The file is being made or replaced, say: tried again until it can be drawn.
                told = str(error)
            if told != said:
                said = told
                yield told
        time.sleep(every_s)


def draw_look(look: Look) -> Figure:
    """Draw a look at a file.

    Raises
    ------
    StoreError
        If it found no file that could be read.
    """
    galaxy, history = look.galaxy, look.history
    if galaxy is None or history is None:
        raise StoreError(look.problem)
    sky = sky_of(galaxy)
    light = sky.spread(galaxy.flux, extensive=sky.has_positions)
    moments, moment_label = moments_of(history)
    return fit_overview(
        headline=f"{look.path.name}: {headline(look)}",
        details=what_is_fitted(galaxy),
        sky=sky_view(sky, light, galaxy.pixel_unit),
        spectrum=spectrum_view(look, galaxy, sky.brightest(light)),
        courses=courses_of(history, has_noise=galaxy.has_noise),
        moments=moments,
        moment_label=moment_label,
        done=None if look.done is None else look.done.mean(axis=2),
        **weight_views(look, galaxy),
    )


def sky_view(sky: Sky, light: Float, pixel_unit: str) -> SkyView:
    """Return the map of the galaxy."""
    grid, place = sky.grid, (f"x [{pixel_unit}]", f"y [{pixel_unit}]")
    return SkyView(
        x=sky.x if grid is None else grid.x,
        y=sky.y if grid is None else grid.y,
        steps=sky.steps,
        light=light if grid is None else grid.image_of(light),
        labels=place if sky.has_positions else ("Spaxels in order", ""),
    )


def spectrum_view(look: Look, galaxy: Galaxy, spaxel: int) -> SpectrumView:
    """Return a spaxel, with its model where there are weights."""
    observed, weights = galaxy.spectrum(spaxel), look.weights
    model, told = None, "no weights yet"
    if weights is not None:
        model, told = galaxy.model_spectrum(spaxel, weights.x, weights.normalization), weights.told
    return SpectrumView(
        title=f"Spaxel {spaxel}, the brightest; {told}",
        ln_wave=galaxy.grids.obs_pix,
        data=observed.measured_data,
        model=model,
        used=observed.used,
        flux_unit=drawable(galaxy.flux_unit),
    )


def weight_views(look: Look, galaxy: Galaxy) -> dict[str, Any]:
    """Return what the newest weights say of components and populations, if there are any."""
    if look.weights is None:
        return {"masses": None, "plane": None}
    x, expected = look.weights.x, look.orbit_weights
    masses = MassesView(
        fitted=x.sum(axis=1) / (x.sum() or 1.0),
        expected=None if expected is None else expected / (expected.sum() or 1.0),
    )
    axes = {axis.name: axis.values for axis in galaxy.axes}
    drawn = [axes[name] for name in ("age", "metal") if name in axes]
    distinct = all(np.unique(values).size == values.size for values in drawn)
    if len(drawn) < 2 or not distinct or not (axes["age"] > 0).all():
        return {"masses": masses, "plane": None}
    plane = galaxy.plane((x * galaxy.template_light).sum(axis=0), ("metal", "age"))
    by_age, by_metal = np.argsort(axes["age"]), np.argsort(axes["metal"])
    return {
        "masses": masses,
        "plane": PlaneView(
            weights=plane[by_metal][:, by_age],
            log_age=np.log10(axes["age"][by_age]),
            metal=axes["metal"][by_metal],
        ),
    }
