"""Digests of arrays: the same for a dataset, in one piece or in blocks, here or elsewhere."""

import itertools
from unittest.mock import patch

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.large_file import BLOCK_BYTES, MUCH_LESS, enlarge, small_blocks

from cubefit.store import blocks
from cubefit.store.digests import (
    digest_array,
    digest_block,
    digest_inputs,
    digest_of_blocks,
    digest_of_fit,
    digest_of_models,
)
from cubefit.store.handle import reading

DTYPES = ("f4", "f8", ">f8", "i4", "?", "c8", "S3")
block_sizes = st.integers(1, 100)


def in_blocks_of(n_bytes):
    return patch.object(blocks, "BLOCK_BYTES", n_bytes)


@st.composite
def arrays(draw):
    """Arrays of any number of dimensions, scalars too, and any type that a file holds."""
    shape = tuple(draw(st.lists(st.integers(0, 5), max_size=3)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return np.array(rng.integers(0, 100, shape)).astype(draw(st.sampled_from(DTYPES)))


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    """Names of datasets that are free, in an HDF5 file that is open."""
    path = tmp_path_factory.mktemp("digests") / "scratch.h5"
    with h5py.File(path, "w") as file:
        yield file, (f"a{n}" for n in itertools.count())


@given(values=arrays(), n_bytes=block_sizes)
def test_a_dataset_has_the_digest_of_its_values(scratch, values, n_bytes):
    file, names = scratch
    apart = np.empty((*values.shape, 2), values.dtype)
    apart[..., 0] = values
    dataset = file.create_dataset(next(names), data=values)
    with in_blocks_of(n_bytes):
        expected = digest_array(values)
        assert digest_array(dataset) == expected
        assert digest_array(apart[..., 0]) == expected


@given(values=arrays(), other=arrays(), n_bytes=block_sizes)
def test_other_values_shapes_and_types_have_other_digests(values, other, n_bytes):
    same = (values.shape, values.dtype) == (other.shape, other.dtype)
    same = same and values.tobytes() == other.tobytes()
    with in_blocks_of(n_bytes):
        assert (digest_array(values) == digest_array(other)) == same


@given(values=arrays(), seed=st.integers(0, 2**32 - 1), n_bytes=block_sizes)
def test_every_byte_counts(values, seed, n_bytes):
    changed = np.array(values)
    flat = changed.reshape(-1).view(np.uint8)
    if flat.size:
        flat[np.random.default_rng(seed).integers(flat.size)] ^= 1
    with in_blocks_of(n_bytes):
        assert (digest_array(changed) != digest_array(values)) == bool(flat.size)


@given(values=arrays().filter(lambda a: a.ndim and len(a) > 1), n_bytes=block_sizes)
def test_the_order_of_rows_counts(values, n_bytes):
    back = values[::-1]
    with in_blocks_of(n_bytes):
        assert (digest_array(back) == digest_array(values)) == (back.tobytes() == values.tobytes())


@given(values=arrays(), n_bytes=block_sizes)
def test_others_may_digest_the_blocks_in_any_order(values, n_bytes):
    with in_blocks_of(n_bytes):
        rows = blocks.blocks_of_rows(values.shape, values.dtype)
        digests = [digest_block(values, part) for part in rows[::-1]][::-1]
        assert digest_of_blocks(values.shape, values.dtype, digests) == digest_array(values)


def test_what_has_many_blocks_is_digested_elsewhere(populated):
    asked = []

    def elsewhere(path, rows):
        asked.append(path)
        with reading(populated) as apart:
            return [digest_block(apart[path], part) for part in rows]

    with in_blocks_of(1000), reading(populated) as file:
        expected = digest_inputs(file)
        assert digest_inputs(file, elsewhere) == expected
        assert asked == ["/LOSVD", "/Templates", "/TemPix", "/DataCube"]
        assert digest_of_models(file, elsewhere) == expected.models
        assert digest_of_fit(file, elsewhere) == expected.fit
        assert digest_of_fit(file, lambda _path, rows: ["other"] * len(rows)) != expected.fit
    asked.clear()
    with reading(populated) as file:
        digest_inputs(file, elsewhere)
    assert not asked


def test_a_scalar_of_bytes_counts_with_its_padding(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        short, long = (file.create_dataset(f"S{n}", data=b"ab", dtype=f"S{n}") for n in (2, 64))
        assert digest_array(short) == digest_array(np.array(b"ab", "S2"))
        assert digest_array(long) == digest_array(np.array(b"ab", "S64")) != digest_array(short)


def test_no_more_than_a_block_is_held(populated):
    smallest = enlarge(populated)
    with small_blocks() as peak, reading(populated) as file:
        digest_inputs(file)
    assert BLOCK_BYTES <= peak[0] < smallest / MUCH_LESS
