"""Inputs into the file: whole or not at all."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from cubefit.errors import StoreError
from cubefit.inputs import CubeInputs
from cubefit.spectra.rebin import spline_rebin_matrix
from cubefit.store import schema
from cubefit.store.amend import replace_dataset
from cubefit.store.digests import digest_entries
from cubefit.store.files import require_free
from cubefit.store.handle import amending, new_file, reading, require_hdf5
from cubefit.store.load import read_grids
from cubefit.store.lock import writer_lock

INPUTS = tuple(e for e in schema.TABLE if e.writer == "populate")
PRODUCTS = (schema.MODELS, schema.X_GLOBAL, schema.X_BEST, schema.MODEL_CUBE)


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
    }
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


def is_current(path: Path, arrays: dict[str, NDArray[Any]], meta: str) -> bool:
    """Whether the file already holds exactly these inputs."""
    with reading(path) as file:
        return file.attrs.get(schema.ATTR_TEMPLATE_META) == meta and digest_entries(
            file, INPUTS
        ) == digest_entries(arrays, INPUTS)


def require_no_products(path: Path) -> None:
    """Raise StoreError if the file holds results that new inputs would make meaningless."""
    with reading(path) as file:
        found = [e.path for e in PRODUCTS if e.path in file]
    if found:
        raise StoreError(
            f"{path} holds {', '.join(found)}, made from other inputs than these: give another "
            "path, or pass overwrite=True to drop them."
        )


def write_inputs(path: Path, inputs: CubeInputs, *, overwrite: bool) -> bool:
    """Write a populated file, whole or not at all; False if it already held the same inputs.

    Raises
    ------
    StoreError
        If ``path`` is another kind of file, or holds products and ``overwrite`` is False.
    """
    arrays, meta = arrays_of(inputs), template_meta(inputs)
    if path.exists():
        require_hdf5(path)
        if is_current(path, arrays, meta):
            return False
        if not overwrite:
            require_no_products(path)
    if not path.parent.is_dir():
        raise StoreError(f"{path.parent} is no folder: create it, or give another path.")
    require_free(path.parent, sum(a.nbytes for a in arrays.values()), f"Populating {path}")
    units = {e.path: e for e in schema.TABLE}
    with writer_lock(path), new_file(path) as file:
        for name, values in arrays.items():
            dataset = file.create_dataset(name, data=values)
            dataset.attrs["axes"] = " ".join(units[name].axes[-values.ndim :])
            dataset.attrs["unit"] = units[name].unit
        file.attrs[schema.ATTR_FORMAT] = schema.FORMAT_VERSION
        file.attrs[schema.ATTR_VERSION] = version("cubefit")
        file.attrs[schema.ATTR_DIMS] = json.dumps(inputs.dims)
        file.attrs[schema.ATTR_TEMPLATE_META] = meta
        write_guard(file, guard_info(inputs))
    return True


def write_rebin_products(path: Path) -> None:
    """Add the rebin operator and the template transforms to a populated file."""
    with reading(path) as file:
        templates, grids = file[schema.TEMPLATES.path][()], read_grids(file)
    rebin = spline_rebin_matrix(grids.tem_pix, grids.obs_pix).astype(np.float32)
    transform = np.fft.rfft(templates.astype(np.float64), axis=1).astype(np.complex64)
    note = (
        "rfft of /Templates along T. For reading only: models are built by exact integration "
        "of shifted splines, without any transform."
    )
    with amending(path) as file:
        for entry in schema.REBIN_PRODUCTS:
            if entry.path in file:
                del file[entry.path]
        replace_dataset(file, schema.R_T.path, rebin, {"axes": "T L", "unit": "share"})
        replace_dataset(
            file, schema.REBIN_MATRIX.path, rebin.T.copy(), {"axes": "L T", "unit": "share"}
        )
        replace_dataset(file, schema.TEMPLATES_FFT.path, transform, {"note": note})
        file[schema.TEMPLATES_FFT_R.path] = file[schema.TEMPLATES_FFT.path]
