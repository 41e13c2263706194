"""The kinds of pictures: their names, what they show, and the choices that each heeds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from cubefit.errors import ConfigError, CubeFitError
from cubefit.pictures import of_fits, of_stars
from cubefit.pictures.source import Choices, Source
from cubefit.report import Figure
from cubefit.results.fit_result import MeanKind
from cubefit.results.stars import stars_of
from cubefit.store.handle import reading

Drawing: TypeAlias = Callable[[Source], Figure]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of picture."""

    draw: Drawing
    told: str
    """What it shows, in one line."""
    heeds: frozenset[str] = frozenset()
    """Names of the `Choices` that it heeds."""


def _kind(draw: Drawing, told: str, *heeds: str) -> Kind:
    return Kind(draw=draw, told=told, heeds=frozenset(heeds))


ON_SKY: Final = ("pixel_unit", "width_inch")
STARS: Final = ("components", "ages", "metals")

KINDS: Final[dict[str, Kind]] = {
    "maps": _kind(of_stars.all_maps, "all maps below on one page", "by", *STARS, *ON_SKY),
    "age-map": _kind(of_stars.age_map, "geometric mean age of each pixel", "by", *STARS, *ON_SKY),
    "metallicity-map": _kind(
        of_stars.metallicity_map, "mean [M/H] of each pixel", "by", *STARS, *ON_SKY
    ),
    "alpha-map": _kind(of_stars.alpha_map, "mean [alpha/Fe] of each pixel", "by", *STARS, *ON_SKY),
    "velocity-map": _kind(
        of_stars.velocity_map, "mean velocity of the stars in each pixel", "by", *STARS, *ON_SKY
    ),
    "dispersion-map": _kind(
        of_stars.dispersion_map, "velocity dispersion in each pixel", "by", *STARS, *ON_SKY
    ),
    "light-map": _kind(of_stars.light_map, "light of each pixel", *STARS, *ON_SKY),
    "mass-map": _kind(of_stars.mass_map, "mass of each pixel", *STARS, *ON_SKY),
    "age-metallicity": _kind(
        of_stars.age_metallicity,
        "age-metallicity plane, components summed",
        *("by", "width_inch", *STARS),
    ),
    "age-metallicity-components": _kind(
        of_stars.component_planes,
        "age-metallicity planes of single components, by default the brightest",
        *("components", "by", "width_inch"),
    ),
    "trends": _kind(
        of_stars.trends_along_orbits,
        "age, [M/H], [alpha/Fe] of the components against their radius, circularity and the like",
        *("by", "properties", "width_inch", *STARS),
    ),
    "component-masses": _kind(
        of_stars.masses_against_orbits,
        "fitted weights of the components against those of the orbits",
        *("by", "properties", "width_inch"),
    ),
    "spectra": _kind(
        of_fits.spectra,
        "data, model and residuals of chosen spaxels, else the best and the worst",
        *("spaxels", "width_inch"),
    ),
    "residual-map": _kind(of_fits.residual_map, "misfit and mean residual of each spaxel", *ON_SKY),
    "residual-spectrum": _kind(
        of_fits.residuals_along_wavelength,
        "residuals of all spaxels against wavelength",
        "width_inch",
    ),
    "convergence": _kind(of_fits.convergence, "figures of merit along the fit", "width_inch"),
    "prefit": _kind(
        of_fits.prefit, "data, templates, LOSVDs and models before a fit", "width_inch"
    ),
}
"""Every kind of picture by its name."""


def draw(
    kind: str,
    path: str | Path,
    *,
    components: Sequence[int] | None = None,
    ages: Sequence[float] | None = None,
    metals: Sequence[float] | None = None,
    spaxels: Sequence[int] | None = None,
    by: MeanKind | None = None,
    properties: Sequence[str] | None = None,
    pixel_unit: str | None = None,
    width_inch: float | None = None,
) -> Figure:
    """Draw one kind of picture of a file.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    path : str or Path
        A populated file; nearly all kinds need a fit in it.
    components : sequence of int, optional
        Components that count; default all.
    ages, metals : sequence of float, optional
        Least and largest age (Gyr) and [M/H] of the stars that count; default all.
    spaxels : sequence of int, optional
        Spaxels to draw; default the best and the worst.
    by : {"light", "mass"}, optional
        What means are weighted with; default light.
    properties : sequence of str, optional
        Names of component properties, with or without their unit; default those of the file.
    pixel_unit : str, optional
        Unit of the pixel coordinates, such as arcsec; default what the file says.
    width_inch : float, optional
        Width of the figure, such as 3.4 for one column; default that of the kind.

    Returns
    -------
    Figure

    Raises
    ------
    ConfigError
        If the kind is unknown, does not heed a choice, or the file has not what was chosen.
    MissingDataError
        If the file has not what the kind shows.
    StaleError
        If the solution was made from other inputs than those now in the file.
    """
    if kind not in KINDS:
        raise ConfigError(f"There is no picture {kind!r}: choose one of {', '.join(KINDS)}.")
    given = given_of(
        components=components,
        ages=ages,
        metals=metals,
        spaxels=spaxels,
        by=by,
        properties=properties,
        pixel_unit=pixel_unit,
        width_inch=width_inch,
    )
    unheeded = sorted(set(given) - KINDS[kind].heeds)
    if unheeded:
        raise ConfigError(
            f"The picture {kind} does not heed {', '.join(unheeded)}: leave that out; it heeds "
            f"{', '.join(sorted(KINDS[kind].heeds)) or 'nothing'}."
        )
    return KINDS[kind].draw(Source(Path(path), choices_of(given)))


def draw_all(path: str | Path, **choices: Any) -> Iterator[tuple[str, Figure | CubeFitError]]:
    """Draw every kind of picture that a file can carry.

    Parameters
    ----------
    path, **choices
        See `draw`. Each kind takes the choices that it heeds.

    Yields
    ------
    kind : str
    picture : Figure or CubeFitError
        The picture, or why there is none.

    Raises
    ------
    ConfigError
        If the file has not what was chosen.
    StoreError
        If the file is missing or foreign.
    """
    source = Source(Path(path), choices_of(given_of(**choices)))
    with reading(source.path):
        pass  # Refuses what is no file of ours once, not for every kind.
    for name, kind in KINDS.items():
        try:
            yield name, kind.draw(source)
        except ConfigError:
            raise
        except CubeFitError as reason:
            yield name, reason


def choices_of(given: dict[str, Any]) -> Choices:
    """Return choices by name, those of the stars put together."""
    stars = stars_of(**{name: given.get(name) for name in STARS})
    return Choices(stars=stars, **{k: v for k, v in given.items() if k not in STARS})


def given_of(**choices: Any) -> dict[str, Any]:
    """Return the choices that are not None, sequences as tuples."""
    return {
        name: tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
        for name, value in choices.items()
        if value is not None
    }
