"""Solutions and model cubes in the file, each with the digest of what it was made from."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from cubefit.config import Normalization
from cubefit.errors import InputError, MissingDataError, StaleError
from cubefit.store import schema
from cubefit.store.amend import replace_dataset
from cubefit.store.digests import digest_array
from cubefit.store.handle import amending, reading
from cubefit.store.tiles import read_status, require_current, require_normalization

Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """A committed solution and what stands beside it."""

    x: Float
    """Shape (C, P), template units."""
    run: dict[str, Any]
    """What identifies its fit."""
    facts: dict[str, Any]
    """Further attributes: ``method``, ``chi2``, ``n_voxels``, ``written`` and the like."""


def write_solution(
    file: h5py.File,
    x: Float,
    run: Mapping[str, Any],
    info: Mapping[str, str | float | int],
    orbit_weights: Float | None = None,
) -> None:
    """Commit ``x`` (C, P) as ``/X_global``.

    Parameters
    ----------
    file : h5py.File
        An amendment of the file.
    x : ndarray, shape (C, P)
        The solution.
    run : mapping
        What identifies its fit, as JSON; ``digest`` is the `digest_of_fit` of the inputs that it
        was made from, which may have changed since.
    info : mapping
        Further attributes.
    orbit_weights : ndarray, shape (C,), optional
        What its fit was given.
    """
    now = time.time()
    attributes: dict[str, object] = {
        **schema.X_GLOBAL.labels(),
        schema.ATTR_DIGEST: run["digest"],
        schema.ATTR_RUN: json.dumps(dict(run)),
        "written": time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(now)),
        schema.ATTR_WRITTEN: now,
        **info,
    }
    replace_dataset(file, schema.X_GLOBAL.path, np.ravel(x).astype(np.float64), attributes)
    beside = schema.X_ORBIT_WEIGHTS
    if orbit_weights is not None:
        replace_dataset(file, beside.path, orbit_weights, beside.labels())
    elif beside.path in file:
        del file[beside.path]


def require_solution(file: h5py.File, path: Path) -> None:
    """Raise MissingDataError if a file holds no committed solution."""
    name = schema.X_GLOBAL.path
    if name not in file:
        raise MissingDataError(f"Missing {name} in {path}: fit first, or pass x.")


def read_solution(file: h5py.File, path: Path, digest: str, shape: tuple[int, int]) -> Solution:
    """Return the committed solution.

    Parameters
    ----------
    file : h5py.File
        The file, open.
    path : Path
        Its name, for errors.
    digest : str
        `digest_of_fit` of the file.
    shape : tuple of int
        ``(C, P)``.

    Raises
    ------
    MissingDataError
        If there is none.
    StaleError
        If it belongs to other inputs than those now in the file.
    """
    require_solution(file, path)
    name = schema.X_GLOBAL.path
    dataset = file[name]
    if dataset.shape != (shape[0] * shape[1],) or dataset.attrs.get(schema.ATTR_DIGEST) != digest:
        raise StaleError(
            f"{name} in {path} was made from other inputs than those now in the file: fit again "
            "with warm_start='zeros', or pass x."
        )
    known = {schema.ATTR_RUN, schema.ATTR_WRITTEN, *schema.X_GLOBAL.labels()}
    attributes = {k: v.item() if isinstance(v, np.generic) else v for k, v in dataset.attrs.items()}
    return Solution(
        x=np.asarray(dataset[()], np.float64).reshape(shape),
        run=json.loads(attributes.get(schema.ATTR_RUN, "{}")),
        facts={k: v for k, v in attributes.items() if k not in known},
    )


def solution_stamp(path: Path) -> str | None:
    """Return what identifies the committed solution of a file and its inputs, None without one."""
    if not path.exists():
        return None
    with reading(path) as file:
        name = schema.X_GLOBAL.path
        if name not in file:
            return None
        found = file[name]
        return f"{found.attrs.get(schema.ATTR_DIGEST)} {digest_array(found[()])}"


def model_cube_stamp(digest: str, x: Float, normalization: str) -> dict[str, object]:
    """Return the attributes that identify a reconstruction; ``digest`` is of the models."""
    return {
        schema.ATTR_DIGEST: digest,
        schema.ATTR_X_DIGEST: digest_array(np.ravel(x).astype(np.float64)),
        schema.ATTR_NORMALIZATION: normalization,
    }


def has_model_cube(path: Path, name: str, stamp: Mapping[str, object]) -> bool:
    """Whether the file holds the reconstruction of that stamp under ``name``.

    Raises
    ------
    InputError
        If it holds something else there that is no reconstruction.
    """
    with reading(path) as file:
        if name not in file:
            return False
        found = file[name].attrs
        if schema.ATTR_X_DIGEST not in found and name != schema.MODEL_CUBE.name:
            raise InputError(
                f"array_name={name!r}: {path} holds something else of that name, give another."
            )
        return all(found.get(key) == value for key, value in stamp.items())


def require_result_name(name: str) -> None:
    """Raise InputError if a reconstruction may not be stored under ``name``."""
    taken = {e.path.strip("/").split("/")[0] for e in schema.TABLE if e != schema.MODEL_CUBE}
    if not re.fullmatch(r"\w[\w .-]*", name) or name in taken:
        raise InputError(
            f"array_name={name!r}: give a plain name that is not one of {', '.join(sorted(taken))}."
        )


def write_model_cube(path: Path, name: str, cube: Float, stamp: Mapping[str, object]) -> None:
    """Write a reconstruction (S, L), stamped with what it was made from."""
    with amending(path, growth=cube.nbytes) as file:
        replace_dataset(file, name, cube, {**schema.MODEL_CUBE.labels(), **stamp})


def solution_normalization(file: h5py.File) -> Normalization | None:
    """Return the normalization that ``/X_global`` was fitted with, or None if there is none."""
    if schema.X_GLOBAL.path not in file:
        return None
    found: Normalization | None = file[schema.X_GLOBAL.path].attrs.get(schema.ATTR_NORMALIZATION)
    return found


def acting_cube(
    file: h5py.File, path: Path, wanted: Normalization | None, digest: str
) -> tuple[bool, Normalization]:
    """Return whether a finished HyperCube is to be used, and the normalization that acts.

    Parameters
    ----------
    file : h5py.File
        The file, open.
    path : Path
        Its name, for errors.
    wanted : str or None
        An explicit normalization.
    digest : str
        `digest_of_models` of the file.

    Raises
    ------
    StaleError
        If the HyperCube belongs to other inputs than those now in the file.
    ConfigError
        If it has another normalization than the one wanted.
    """
    status = read_status(file)
    if status is not None and status.complete:
        require_current(status, digest, path)
        require_normalization(status, wanted, path)
        return True, status.normalization
    return False, wanted or own_normalization(file)


def own_normalization(file: h5py.File) -> Normalization:
    """Return the normalization of the HyperCube in a file, else of ``/X_global``, else losvd."""
    status = read_status(file)
    if status is not None:
        return status.normalization
    return solution_normalization(file) or "losvd"


def read_model_cube(path: Path, name: str = schema.MODEL_CUBE.path) -> Float:
    """Return a reconstruction (S, L).

    Raises
    ------
    MissingDataError
        If there is none of that name.
    """
    with reading(path) as file:
        if name not in file:
            raise MissingDataError(f"Missing {name} in {path}: run reconstruct_model_cube_single.")
        return np.asarray(file[name][()], np.float64)
