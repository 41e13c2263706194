"""Blocks of rows: all rows once, and few bytes each."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubefit.store import blocks
from cubefit.store.blocks import blocks_of_rows


@given(
    shape=st.lists(st.integers(0, 9), min_size=1, max_size=3).map(tuple),
    dtype=st.sampled_from(["f4", "f8", "?", "S5"]).map(np.dtype),
    n_bytes=st.integers(1, 200),
)
def test_blocks_hold_every_row_once_and_in_order(shape, dtype, n_bytes):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK_BYTES", n_bytes)
        rows = blocks_of_rows(shape, dtype)
    numbers = np.arange(shape[0])
    assert [n for part in rows for n in numbers[part]] == list(numbers)
    row_bytes = math.prod(shape[1:]) * dtype.itemsize
    for part in rows:
        n = part.stop - part.start
        assert n == 1 or 1 < n <= n_bytes // max(1, row_bytes)


def test_a_scalar_is_one_block():
    assert len(blocks_of_rows((), np.dtype("f8"))) == 1


def test_a_block_of_an_80_gb_array_is_held_easily():
    rows = blocks_of_rows((100_000, 200, 1000), np.dtype("f4"))
    assert len(rows) < 2000
    assert (rows[0].stop - rows[0].start) * 800_000 <= 64 << 20
