"""What stands in a file from its beginning: the galaxy, its components, its spaxels."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cubefit.config import Normalization
from cubefit.errors import InputError
from cubefit.inputs import Grids
from cubefit.results.axes import Axis, Property, axes_of, properties_of
from cubefit.results.pixels import Pixels
from cubefit.results.units import flux_unit_of, pixel_unit_of
from cubefit.spectra.losvd import normalized_losvd
from cubefit.spectra.spaxel_model import SpaxelModel
from cubefit.store import schema
from cubefit.store.fitted import read_bins
from cubefit.store.handle import reading
from cubefit.store.load import (
    read_component_properties,
    read_dims,
    read_grids,
    read_observation,
    read_observed,
    read_optional,
    read_template_axes,
    read_template_light,
)
from cubefit.store.viewing import (
    SpaxelSpectrum,
    galaxy_stamp,
    read_losvd,
    read_moments,
    read_spectrum,
)

Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Galaxy:
    """What does not change while a file is built and fitted."""

    path: Path
    stamp: str
    """Of its inputs: another file in its place has another."""
    name: str
    """Of the galaxy; empty where the file does not say."""
    dims: dict[str, int]
    grids: Grids
    has_noise: bool
    n_voxels: int
    """Voxels in use."""
    noise_chi2: float
    """Chi2 per voxel that noise alone leaves."""
    flux: Float
    """Mean flux density of each spaxel over its pixels in use, shape (S,); NaN without any."""
    flux_unit: str
    """For people."""
    pixels: Pixels | None
    pixel_unit: str
    """Of the coordinates of the pixels."""
    axes: tuple[Axis, ...]
    """Template axes; empty where not known."""
    template_shape: tuple[int, ...]
    template_light: Float
    """Mean flux density of one unit of each template, shape (P,)."""
    template_masses: Float | None
    """Mass of one unit of each template, shape (P,)."""
    component_properties: dict[str, Float]
    """What is known of the components, shape (C,) each, by name with unit."""
    model: SpaxelModel
    moments_read: dict[Normalization, Float] = field(default_factory=dict)
    """Kept by `moments`."""

    @property
    def shape(self) -> tuple[int, int]:
        """``(C, P)``."""
        return self.dims["nComp"], self.dims["nPop"]

    @property
    def wave(self) -> Float:
        """Observed pixel centres in Angstrom, shape (L,)."""
        return np.asarray(np.exp(self.grids.obs_pix))

    @property
    def properties(self) -> dict[str, Property]:
        """What every template has by its axes; nothing where the ages have no logarithm."""
        try:
            return properties_of(self.axes)
        except InputError:
            return {}

    def plane(self, values: Float, names: tuple[str, str]) -> Float:
        """Return values of the templates (P,) summed over all axes but two, as (rows, columns).

        An axis that is none of the templates has one value.
        """
        known = [axis.name for axis in self.axes]
        known = known or [f"axis {k}" for k in range(len(self.template_shape))]
        cube = values.reshape(self.template_shape)
        kept = [known.index(name) for name in names if name in known]
        plane = cube.sum(axis=tuple(k for k in range(cube.ndim) if k not in kept))
        if len(kept) == 1:
            return np.asarray(plane[None, :])
        return np.asarray(plane if kept[0] < kept[1] else plane.T)

    def spectrum(self, spaxel: int) -> SpaxelSpectrum:
        """Return what was observed in a spaxel."""
        return read_spectrum(self.path, self.stamp, spaxel)

    def model_spectrum(self, spaxel: int, x: Float, normalization: Normalization) -> Float:
        """Return the model of a spaxel, shape (L,), for weights (C, P)."""
        losvd = read_losvd(self.path, self.stamp, spaxel)[None]
        return self.model.spectrum(normalized_losvd(losvd, normalization)[0], x)

    def moments(self, normalization: Normalization) -> Float:
        """Return share of component c's light in spaxel s and its velocities, shape (3, S, C).

        See `cubefit.spectra.losvd.losvd_moments`. The first call reads all LOSVDs.
        """
        if normalization not in self.moments_read:
            self.moments_read[normalization] = read_moments(self.path, self.stamp, normalization)
        return self.moments_read[normalization]


def mean_flux(data: Float, used: NDArray[np.bool_]) -> Float:
    """Return the mean flux density of each spaxel over its pixels in use, NaN without any."""
    counts = used.sum(axis=1)
    total = np.where(used, data, 0.0).sum(axis=1)
    return np.asarray(np.divide(total, counts, out=np.full(counts.shape, np.nan), where=counts > 0))


def read_galaxy(path: Path) -> Galaxy:
    """Return what a file holds from its beginning."""
    with reading(path) as file:
        dims, grids, observed = read_dims(file), read_grids(file), read_observed(file)
        shape, axes = read_template_axes(file)
        bins, seen = read_bins(file, path, dims["nSpat"]), read_observation(file, path)
        x, y = read_optional(file, schema.X_PIX), read_optional(file, schema.Y_PIX)
        return Galaxy(
            path=path,
            stamp=galaxy_stamp(file),
            name=seen.name,
            dims=dims,
            grids=grids,
            has_noise=schema.NOISE.path in file,
            n_voxels=observed.n_voxels,
            noise_chi2=seen.noise_chi2 or 1.0,
            flux=mean_flux(observed.data, observed.used),
            flux_unit=flux_unit_of(seen),
            pixels=None if bins is None or x is None or y is None else Pixels(bins=bins, x=x, y=y),
            pixel_unit=pixel_unit_of(seen),
            axes=axes_of(axes),
            template_shape=shape,
            template_light=read_template_light(file),
            template_masses=read_optional(file, schema.TEMPLATE_MASS),
            component_properties=read_component_properties(file),
            model=SpaxelModel(
                file[schema.TEMPLATES.path][()], grids.tem_pix, grids.obs_pix, grids.vel_pix
            ),
        )
