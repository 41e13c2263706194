"""Digests of inputs and results: they tell whether a product in the file is still current."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cubefit.store.schema import DATA_INPUTS, MODEL_INPUTS, Entry


class InputDigests(NamedTuple):
    """The digests of one state of a file's inputs."""

    models: str
    """Of everything that the models are made of."""
    fit: str
    """Of everything that a fit depends on."""


def digest_array(values: NDArray[Any]) -> str:
    """Return the digest of one array, its shape and dtype included."""
    digest = hashlib.sha256(f"{values.shape} {values.dtype.str};".encode())
    digest.update(np.ascontiguousarray(values).data.cast("B"))
    return digest.hexdigest()


def digest_entries(values: Mapping[str, Any], entries: tuple[Entry, ...]) -> str:
    """Return the digest of those ``entries`` that an HDF5 file, or a dict of arrays, holds."""
    parts = [f"{e.path}={digest_array(values[e.path][()])}" for e in entries if e.path in values]
    return hashlib.sha256(";".join(parts).encode()).hexdigest()


def digest_of_models(values: Mapping[str, Any]) -> str:
    """Return the digest of everything that the models are made of."""
    return digest_entries(values, MODEL_INPUTS)


def digest_inputs(values: Mapping[str, Any]) -> InputDigests:
    """Return both digests, reading each dataset once."""
    models = digest_of_models(values)
    data = digest_entries(values, DATA_INPUTS)
    return InputDigests(models=models, fit=hashlib.sha256(f"{models};{data}".encode()).hexdigest())


def digest_of_fit(values: Mapping[str, Any]) -> str:
    """Return the digest of everything that a fit depends on."""
    return digest_inputs(values).fit
