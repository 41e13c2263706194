"""All inputs of a fit together, checked against each other before anything is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cubefit.display import html_table
from cubefit.errors import InputError
from cubefit.inputs.arrays import (
    CubeOrder,
    axis_values,
    boolean,
    flat_templates,
    losvd_histograms,
    masses_per_unit,
    named_properties,
    numeric,
    oriented,
    pixel_maps,
    require_room,
    whole_pixels,
)
from cubefit.inverse.observed import Observed
from cubefit.inverse.ratio import checked_orbit_weights
from cubefit.observation import Observation
from cubefit.spectra.grids import (
    Coverage,
    require_cover,
    require_ln_wave,
    require_velocities,
)
from cubefit.spectra.losvd import lit_velocity_range
from cubefit.spectra.ranges import velocity_range, wavelength_range


@dataclass(frozen=True, slots=True, kw_only=True)
class Grids:
    """The three grids of a fit."""

    tem_pix: NDArray[np.float64]
    """Template pixel centres in ln(wavelength / Angstrom), shape (T,)."""
    obs_pix: NDArray[np.float64]
    """Observed pixel centres in ln(wavelength / Angstrom), shape (L,)."""
    vel_pix: NDArray[np.float64]
    """LOSVD bin centres in km/s, positive receding, shape (V,)."""

    def rows(self) -> list[tuple[str, str]]:
        """Return the grids in words."""
        ranges = {
            "templates (T)": wavelength_range(self.tem_pix),
            "observed (L)": wavelength_range(self.obs_pix),
            "velocities (V)": velocity_range(self.vel_pix),
        }
        return [(name, f"{found.n}: {found}") for name, found in ranges.items()]

    def _repr_html_(self) -> str:
        """Return the grids as a small table, for notebooks."""
        return html_table("Grids", self.rows())


@dataclass(frozen=True, slots=True, kw_only=True)
class CubeInputs:
    """All inputs of a fit, checked: build it with `check_inputs`."""

    grids: Grids
    losvd: NDArray[np.float32]
    """LOSVD histograms, amplitude kept, shape (S, V, C)."""
    datacube: NDArray[np.float64]
    """Observed spectra, shape (S, L)."""
    templates: NDArray[np.float32]
    """Template flux densities, shape (P, T)."""
    template_shape: tuple[int, ...]
    """Sizes of the template axes behind P, C order."""
    template_axes: dict[str, list[float]]
    """Physical values of the template axes, by name, in their order; empty where not given."""
    mask: NDArray[np.bool_] | None
    """True = use the pixel, shape (L,)."""
    noise: NDArray[np.float64] | None
    """One sigma, shape (S, L) or (L,)."""
    voxel_mask: NDArray[np.bool_] | None
    """True = use the voxel, shape (S, L)."""
    xpix: NDArray[np.float64] | None
    ypix: NDArray[np.float64] | None
    binnum: NDArray[np.int32] | None
    """Spaxel (bin) of each image pixel, shape (nPix,)."""
    template_masses: NDArray[np.float64] | None
    """Stellar mass of one unit of each template, shape (P,)."""
    orbit_weights: NDArray[np.float64] | None
    """Weight of each component in the dynamical model, any scale, shape (C,)."""
    component_properties: dict[str, NDArray[np.float64]]
    """What is known of the components, such as ``"radius [kpc]"``, shape (C,) each."""
    safety_pad_px: int
    """Template pixels wanted beyond the data on each side."""
    coverage: Coverage
    observation: Observation | None
    """What stands behind the arrays."""

    @property
    def dims(self) -> dict[str, int]:
        """The sizes under the names of the file's ``dims`` attribute."""
        S, V, C = self.losvd.shape
        P, T = self.templates.shape
        sizes = (S, self.datacube.shape[1], T, V, C, P)
        return dict(zip(("nSpat", "nLSpec", "nTSpec", "nVel", "nComp", "nPop"), sizes, strict=True))


def checked_observation(
    observation: Observation | None, xpix: NDArray[np.float64] | None
) -> Observation | None:
    """Return it, or refuse what does not fit the other inputs."""
    if observation is None:
        return None
    if not isinstance(observation, Observation):
        raise InputError(
            f"observation is a {type(observation).__name__}: give cubefit.Observation(...)."
        )
    observation.to_json()
    if observation.image is not None and xpix is None:
        raise InputError("observation has an image, but there is no xpix, ypix: give both.")
    return observation


def check_inputs(
    *,
    tem_pix: ArrayLike,
    obs_pix: ArrayLike,
    vel_pix: ArrayLike,
    losvd: ArrayLike,
    datacube: ArrayLike,
    templates: ArrayLike,
    mask: ArrayLike | None = None,
    noise: ArrayLike | None = None,
    voxel_mask: ArrayLike | None = None,
    template_axes: Mapping[str, Sequence[float]] | None = None,
    xpix: ArrayLike | None = None,
    ypix: ArrayLike | None = None,
    binnum: ArrayLike | None = None,
    template_masses: ArrayLike | None = None,
    orbit_weights: ArrayLike | None = None,
    component_properties: Mapping[str, ArrayLike] | None = None,
    observation: Observation | None = None,
    safety_pad_px: int = 64,
    datacube_order: CubeOrder | None = None,
) -> CubeInputs:
    """Return all inputs of a fit, checked against each other.

    Parameters
    ----------
    tem_pix, obs_pix, vel_pix : array_like, shapes (T,), (L,), (V,)
        Grids, see `Grids`.
    losvd, datacube, templates, mask, noise, voxel_mask, template_axes, xpix, ypix, binnum
        See `CubeInputs`; ``datacube`` may be (S, L) or (L, S) and so may ``noise`` and
        ``voxel_mask``; ``templates`` is (T, nZ, nAge, nAlpha) or (T, ...).
    template_masses : array_like, shape (nZ, nAge, nAlpha), the like, or (P,), optional
        Stellar mass of one unit of each template.
    orbit_weights : array_like, shape (C,), optional
        Weight of each component in the dynamical model, any scale.
    component_properties : mapping of str to array_like, shape (C,), optional
        What is known of the components, by name with its unit: ``{"radius [kpc]": [...]}``.
    observation : Observation, optional
        What stands behind the arrays: sky, wavelengths as observed, settings.
    safety_pad_px : int
        Template pixels wanted beyond the data on each side.
    datacube_order : {"SL", "LS"}, optional
        Axis order of ``datacube``, ``noise`` and ``voxel_mask``; needed where S equals L.

    Returns
    -------
    CubeInputs

    Raises
    ------
    InputError, GridError
        Whatever does not fit: a sentence that says what, where and the mend.
    """
    pad = whole_pixels(safety_pad_px)
    grids = Grids(
        tem_pix=require_ln_wave(numeric("tem_pix", tem_pix), "tem_pix (/TemPix)"),
        obs_pix=require_ln_wave(numeric("obs_pix", obs_pix), "obs_pix (/ObsPix)"),
        vel_pix=require_velocities(numeric("vel_pix", vel_pix), "The velocity grid (/VelPix)"),
    )
    histograms = losvd_histograms(losvd, grids.vel_pix.size)
    S, L = histograms.shape[0], grids.obs_pix.size
    flat, template_shape = flat_templates(templates, grids.tem_pix.size)
    cube = np.ascontiguousarray(oriented("datacube", datacube, (S, L), datacube_order), np.float64)
    sigma = None
    if noise is not None:
        sigma = numeric("noise", noise).astype(np.float64)
        if sigma.shape != (L,):
            sigma = np.ascontiguousarray(oriented("noise", sigma, (S, L), datacube_order))
    voxels = None
    if voxel_mask is not None:
        voxels = boolean(
            "voxel_mask", oriented("voxel_mask", voxel_mask, (S, L), datacube_order), (S, L)
        )
    pixels = None if mask is None else boolean("mask", mask, (L,))
    Observed.of(cube, noise=sigma, mask=pixels, voxel_mask=voxels)
    x_coordinates, y_coordinates, bins = pixel_maps(xpix, ypix, binnum, S)
    lit = lit_velocity_range(histograms, grids.vel_pix)
    found = require_cover(grids.tem_pix, grids.obs_pix, lit)
    require_room("models (losvd * templates)", float(histograms.max()) * float(np.abs(flat).max()))
    return CubeInputs(
        grids=grids,
        losvd=histograms,
        datacube=cube,
        templates=flat,
        template_shape=template_shape,
        template_axes=axis_values(template_axes, template_shape),
        mask=pixels,
        noise=sigma,
        voxel_mask=voxels,
        xpix=x_coordinates,
        ypix=y_coordinates,
        binnum=bins,
        template_masses=None
        if template_masses is None
        else masses_per_unit(template_masses, template_shape),
        orbit_weights=None
        if orbit_weights is None
        else checked_orbit_weights(orbit_weights, histograms.shape[2]),
        component_properties=named_properties(component_properties or {}, histograms.shape[2]),
        safety_pad_px=pad,
        coverage=found,
        observation=checked_observation(observation, x_coordinates),
    )
