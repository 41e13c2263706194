"""Datasets that do not fit into memory, a block of rows at a time."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

BLOCK_BYTES: Final = 64 << 20
"""Another number makes other digests: every product in every file would count as stale."""


def blocks_of_rows(shape: tuple[int, ...], dtype: np.dtype[Any]) -> list[slice]:
    """Return the rows (first axis) of each block of an array, in order.

    Parameters
    ----------
    shape : tuple of int
        Of the array. A scalar is one block.
    dtype : dtype
        Of the array.

    Returns
    -------
    list of slice
        Of at most `BLOCK_BYTES` each, but never less than a row.
    """
    if not shape:
        return [slice(None)]
    row_bytes = math.prod(shape[1:]) * dtype.itemsize
    n_rows = max(1, BLOCK_BYTES // max(1, row_bytes))
    return [slice(a, min(a + n_rows, shape[0])) for a in range(0, shape[0], n_rows)]
