"""Pictures of the stars: maps, age-metallicity planes, trends along the orbits, masses."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cubefit.errors import InputError, MissingDataError
from cubefit.pictures.source import Source
from cubefit.report import (
    Figure,
    MapPanel,
    Trend,
    component_masses,
    map_panels,
    population_planes,
    property_trends,
)
from cubefit.report.style import (
    COLUMN_WIDTH_INCH,
    PAGE_WIDTH_INCH,
    UNBROKEN,
    drawable,
    in_lines,
)
from cubefit.results.fit_result import FitResult, MeanKind
from cubefit.results.pixels import regular_grid

PROPERTY_LABELS: Final = {
    "log_age": "Geometric mean age [Gyr]",
    "metal": "Mean [M/H] [dex]",
    "alpha": r"Mean [$\alpha$/Fe] [dex]",
}
"""Those that pictures are made of, in their order."""
VELOCITY_LABELS: Final = {
    "velocity": "Mean velocity [km/s]",
    "dispersion": "Velocity dispersion [km/s]",
}
KNOWN_PROPERTIES: Final = {
    "rc": "Circular radius",
    "rmean": "Mean radius",
    "lambdaz": r"Circularity $\lambda_z$",
    "lambda_z": r"Circularity $\lambda_z$",
}
"""What names of properties of the components mean."""
UNIT_ENDINGS: Final = {
    "kpc_km_s": "kpc km/s",
    "km_s": "km/s",
    "kms": "km/s",
    "kpc": "kpc",
    "pc": "pc",
    "arcsec": "arcsec",
    "deg": "deg",
    "gyr": "Gyr",
    "dex": "dex",
}
"""Ends of such names that are units, in small letters; the longest first."""
LEAST_SHARE: Final = 1e-3
"""Part of the light (or mass) of a pixel that chosen stars must have for a mean there."""
BRIGHTEST: Final = 11
"""Components that have planes of their own where none are chosen."""
MOST_TRENDS: Final = 3
"""Properties of components that are drawn where none are chosen."""


def all_maps(source: Source) -> Figure:
    """Draw mean age, [M/H], [alpha/Fe], velocity and dispersion, light, and mass where known."""
    names = varying_properties(source.result)
    panels = [_property_panel(source, name) for name in names]
    panels += [_velocity_panel(source, name) for name in VELOCITY_LABELS]
    panels.append(_total_panel(source, "light"))
    if source.result.template_masses is not None:
        panels.append(_total_panel(source, "mass"))
    return draw_on_sky(source, panels, weighting(source))


def age_map(source: Source) -> Figure:
    """Draw the mean age in each pixel."""
    return draw_on_sky(source, [_property_panel(source, "log_age")], weighting(source))


def metallicity_map(source: Source) -> Figure:
    """Draw the mean [M/H] in each pixel."""
    return draw_on_sky(source, [_property_panel(source, "metal")], weighting(source))


def alpha_map(source: Source) -> Figure:
    """Draw the mean [alpha/Fe] in each pixel."""
    return draw_on_sky(source, [_property_panel(source, "alpha")], weighting(source))


def velocity_map(source: Source) -> Figure:
    """Draw the mean line-of-sight velocity in each pixel."""
    return draw_on_sky(source, [_velocity_panel(source, "velocity")], weighting(source))


def dispersion_map(source: Source) -> Figure:
    """Draw the dispersion of the line-of-sight velocity in each pixel."""
    return draw_on_sky(source, [_velocity_panel(source, "dispersion")], weighting(source))


def light_map(source: Source) -> Figure:
    """Draw the light in each pixel."""
    return draw_on_sky(source, [_total_panel(source, "light")], subtitle(source))


def mass_map(source: Source) -> Figure:
    """Draw the mass in each pixel."""
    return draw_on_sky(source, [_total_panel(source, "mass")], subtitle(source))


def age_metallicity(source: Source) -> Figure:
    """Draw the age-metallicity plane of all components, or of the chosen stars together."""
    title = in_lines(subtitle(source), source.choices.width_inch or COLUMN_WIDTH_INCH)
    return _planes(
        source, source.chosen_result, [(title or "All components", list(source.components))]
    )


def component_planes(source: Source) -> Figure:
    """Draw the age-metallicity planes of all components together and of single ones."""
    weights = source.result.weights_of(source.by)
    of_each = weights.values.reshape(len(weights), -1).sum(axis=1)
    chosen: Sequence[int] = source.components
    if source.choices.stars.components is None:
        brightest = np.argsort(-of_each, kind="stable")[:BRIGHTEST]
        chosen = sorted(int(c) for c in brightest if of_each[c] > 0)
    total = of_each.sum()
    share = 100.0 * of_each / total if total > 0 else np.full(of_each.shape, np.nan)
    groups = [("All", list(range(len(of_each))))]
    groups += [(f"c={c}: {share[c]:.3g} % of {source.by}", [c]) for c in chosen]
    return _planes(source, source.result, groups)


def trends_along_orbits(source: Source) -> Figure:
    """Draw mean age, [M/H] and [alpha/Fe] of the components along what is known of them."""
    properties = source.properties()
    if source.choices.properties is None:
        properties = dict(islice(properties.items(), MOST_TRENDS))
    result, by = source.chosen_result, source.by
    found = []
    for name in varying_properties(result) or ["log_age"]:
        table = result.means(name, by)
        found.append(
            Trend(
                means=table[f"{name}_by_{by}"].values,
                scatters=table[f"{name}_scatter_by_{by}"].values,
                label=PROPERTY_LABELS[name],
                is_log_age=name == "log_age",
            )
        )
    labels = [property_label(name) for name in properties]
    if len(set(labels)) < len(labels):
        labels = [capitalised(name) for name in properties]
    return property_trends(
        trends=found,
        properties=dict(zip(labels, properties.values(), strict=True)),
        weights=result.weights_of(by).values.reshape(len(result.x), -1).sum(axis=1),
        weight_label=by,
        note=subtitle(source),
        width_inch=source.choices.width_inch,
    )


def masses_against_orbits(source: Source) -> Figure:
    """Draw the weight of each component against that of its orbits, both as shares."""
    expected = source.result.orbit_weights
    if expected is None:
        raise MissingDataError(
            f"{source.path} has no weights of the orbits: fit with orbit_weights=, or populate "
            "with them."
        )
    kind = source.choices.by or "template"
    fitted = source.result.weights_of(kind).values.reshape(len(expected), -1).sum(axis=1)
    if not fitted.any() or not expected.any():
        raise InputError(f"{source.path} has a solution or orbit weights of nothing but zeros.")
    wanted = source.result.component_properties or source.choices.properties
    properties = source.properties() if wanted else {}
    sort_label, sort_by = next(iter(properties.items()), (None, None))
    what = "weight" if kind == "template" else kind
    return component_masses(
        fitted=fitted / fitted.sum(),
        expected=expected / expected.sum(),
        expected_label="Orbit weight [share of all]",
        fitted_label=f"Fitted {what} [share of all]",
        ratio_label=f"Fitted {what} / orbit weight",
        sort_by=sort_by,
        sort_label=None if sort_label is None else property_label(sort_label),
        width_inch=source.choices.width_inch or PAGE_WIDTH_INCH,
    )


def draw_on_sky(source: Source, panels: Sequence[MapPanel], title: str = "") -> Figure:
    """Draw quantities of spaxels or pixels as maps, on a grid where the pixels lie on one.

    Parameters
    ----------
    source : Source
        Of the pixels.
    panels : sequence of MapPanel
        Values of every image pixel, shape (nPix,).
    title : str
        Above the first map.

    Raises
    ------
    MissingDataError
        If the file does not know where its pixels are.
    """
    pixels = source.pixels
    x, y = pixels.x, pixels.y
    if x is None or y is None:
        raise MissingDataError(
            f"{source.path} has no coordinates of its image pixels: populate with xpix and ypix."
        )
    try:
        grid = regular_grid(x, y)
    except InputError:
        pass  # Squares stand where the pixels are.
    else:
        panels = [replace(panel, values=grid.image_of(panel.values)) for panel in panels]
        x, y = grid.x, grid.y
    return map_panels(
        panels=panels,
        x=x,
        y=y,
        pixel_unit=source.pixel_unit,
        compass=source.compass,
        title=title,
        width_inch=source.choices.width_inch,
    )


def subtitle(source: Source) -> str:
    """Return which stars a picture is of, empty if of all."""
    words = ", ".join(
        part if part.startswith("component") else part.replace(" ", UNBROKEN)
        for part in source.choices.stars.told()
    )
    return words[:1].upper() + words[1:]


def weighting(source: Source) -> str:
    """Return what means are weighted with, of which stars, and where there are none."""
    whose = subtitle(source)
    told = "; ".join(filter(None, [f"Weighted by {source.by}", uncapitalised(whose)]))
    if too_faint(source).any():
        told += f"\nNo mean below {100.0 * LEAST_SHARE:g} % of the {source.by} in a pixel"
    return told


def too_faint(source: Source) -> NDArray[np.bool_]:
    """Return in which pixels the chosen stars are too faint to speak of, shape (nPix,)."""
    chosen = source.pixel_table[source.by].values
    if source.choices.stars.are_all:
        return np.zeros(chosen.shape, bool)
    return np.asarray(chosen < LEAST_SHARE * source.whole_pixel_table[source.by].values)


def uncapitalised(words: str) -> str:
    """Return words that stand inside a sentence; symbols stay as they are."""
    return words[:1].lower() + words[1:]


def capitalised(label: str) -> str:
    """Return a user's label as it can be drawn, its first letter large as on all axes."""
    return drawable(label[:1].upper() + label[1:])


def property_label(name: str) -> str:
    """Return the label of a property of the components: in words where known, its unit last.

    A unit is in brackets, or at the end of the name: ``Rc_kpc`` is ``Circular radius [kpc]``.
    """
    bracketed = re.fullmatch(r"(.*?)\s*\[([^\[\]]*)\]", name)
    bare, unit = bracketed.groups() if bracketed else (name, "")
    for ending, meant in {} if unit else UNIT_ENDINGS.items():
        if bare.lower().endswith(f"_{ending}"):
            bare, unit = bare[: -len(ending) - 1], meant
            break
    words = KNOWN_PROPERTIES.get(bare.lower())
    if words is None and not unit:
        return capitalised(name)
    return f"{words or capitalised(bare)}{f' [{drawable(unit)}]' if unit else ''}"


def varying_properties(result: FitResult) -> list[str]:
    """Return the names of the properties that the templates differ in."""
    known = result.properties
    return [n for n in PROPERTY_LABELS if n in known and np.ptp(known[n].values) > 0]


def _property_panel(source: Source, name: str) -> MapPanel:
    result = source.chosen_result
    result.means(name, source.by)  # Refuses a file without it.
    if name not in varying_properties(result):
        raise MissingDataError(
            f"The templates of {source.path} do not differ in {name}: there is no map of it."
        )
    means = source.pixel_table[f"{name}_by_{source.by}"].values
    return MapPanel(
        values=np.where(too_faint(source), np.nan, means),
        label=PROPERTY_LABELS[name],
        scale="log_age" if name == "log_age" else "linear",
    )


def _velocity_panel(source: Source, name: str) -> MapPanel:
    source.chosen_result.weights_of(source.by)  # Refuses a file without masses.
    found = source.pixel_table[f"{name}_by_{source.by}"].values
    return MapPanel(
        values=np.where(too_faint(source), np.nan, found),
        label=VELOCITY_LABELS[name],
        scale="signed" if name == "velocity" else "linear",
    )


def _total_panel(source: Source, kind: MeanKind) -> MapPanel:
    source.chosen_result.weights_of(kind)  # Refuses a file without masses.
    unit = source.flux_unit if kind == "light" else "mass unit"
    label = f"{kind.capitalize()} per pixel [{unit}]"
    return MapPanel(values=source.pixel_table[kind].values, label=label, scale="log")


def _planes(source: Source, result: FitResult, groups: Sequence[tuple[str, list[int]]]) -> Figure:
    """Draw the age-metallicity planes of groups of components, each with its title."""
    weights = result.weights_of(source.by)
    missing = {"age", "metal"} - set(weights.dims)
    if missing:
        raise MissingDataError(
            f"{source.path} does not know the {' and '.join(sorted(missing))} of its templates: "
            "populate with template_axes=, the values of each axis by name."
        )
    ages = weights["age"].values
    if not (ages > 0).all():
        raise InputError(
            f"The template ages of {source.path} reach down to {ages.min():g}: the plane needs "
            "ages above zero in Gyr (not their logarithm); populate with template_axes of those."
        )
    planes = weights.sum(set(weights.dims) - {"component", "age", "metal"})
    values = planes.transpose("component", "metal", "age").values
    return population_planes(
        weights=np.array([values[members].sum(axis=0) for _, members in groups]),
        log_age=np.log10(ages),
        metal=weights["metal"].values,
        titles=[title for title, _ in groups],
        weight_label=source.by,
        width_inch=source.choices.width_inch,
    )
