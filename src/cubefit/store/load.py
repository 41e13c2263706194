"""Inputs out of the file, as arrays."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
from numpy.typing import DTypeLike, NDArray

from cubefit.config import Normalization
from cubefit.errors import InputError, MissingDataError, StoreError
from cubefit.inputs import Grids
from cubefit.inverse.observed import Observed, require_fitting
from cubefit.observation import Observation
from cubefit.spectra.grids import Coverage, coverage
from cubefit.spectra.losvd import lit_velocity_range, normalized_losvd
from cubefit.spectra.rebin import rebinned_at_rest
from cubefit.spectra.shifted_templates import shifted_templates
from cubefit.store import schema
from cubefit.store.blocks import blocks_of_rows

Rows = slice | NDArray[np.integer[Any]]
"""Spaxels: a slice, or their numbers in ascending order."""
ALL: Final = slice(None)
DIMS: Final = ("nSpat", "nLSpec", "nTSpec", "nVel", "nComp", "nPop")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInputs:
    """What the models are made of."""

    losvd: NDArray[np.float32]
    """LOSVDs as they act, shape (S, V, C)."""
    templates: NDArray[np.float32]
    """Shape (P, T)."""
    grids: Grids

    def shifted_templates(
        self,
        dtype: DTypeLike = np.float32,
        *,
        pixels: NDArray[np.integer] | None = None,
        lit: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.floating]:
        """Return the shifted templates (V, P, L), or of some pixels, where the bins hold light.

        ``lit`` (V,) says where they do in the cube that these spaxels are a part of.
        """
        return shifted_templates(
            self.templates,
            self.grids.tem_pix,
            self.grids.obs_pix,
            self.grids.vel_pix,
            used=np.asarray(self.losvd.any(axis=(0, 2))) if lit is None else lit,
            pixels=pixels,
            dtype=dtype,
        )

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Sizes ``(S, C, P, L)`` of the models."""
        S, _, C = self.losvd.shape
        return S, C, self.templates.shape[0], self.grids.obs_pix.size


def read_grids(file: h5py.File) -> Grids:
    """Return the three grids of a file."""
    return Grids(
        tem_pix=file[schema.TEM_PIX.path][()],
        obs_pix=file[schema.OBS_PIX.path][()],
        vel_pix=file[schema.VEL_PIX.path][()],
    )


def read_model_inputs(
    file: h5py.File, normalization: Normalization, spaxels: Rows = ALL
) -> ModelInputs:
    """Return what the models of a file, or of some spaxels, are made of."""
    return ModelInputs(
        losvd=normalized_losvd(file[schema.LOSVD.path][spaxels], normalization),
        templates=file[schema.TEMPLATES.path][()],
        grids=read_grids(file),
    )


def read_coverage(file: h5py.File) -> Coverage:
    """Return how the templates in the file cover its data plus the LOSVD's support."""
    grids = read_grids(file)
    # One histogram with light where any has it.
    light = read_lit_bins(file).astype(np.float64)[None, :, None]
    return coverage(grids.tem_pix, grids.obs_pix, lit_velocity_range(light, grids.vel_pix))


def read_lit_bins(file: h5py.File) -> NDArray[np.bool_]:
    """Return which velocity bins hold light in any spaxel, shape (V,); a block at a time."""
    losvd = file[schema.LOSVD.path]
    lit = np.zeros(losvd.shape[1], bool)
    for rows in blocks_of_rows(losvd.shape, losvd.dtype):
        lit |= losvd[rows].any(axis=(0, 2))
    return lit


def read_optional(file: h5py.File, entry: schema.Entry) -> NDArray[Any] | None:
    """Return a dataset that the file need not hold, or None."""
    return np.asarray(file[entry.path][()]) if entry.path in file else None


def read_template_axes(file: h5py.File) -> tuple[tuple[int, ...], dict[str, list[float]]]:
    """Return the sizes of the template axes, and their values by name; empty where not given."""
    text = file.attrs.get(schema.ATTR_TEMPLATE_META)
    wrong = StoreError(
        f"The attribute {schema.ATTR_TEMPLATE_META} is {text!r}, not the axes of the templates: "
        "restore a copy of the file."
    )
    try:
        meta = json.loads(text)
        shape = tuple(int(n) for n in meta["shape"])
        axes = {name: [float(v) for v in values] for name, values in meta["axes"].items()}
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise wrong from error
    sizes = tuple(len(values) for values in axes.values())
    if math.prod(shape) != file[schema.TEMPLATES.path].shape[0] or sizes not in ((), shape):
        raise wrong
    return shape, axes


def read_template_light(file: h5py.File) -> NDArray[np.float64]:
    """Return the mean flux density of each template over the observed pixels in use, shape (P,).

    It is the mean over the pixels of ``/Mask`` of the template at rest.
    """
    grids, mask = read_grids(file), read_optional(file, schema.MASK)
    spectra = rebinned_at_rest(file[schema.TEMPLATES.path][()], grids.tem_pix, grids.obs_pix)
    return np.asarray((spectra if mask is None else spectra[:, mask.astype(bool)]).mean(axis=1))


def read_component_properties(file: h5py.File) -> dict[str, NDArray[np.float64]]:
    """Return what the file knows of its components, (C,) each, by name with unit."""
    names = read_optional(file, schema.PROPERTY_NAMES)
    values = read_optional(file, schema.PROPERTY_VALUES)
    if names is None or values is None:
        return {}
    return {name.decode(): row for name, row in zip(names, values, strict=True)}


def read_orbit_weights(file: h5py.File, of: schema.Entry) -> NDArray[np.float64] | None:
    """Return the weights (C,) that a fit was given, else those of the inputs, else None.

    Parameters
    ----------
    file : h5py.File
        The file, open.
    of : Entry
        ``schema.X_ORBIT_WEIGHTS`` of the committed fit, ``schema.FIT_ORBIT_WEIGHTS`` of the tracked
        one.
    """
    for entry in (of, schema.ORBIT_WEIGHTS):
        found = read_optional(file, entry)
        if found is not None:
            return np.asarray(found, np.float64)
    return None


def read_observed(file: h5py.File, spaxels: slice | None = None) -> Observed:
    """Return spectra, noise and masks of a file, or of some neighbouring spaxels."""
    rows = ALL if spaxels is None else spaxels
    noise, voxels = file.get(schema.NOISE.path), schema.VOXEL_MASK.path
    if noise is not None:
        # One sigma for each pixel is that of every spaxel.
        noise = noise[rows] if noise.ndim > 1 else noise[()]
    return Observed.of(
        file[schema.DATA_CUBE.path][rows],
        noise=noise,
        mask=read_optional(file, schema.MASK),
        voxel_mask=file[voxels][rows] if voxels in file else None,
        part_from=None if spaxels is None else spaxels.start,
    )


def read_used(file: h5py.File, spaxels: Rows = ALL) -> NDArray[np.bool_]:
    """Return the voxels in use of a file, or of some spaxels, shape (S, L).

    Raises
    ------
    InputError
        If a mask has another shape or type than it needs.
    """
    n_spaxels, n_pixels = file[schema.DATA_CUBE.path].shape
    mask, voxels = read_optional(file, schema.MASK), schema.VOXEL_MASK.path
    require_fitting("mask", mask, (n_pixels,), boolean=True)
    pixels = np.ones(n_pixels, bool) if mask is None else mask
    if voxels not in file:
        return np.broadcast_to(pixels, (np.arange(n_spaxels)[spaxels].size, n_pixels))
    require_fitting("voxel_mask", file[voxels], (n_spaxels, n_pixels), boolean=True)
    return np.asarray(file[voxels][spaxels] & pixels)


def read_given_spectra(file: h5py.File, spaxels: Sequence[int]) -> NDArray[np.float64]:
    """Return the spectra of some spaxels, (n, L), NaN where the mask of the voxels leaves one out.

    What the mask of all spaxels leaves out, such as emission lines, stays as given.
    """
    cube, voxels = file[schema.DATA_CUBE.path], file.get(schema.VOXEL_MASK.path)
    spectra = np.empty((len(spaxels), cube.shape[1]))
    for row, s in zip(spectra, spaxels, strict=True):
        row[:] = cube[s] if voxels is None else np.where(voxels[s], cube[s], np.nan)
    return spectra


def read_spaxels_in_use(file: h5py.File) -> NDArray[np.bool_]:
    """Return which spaxels have a voxel in use, shape (S,); a block at a time."""
    blocks = blocks_of_rows(file[schema.DATA_CUBE.path].shape, np.dtype(bool))
    return np.concatenate([read_used(file, rows).any(axis=1) for rows in blocks])


def input_stamp(file: h5py.File) -> str:
    """Return what tells the inputs of a file from those of another, at a glance."""
    return str(file.attrs.get(schema.ATTR_DIGEST, ""))


def read_dims(file: h5py.File) -> dict[str, int]:
    """Return the ``dims`` attribute."""
    text = file.attrs.get(schema.ATTR_DIMS)
    try:
        dims: dict[str, int] = {name: int(json.loads(text)[name]) for name in DIMS}
    except (ValueError, TypeError, LookupError) as error:
        raise StoreError(
            f"The attribute {schema.ATTR_DIMS} is {text!r}, not the sizes of the arrays: restore a "
            "copy of the file."
        ) from error
    return dims


def require_rebin_products(file: h5py.File) -> None:
    """Raise MissingDataError unless ``ensure_rebin_and_resample`` has run."""
    for entry in schema.REBIN_PRODUCTS:
        if entry.path not in file:
            raise MissingDataError(
                f"Missing {entry.path}; call populate_from_arrays first, then "
                "ensure_rebin_and_resample()."
            )


def read_observation(file: h5py.File, path: Path) -> Observation:
    """Return what stands behind the arrays of a file; an empty one where it does not say.

    Raises
    ------
    StoreError
        If the file has something else in its place.
    """
    text = file.attrs.get(schema.ATTR_OBSERVATION)
    if text is None:
        return Observation()
    try:
        return Observation.from_json(text)
    except InputError as error:
        raise StoreError(f"{path}: {error}") from error
