"""Digests of inputs and results: they tell whether a product in the file is still current."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubefit.store.schema import DATA_INPUTS, MODEL_INPUTS, Entry


def digest_array(values: NDArray[Any]) -> str:
    """Return the digest of one array, its shape and dtype included."""
    digest = hashlib.blake2b(f"{values.shape} {values.dtype.str};".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(values).data.cast("B"))
    return digest.hexdigest()


def digest_entries(values: Mapping[str, Any], entries: tuple[Entry, ...]) -> str:
    """Return the digest of those ``entries`` that an HDF5 file, or a dict of arrays, holds."""
    parts = [f"{e.path}={digest_array(values[e.path][()])}" for e in entries if e.path in values]
    return hashlib.blake2b(";".join(parts).encode(), digest_size=16).hexdigest()


def digest_of_models(values: Mapping[str, Any]) -> str:
    """Return the digest of everything that the models are made of."""
    return digest_entries(values, MODEL_INPUTS)


def digest_of_fit(values: Mapping[str, Any]) -> str:
    """Return the digest of everything that a fit depends on."""
    return digest_entries(values, MODEL_INPUTS + DATA_INPUTS)
