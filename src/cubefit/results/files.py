"""A result as the parts of a FITS file."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import xarray as xr

from cubefit.errors import InputError, MissingDataError
from cubefit.io.result_files import FitsImage, LinearAxis, Table, TableColumn, write_fits
from cubefit.observation import Observation
from cubefit.results.tables import WEIGHT_UNITS

if TYPE_CHECKING:
    from cubefit.results.fit_result import FitResult

logger = logging.getLogger(__name__)

HEADER: Final = {
    "CUBEFIT": ("cubefit_version", "version of CubeFit that wrote this file"),
    "SOURCE": ("source", "CubeFit file of the fit"),
    "SOLUTION": ("solution", "dataset of the weights, or 'given'"),
    "SELECTED": ("selected", "stars that are here; nothing is of others"),
    "METHOD": ("method", "method of the fit"),
    "CHI2": ("chi2", "misfit; mean square residuals if NOISE = F"),
    "NVOXELS": ("n_voxels", "voxels in use"),
    "CHI2VOX": ("chi2_per_voxel", "CHI2 / NVOXELS"),
    "GAPREL": ("gap_rel", "bound of the distance to the optimum / objective"),
    "EPOCHS": ("epochs_total", "Kaczmarz epochs behind the weights"),
    "SEED": ("seed", "random seed"),
    "OPERATOR": ("operator", "what the fit used"),
    "NORMALIZ": ("normalization", "of the LOSVDs"),
    "FITTED": ("written", "when the weights were committed"),
    "INDIGEST": ("inputs_digest", "SHA-256 of the inputs of the fit"),
}
"""Keywords of the primary header: the fact behind each, and the comment."""
REPEATED: Final = (
    "OBJECT",
    "SOURCE",
    "CUBEFIT",
    "SELECTED",
    "METHOD",
    "NORMALIZ",
    "FITTED",
    "INDIGEST",
)
"""Those that the extensions have, too."""


def table_of(name: str, found: xr.Dataset) -> Table:
    """Return a one-dimensional data set as a plain table, its number in the first column.

    Parameters
    ----------
    name : str
        Of the table.
    found : Dataset
        Along one dimension.
    """
    (dimension,) = found.sizes
    number = TableColumn(str(dimension), found[dimension].values, "", f"number of the {dimension}")
    others = [c for c in found.coords if c != dimension]
    return Table(name, (number, *(column_of(found[key]) for key in [*others, *found.data_vars])))


def column_of(found: xr.DataArray) -> TableColumn:
    """Return a labelled array as a column of a plain table."""
    return TableColumn(str(found.name), found.values, unit_of(found), _told(found))


def unit_of(found: xr.DataArray) -> str:
    """Return the unit of a labelled array, empty for a pure number."""
    unit = str(found.attrs.get("units", ""))
    return "" if unit == "1" else unit


def with_flux_unit(found: xr.Dataset, seen: Observation) -> xr.Dataset:
    """Return a data set whose light has the unit of the data, where that is known."""
    if seen.flux_unit.strip():
        for variable in found.data_vars.values():
            if variable.attrs.get("units") == WEIGHT_UNITS["light"]:
                variable.attrs["units"] = seen.flux_unit
    return found


def _told(found: xr.DataArray) -> str:
    return str(found.attrs.get("long_name", ""))


def header_of(result: FitResult) -> dict[str, tuple[Any, str]]:
    """Return the primary header: value and comment of each keyword."""
    facts = result.facts
    header = {k: (facts[name], told) for k, (name, told) in HEADER.items() if name in facts}
    header["NOISE"] = (bool(facts["has_noise"]), "whether CHI2 is in units of the noise")
    if "priors" in result.run:
        header["PRIORS"] = (json.dumps(result.run["priors"]), "priors of the fit, JSON")
    if result.run:
        header["RUNJSON"] = (json.dumps(dict(result.run)), "settings of the fit, JSON")
    seen = result.observation
    if seen.name:
        header["OBJECT"] = (seen.name, "galaxy")
    if seen.settings:
        header["SETTINGS"] = (json.dumps(seen.settings), "settings of all steps, JSON")
    return header


def weight_parts(result: FitResult) -> tuple[FitsImage, list[Table]]:
    """Return the image of the weights, and the tables of its axes."""
    weights = result.weights
    image = FitsImage(
        "WEIGHTS",
        weights.values,
        unit_of(weights),
        "weight of each population on each component",
        tuple(LinearAxis(str(name)) for name in weights.dims),
    )
    tables = [
        Table(f"AXIS_{str(name).upper()}", (column_of(weights[name]),)) for name in weights.dims[1:]
    ]
    return image, tables


def pixel_parts(result: FitResult, pixel_unit: str) -> tuple[list[FitsImage], list[Table]]:
    """Return the maps as images if the pixels lie on a regular grid, else as a table, if at all."""
    if result.pixels is None:
        return [], []
    try:
        images = with_flux_unit(result.images(), result.observation)
    except (InputError, MissingDataError) as reason:
        logger.info("Maps stand in a table of pixels: %s", reason)
        maps = with_flux_unit(result.maps(), result.observation)
        for name in {"x", "y"} & set(maps.coords):
            maps[name].attrs["units"] = pixel_unit
        return [], [table_of("PIXELS", maps)]
    y, x = (linear_axis(name, images[name].values, pixel_unit) for name in ("y", "x"))
    axes = (with_step(y, x), with_step(x, y))
    plane = result.observation.image
    wcs = "" if plane is None else plane.wcs
    return [
        FitsImage(f"MAP_{name.upper()}", found.values, unit_of(found), _told(found), axes, wcs)
        for name, found in ((str(key), images[key]) for key in [*images.data_vars, "spaxel"])
    ], []


def linear_axis(name: str, values: np.ndarray[Any, Any], unit: str) -> LinearAxis:
    """Return a regular grid as an axis; of step zero where it has one value."""
    step = float(values[1] - values[0]) if values.size > 1 else 0.0
    return LinearAxis(name, float(values[0]), step, unit)


def with_step(axis: LinearAxis, other: LinearAxis) -> LinearAxis:
    """Return an axis of one pixel as long as those of the other axis: pixels are square."""
    return axis if axis.step else axis._replace(step=other.step or 1.0)


def write_result_fits(result: FitResult, path: Path, *, overwrite: bool, pixel_unit: str) -> Path:
    """Write a result to one FITS file; see `FitResult.to_fits`."""
    weights, axes = weight_parts(result)
    seen = result.observation
    components = table_of("COMPONENTS", with_flux_unit(result.components(), seen))
    spaxels = table_of("SPAXELS", with_flux_unit(result.spaxels(), seen))
    images, tables = pixel_parts(result, pixel_unit)
    return write_fits(
        path,
        header_of(result),
        [weights, *axes, components, spaxels, *tables, *images],
        overwrite=overwrite,
        repeated=REPEATED,
    )
