"""Weights as tables of components, spaxels and pixels: labelled arrays with units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cubefit.inverse.means import (
    component_masses,
    component_means,
    component_scatters,
    spaxel_masses,
    spaxel_means,
    spaxel_scatters,
    spaxel_velocities,
)
from cubefit.results.axes import Property
from cubefit.results.pixels import PixelGrid, Pixels, spread_over_pixels
from cubefit.results.provenance import Facts

Float = NDArray[np.float64]
WeightKind = Literal["template", "light", "mass"]

WEIGHT_UNITS: Final[dict[WeightKind, str]] = {
    "template": "template units",
    "light": "flux density of the data",
    "mass": "mass unit of template_masses",
}
VELOCITY_UNIT: Final = "km / s"
LIGHT_NOTE: Final = "mean flux density over the observed pixels in use"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One quantity of components, spaxels or pixels."""

    values: Float
    unit: str
    """Empty for a pure number."""
    long_name: str
    extensive: bool = False
    """Whether parts of a spaxel have parts of it."""

    @property
    def labels(self) -> dict[str, str]:
        """Return the attributes of its labelled array."""
        return {"units": self.unit or "1", "long_name": self.long_name}


def moment_columns(
    kind: WeightKind, weights: Float, share: Float | None, properties: Mapping[str, Property]
) -> dict[str, Column]:
    """Return means and scatters of all properties, of components or of spaxels.

    Parameters
    ----------
    kind : {"light", "mass"}
        What the weights are.
    weights : ndarray, shape (C, P)
        Weights of that kind.
    share : ndarray, shape (S, C), or None
        Share of each component in each spaxel; None for the components themselves.
    properties : mapping
        See `cubefit.results.axes.properties_of`.
    """
    columns = {}
    for name, found in properties.items():
        if share is None:
            mean = component_means(weights, found.values)
            scatter = component_scatters(weights, found.values)
        else:
            mean = spaxel_means(share, weights, found.values)
            scatter = spaxel_scatters(share, weights, found.values)
        told = f"of {found.long_name}, weighted by {kind}"
        columns[f"{name}_by_{kind}"] = Column(
            values=mean, unit=found.unit, long_name=f"mean {told}"
        )
        columns[f"{name}_scatter_by_{kind}"] = Column(
            values=scatter, unit=found.unit, long_name=f"standard deviation {told}"
        )
    return columns


def component_columns(
    weights: Mapping[WeightKind, Float], properties: Mapping[str, Property]
) -> dict[str, Column]:
    """Return the columns of the table of components: each of shape (C,)."""
    columns: dict[str, Column] = {}
    for kind, values in weights.items():
        masses = component_masses(values)
        name = "weight" if kind == "template" else kind
        long_name = f"{name} ({LIGHT_NOTE})" if kind == "light" else name
        columns[name] = Column(
            values=masses, unit=WEIGHT_UNITS[kind], long_name=long_name, extensive=True
        )
        if kind == "template":
            continue
        total = masses.sum()
        shares = masses / total if total > 0 else np.full(masses.shape, np.nan)
        columns[f"{name}_share"] = Column(
            values=shares, unit="", long_name=f"share of all {name}", extensive=True
        )
        columns |= moment_columns(kind, values, None, properties)
    return columns


def spaxel_columns(
    weights: Mapping[WeightKind, Float], share: Float, properties: Mapping[str, Property]
) -> dict[str, Column]:
    """Return the columns of the table of spaxels, light and mass: each of shape (S,)."""
    columns: dict[str, Column] = {}
    for kind, values in weights.items():
        if kind == "template":
            continue
        long_name = f"{kind} ({LIGHT_NOTE})" if kind == "light" else kind
        columns[kind] = Column(
            values=spaxel_masses(share, values),
            unit=WEIGHT_UNITS[kind],
            long_name=long_name,
            extensive=True,
        )
        columns |= moment_columns(kind, values, share, properties)
    return columns


def velocity_columns(weights: Mapping[WeightKind, Float], moments: Float) -> dict[str, Column]:
    """Return mean and dispersion of the velocity in each spaxel, by light and by mass: (S,) each.

    Parameters
    ----------
    weights : mapping
        Weights (C, P) of each kind.
    moments : ndarray, shape (3, S, C)
        See `cubefit.spectra.losvd.losvd_moments`.
    """
    columns: dict[str, Column] = {}
    for kind, values in weights.items():
        if kind == "template":
            continue
        mean, dispersion = spaxel_velocities(moments, values)
        told = f"of the line-of-sight velocity, weighted by {kind}"
        columns[f"velocity_by_{kind}"] = Column(
            values=mean, unit=VELOCITY_UNIT, long_name=f"mean {told}"
        )
        columns[f"dispersion_by_{kind}"] = Column(
            values=dispersion, unit=VELOCITY_UNIT, long_name=f"standard deviation {told}"
        )
    return columns


def pixel_columns(columns: Mapping[str, Column], pixels: Pixels) -> dict[str, Column]:
    """Return the columns of spaxels (S,) as those of pixels (nPix,)."""
    return {
        name: Column(
            values=spread_over_pixels(column.values, pixels.bins, extensive=column.extensive),
            unit=column.unit,
            long_name=f"{column.long_name}, per pixel" if column.extensive else column.long_name,
            extensive=column.extensive,
        )
        for name, column in columns.items()
    }


def dataset_of(
    dimension: str,
    columns: Mapping[str, Column],
    facts: Facts,
    coordinates: Mapping[str, tuple[NDArray[Any], dict[str, str]]] | None = None,
) -> xr.Dataset:
    """Return columns along one dimension as a data set; its numbers are the coordinate."""
    size = next(iter(columns.values())).values.size
    coords: dict[str, Any] = {dimension: np.arange(size)}
    for name, (values, labels) in (coordinates or {}).items():
        coords[name] = (dimension, values, labels)
    return xr.Dataset(
        {name: (dimension, column.values, column.labels) for name, column in columns.items()},
        coords=coords,
        attrs=dict(facts),
    )


def pixel_coordinates(pixels: Pixels) -> dict[str, tuple[NDArray[Any], dict[str, str]]]:
    """Return the coordinates of the pixels that are known, and the spaxel of each."""
    found: dict[str, tuple[NDArray[Any], dict[str, str]]] = {
        "spaxel": (pixels.bins, {"long_name": "spaxel of the pixel, -1 = none"})
    }
    for name, values in (("x", pixels.x), ("y", pixels.y)):
        if values is not None:
            found[name] = (values, {"units": "as given", "long_name": f"{name} of the pixel"})
    return found


def images_of(
    columns: Mapping[str, Column], pixels: Pixels, grid: PixelGrid, facts: Facts
) -> xr.Dataset:
    """Return columns of pixels as images (y, x), NaN where there is no pixel."""
    place = {"units": "as given"}
    images = {
        name: (("y", "x"), grid.image_of(column.values), column.labels)
        for name, column in columns.items()
    }
    return xr.Dataset(
        images,
        coords={
            "y": ("y", grid.y, place),
            "x": ("x", grid.x, place),
            "spaxel": (("y", "x"), grid.image_of(pixels.bins, empty=-1)),
        },
        attrs=dict(facts),
    )
