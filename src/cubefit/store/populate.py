"""Inputs into the file: whole or not at all."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from cubefit.errors import OverwriteError, StoreError
from cubefit.inputs import CubeInputs
from cubefit.interrupts import stopping_between_steps
from cubefit.spectra.rebin import spline_rebin_matrix
from cubefit.store import schema
from cubefit.store.amend import replace_dataset, sole_writer
from cubefit.store.digests import digest_entries
from cubefit.store.files import require_free
from cubefit.store.handle import amending, new_file, reading, require_hdf5
from cubefit.store.load import read_grids
from cubefit.store.shards import remove_unused_shards

INPUTS = tuple(e for e in schema.TABLE if e.writer == "populate")
DECISIVE = tuple(e for e in INPUTS if e not in schema.READ_BESIDE)
"""Inputs whose change makes another file of it."""


def arrays_of(inputs: CubeInputs) -> dict[str, NDArray[Any]]:
    """Return every given array of the inputs under its path in the file, as stored."""
    grids = inputs.grids
    given: dict[schema.Entry, NDArray[Any] | None] = {
        schema.DATA_CUBE: inputs.datacube,
        schema.TEMPLATES: inputs.templates,
        schema.LOSVD: inputs.losvd,
        schema.TEM_PIX: grids.tem_pix,
        schema.OBS_PIX: grids.obs_pix,
        schema.VEL_PIX: grids.vel_pix,
        schema.MASK: inputs.mask,
        schema.NOISE: inputs.noise,
        schema.VOXEL_MASK: inputs.voxel_mask,
        schema.X_PIX: inputs.xpix,
        schema.Y_PIX: inputs.ypix,
        schema.BIN_NUM: inputs.binnum,
        schema.TEMPLATE_MASS: inputs.template_masses,
        schema.ORBIT_WEIGHTS: inputs.orbit_weights,
    }
    if inputs.component_properties:
        names = [name.encode() for name in inputs.component_properties]
        given[schema.PROPERTY_NAMES] = np.array(names)
        given[schema.PROPERTY_VALUES] = np.array(list(inputs.component_properties.values()))
    return {e.path: np.asarray(a, e.dtype) for e, a in given.items() if a is not None}


def guard_info(inputs: CubeInputs) -> dict[str, float]:
    """Return the guard margins that go into the file."""
    found = inputs.coverage
    return {
        "safe": found.safe,
        "dlog": found.dln,
        "safety_pad_px": inputs.safety_pad_px,
        "blue_margin_px": found.blue_margin_px,
        "red_margin_px": found.red_margin_px,
        "blue_support_px": found.blue_support_px,
        "red_support_px": found.red_support_px,
        "Kguard_px": int(np.ceil(max(found.blue_support_px, found.red_support_px))),
    }


def write_guard(file: h5py.File, info: dict[str, float]) -> None:
    """Write guard information as ``guard.*`` scalars and one JSON attribute."""
    for key, value in info.items():
        file.attrs[schema.ATTR_GUARD_PREFIX + key] = value
    file.attrs[schema.ATTR_GUARD] = json.dumps(info)


def template_meta(inputs: CubeInputs) -> str:
    """Return the JSON of the template axes: sizes, order, physical values."""
    return json.dumps(
        {
            "shape": list(inputs.template_shape),
            "order": "C: p runs fastest along the last axis",
            "axes": inputs.template_axes,
        }
    )


def observation_text(inputs: CubeInputs) -> str | None:
    """Return what stands behind the arrays as the file keeps it, or None."""
    return None if inputs.observation is None else inputs.observation.to_json()


def write_observation(file: h5py.File, text: str | None) -> None:
    """Write what stands behind the arrays, or take it away."""
    if text is not None:
        file.attrs[schema.ATTR_OBSERVATION] = text
    elif schema.ATTR_OBSERVATION in file.attrs:
        del file.attrs[schema.ATTR_OBSERVATION]


def inputs_digest(arrays: dict[str, NDArray[Any]], meta: str) -> str:
    """Return the digest of all that a file is populated with."""
    return hashlib.sha256(f"{digest_entries(arrays, INPUTS)};{meta}".encode()).hexdigest()


def is_current(path: Path, arrays: dict[str, NDArray[Any]], meta: str) -> bool:
    """Whether the file already holds exactly these inputs, but for those that are read beside."""
    with reading(path) as file:
        return file.attrs.get(schema.ATTR_TEMPLATE_META) == meta and digest_entries(
            file, DECISIVE
        ) == digest_entries(arrays, DECISIVE)


def update_read_beside(
    path: Path, arrays: dict[str, NDArray[Any]], meta: str, observation: str | None
) -> bool:
    """Bring inputs that only results are read with up to date; False if they are."""
    entries = schema.READ_BESIDE
    with reading(path) as file:
        same_arrays = digest_entries(file, entries) == digest_entries(arrays, entries)
        if same_arrays and file.attrs.get(schema.ATTR_OBSERVATION) == observation:
            return False
    growth = sum(arrays[e.path].nbytes for e in entries if e.path in arrays)
    with amending(path, growth=growth) as file:
        for entry in entries:
            if entry.path in arrays:
                replace_dataset(file, entry.path, arrays[entry.path], entry.labels())
            elif entry.path in file:
                del file[entry.path]
        write_observation(file, observation)
        file.attrs[schema.ATTR_DIGEST] = inputs_digest(arrays, meta)
    return True


def require_no_products(path: Path) -> None:
    """Raise OverwriteError if a file holds results that new inputs would make meaningless."""
    remade = {e.path.split("/")[1] for e in INPUTS + schema.REBIN_PRODUCTS}
    with reading(path) as file:
        found = [f"/{name}" for name in file if name not in remade]
    if found:
        raise OverwriteError(
            f"{path} holds {', '.join(found)}, made from other inputs than these: give another "
            "path, or pass overwrite=True (--overwrite) to drop them."
        )


def write_inputs(path: Path, inputs: CubeInputs, *, overwrite: bool) -> bool:
    """Write a populated file, whole or not at all; False if it already held the same inputs.

    Raises
    ------
    StoreError
        If ``path`` is another kind of file, or holds products and ``overwrite`` is False.
    """
    arrays, meta, observation = arrays_of(inputs), template_meta(inputs), observation_text(inputs)
    if path.exists():
        require_hdf5(path)
        if is_current(path, arrays, meta):
            return update_read_beside(path, arrays, meta, observation)
    folder = path.resolve().parent
    if not folder.is_dir():
        raise StoreError(f"{folder} is no folder: create it, or give another path.")
    as_was = f"{path} is as it was; the same call populates it."
    done = f"{path} is populated; the same call adds what else is made with it."
    with sole_writer(path), stopping_between_steps(as_was, done) as look:
        if path.exists() and not overwrite:
            require_no_products(path)
        require_free(folder, sum(a.nbytes for a in arrays.values()), f"Populating {path}")
        with new_file(path) as file:
            for entry in INPUTS:
                if entry.path in arrays:
                    values = arrays[entry.path]
                    dataset = file.create_dataset(entry.path, data=values)
                    dataset.attrs.update(entry.labels(values.ndim))
                    look()
            file.attrs[schema.ATTR_FORMAT] = schema.FORMAT_VERSION
            file.attrs[schema.ATTR_VERSION] = version("cubefit")
            file.attrs[schema.ATTR_DIMS] = json.dumps(inputs.dims)
            file.attrs[schema.ATTR_TEMPLATE_META] = meta
            file.attrs[schema.ATTR_DIGEST] = inputs_digest(arrays, meta)
            write_observation(file, observation)
            write_guard(file, guard_info(inputs))
        remove_unused_shards(path)
    return True


def write_rebin_products(path: Path) -> None:
    """Add the rebin operator and the template transforms to a populated file, unless current."""
    with reading(path) as file:
        digest = digest_entries(file, (schema.TEMPLATES, schema.TEM_PIX, schema.OBS_PIX))
        if all(e.path in file for e in schema.REBIN_PRODUCTS) and digest == file[
            schema.R_T.path
        ].attrs.get(schema.ATTR_DIGEST):
            return
        templates, grids = file[schema.TEMPLATES.path][()], read_grids(file)
    rebin = spline_rebin_matrix(grids.tem_pix, grids.obs_pix).astype(np.float32)
    transform = np.fft.rfft(templates.astype(np.float64), axis=1).astype(np.complex64)
    note = (
        "rfft of /Templates along T. For reading only: models are built by exact integration "
        "of shifted splines, without any transform."
    )
    with amending(path, growth=2 * rebin.nbytes + transform.nbytes) as file:
        for entry in schema.REBIN_PRODUCTS:
            if entry.path in file:
                del file[entry.path]
        for entry, values in (
            (schema.R_T, rebin),
            (schema.REBIN_MATRIX, rebin.T),
            (schema.TEMPLATES_FFT, transform),
        ):
            replace_dataset(file, entry.path, values, entry.labels())
        file[schema.TEMPLATES_FFT.path].attrs["note"] = note
        file[schema.R_T.path].attrs[schema.ATTR_DIGEST] = digest
        file[schema.TEMPLATES_FFT_R.path] = file[schema.TEMPLATES_FFT.path]
