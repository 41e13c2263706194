"""Digests of inputs and results: they tell whether a product in the file is still current.

The digest of an array is made of those of its blocks of rows, so that nobody holds all of it, and
others may compute some.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from cubefit.store.blocks import blocks_of_rows
from cubefit.store.schema import DATA_INPUTS, MODEL_INPUTS, Entry

BlockDigests = Callable[[str, list[slice]], Iterable[str]]
"""Returns the `digest_block` of each of some blocks of rows of the dataset at a path, in order."""


class InputDigests(NamedTuple):
    """The digests of one state of a file's inputs."""

    models: str
    """Of everything that the models are made of."""
    fit: str
    """Of everything that a fit depends on."""


def digest_block(values: NDArray[Any] | h5py.Dataset, rows: slice) -> str:
    """Return the digest of a block of `blocks_of_rows` of an array, or dataset."""
    # A scalar of bytes comes without its padding.
    block = np.asarray(values[rows if values.shape else ()], values.dtype)
    return hashlib.sha256(np.ascontiguousarray(block).reshape(-1).view(np.uint8).data).hexdigest()


def digest_of_blocks(shape: tuple[int, ...], dtype: np.dtype[Any], blocks: Iterable[str]) -> str:
    """Return the digest of an array from those of all of its blocks, in order."""
    return hashlib.sha256(f"{shape} {dtype.str};{';'.join(blocks)}".encode()).hexdigest()


def digest_array(values: NDArray[Any] | h5py.Dataset) -> str:
    """Return the digest of one array, or dataset of the same values, its shape and dtype included.

    No more than a block of it is read at a time.
    """
    rows = blocks_of_rows(values.shape, values.dtype)
    return digest_of_blocks(values.shape, values.dtype, (digest_block(values, r) for r in rows))


def digest_entries(
    values: Mapping[str, Any], entries: tuple[Entry, ...], blocks: BlockDigests | None = None
) -> str:
    """Return the digest of those ``entries`` that an HDF5 file, or a dict of arrays, holds.

    Parameters
    ----------
    values : mapping
        The file, open, or the arrays by path.
    entries : tuple of Entry
        What to look at.
    blocks : callable, optional
        Computes the digests of blocks elsewhere: of whatever has more than one.
    """

    def digest_of(path: str) -> str:
        found = values[path]
        rows = blocks_of_rows(found.shape, found.dtype)
        if blocks is None or len(rows) == 1:
            return digest_array(found)
        return digest_of_blocks(found.shape, found.dtype, blocks(path, rows))

    parts = [f"{e.path}={digest_of(e.path)}" for e in entries if e.path in values]
    return hashlib.sha256(";".join(parts).encode()).hexdigest()


def digest_of_models(values: Mapping[str, Any], blocks: BlockDigests | None = None) -> str:
    """Return the digest of everything that the models are made of."""
    return digest_entries(values, MODEL_INPUTS, blocks)


def digest_inputs(values: Mapping[str, Any], blocks: BlockDigests | None = None) -> InputDigests:
    """Return both digests, reading each dataset once."""
    models = digest_of_models(values, blocks)
    data = digest_entries(values, DATA_INPUTS, blocks)
    return InputDigests(models=models, fit=hashlib.sha256(f"{models};{data}".encode()).hexdigest())


def digest_of_fit(values: Mapping[str, Any], blocks: BlockDigests | None = None) -> str:
    """Return the digest of everything that a fit depends on."""
    return digest_inputs(values, blocks).fit
