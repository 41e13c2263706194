"""Solutions and model cubes in the file, each with the digest of what it was made from."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from cubefit.errors import InputError, MissingDataError, StaleError
from cubefit.store import schema
from cubefit.store.amend import replace_dataset
from cubefit.store.digests import digest_array, digest_of_fit, digest_of_models
from cubefit.store.handle import amending, reading

Float = NDArray[np.float64]
RESUME_ORDER = (schema.X_BEST, schema.X_GLOBAL)


def write_solution(path: Path, x: Float, info: Mapping[str, str | float | int]) -> None:
    """Commit ``x`` (C, P) as ``/X_global``, stamped with the inputs that it belongs to."""
    with amending(path) as file:
        attributes: dict[str, object] = {
            "axes": "C*P (C order)",
            "unit": schema.X_GLOBAL.unit,
            schema.ATTR_DIGEST: digest_of_fit(file),
            "written": time.strftime("%Y-%m-%d %H:%M:%S %z"),
            **info,
        }
        replace_dataset(file, schema.X_GLOBAL.path, np.ravel(x).astype(np.float64), attributes)


def read_solution(path: Path) -> tuple[str, Float] | None:
    """Return where the best earlier solution stands and its values (C, P), or None.

    Raises
    ------
    StaleError
        If it belongs to other inputs or another shape than those now in the file.
    """
    with reading(path) as file:
        found = next((e for e in RESUME_ORDER if e.path in file), None)
        if found is None:
            return None
        dataset = file[found.path]
        C, P = file[schema.LOSVD.path].shape[2], file[schema.TEMPLATES.path].shape[0]
        current = digest_of_fit(file)
        if dataset.shape != (C * P,) or dataset.attrs.get(schema.ATTR_DIGEST) != current:
            raise StaleError(
                f"{found.path} in {path} was made from other inputs than those now in the file: "
                "start afresh with warm_start='jacobi', or pass x0."
            )
        return found.path, np.asarray(dataset[()], np.float64).reshape(C, P)


def model_cube_stamp(file: h5py.File, x: Float, normalization: str) -> dict[str, object]:
    """Return the attributes that identify a reconstruction."""
    return {
        schema.ATTR_DIGEST: digest_of_models(file),
        schema.ATTR_X_DIGEST: digest_array(np.ravel(x).astype(np.float64)),
        schema.ATTR_NORMALIZATION: normalization,
    }


def has_model_cube(path: Path, name: str, x: Float, normalization: str) -> bool:
    """Whether the file holds this very reconstruction under ``name``."""
    with reading(path) as file:
        if name not in file:
            return False
        stamp = model_cube_stamp(file, x, normalization)
        return all(file[name].attrs.get(key) == value for key, value in stamp.items())


def require_result_name(name: str) -> None:
    """Raise InputError if a reconstruction may not be stored under ``name``."""
    taken = {e.path.strip("/").split("/")[0] for e in schema.TABLE if e != schema.MODEL_CUBE}
    if not name or "/" in name.strip("/") or name.strip("/") in taken:
        raise InputError(
            f"array_name={name!r}: give a plain name that is not one of {', '.join(sorted(taken))}."
        )


def write_model_cube(path: Path, name: str, cube: Float, x: Float, normalization: str) -> None:
    """Write a reconstruction (S, L), stamped with the x and inputs that it was made from."""
    with amending(path) as file:
        stamp = model_cube_stamp(file, x, normalization)
        attributes = {"axes": "S L", "unit": schema.MODEL_CUBE.unit, **stamp}
        replace_dataset(file, f"/{name.strip('/')}", cube, attributes)


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
