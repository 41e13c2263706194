"""What of a file is read in parts is what is read as a whole, and needs no more than a block."""

from unittest.mock import patch

import h5py
import numpy as np
import pytest
from tests.large_file import MUCH_LESS, enlarge, small_blocks

from cubefit.errors import InputError
from cubefit.spectra.losvd import lit_velocity_range
from cubefit.store import blocks
from cubefit.store.handle import reading
from cubefit.store.load import (
    read_coverage,
    read_lit_bins,
    read_observed,
    read_spaxels_in_use,
    read_used,
)

MASKS = {
    "none": {},
    "pixels": {"mask": np.arange(40) % 3 > 0},
    "voxels": {"voxel_mask": np.arange(280).reshape(7, 40) % 50 < 20},
}
MASKS["both"] = MASKS["pixels"] | MASKS["voxels"]
MASKS["no voxel of a spaxel"] = {"voxel_mask": np.arange(7)[:, None] % 2 + np.zeros(40) > 0}


@pytest.fixture(params=MASKS)
def masked(request, problem, tmp_path):
    return problem.populate(tmp_path / "cube.h5", **MASKS[request.param])


def test_the_voxels_in_use_are_those_of_a_fit(masked):
    with reading(masked) as file:
        used = read_observed(file).used
        np.testing.assert_array_equal(read_used(file), used)
        for some in (slice(2, 5), np.array([0, 3, 6], np.int32), slice(6, 7)):
            np.testing.assert_array_equal(read_used(file, some), used[some])
        for n_bytes in (1, 90, 10**6):
            with patch.object(blocks, "BLOCK_BYTES", n_bytes):
                np.testing.assert_array_equal(read_spaxels_in_use(file), used.any(axis=1))


@pytest.mark.parametrize("noise", [None, np.arange(1.0, 41.0), np.arange(1.0, 281.0)])
def test_a_part_of_the_spectra_is_that_of_the_whole(problem, tmp_path, noise):
    """Noise may be given for each pixel, or for each voxel."""
    given = noise if noise is None or noise.size == 40 else noise.reshape(7, 40)
    path = problem.populate(tmp_path / "cube.h5", noise=given, **MASKS["both"])
    with reading(path) as file:
        whole = read_observed(file)
        parts = [read_observed(file, slice(s, s + 1)) for s in range(7)]
    for name in ("data", "inverse_noise"):
        np.testing.assert_array_equal(
            np.concatenate([getattr(part, name) for part in parts]), getattr(whole, name)
        )
    assert {part.has_noise for part in parts} == {noise is not None}


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("/Mask", np.ones(40, np.uint8), "mask has dtype uint8"),
        ("/Mask", np.ones(39, bool), r"mask has shape \(39,\)"),
        ("/VoxelMask", np.ones((7, 40), np.uint8), "voxel_mask has dtype uint8"),
        ("/VoxelMask", np.ones((6, 40), bool), r"voxel_mask has shape \(6, 40\)"),
    ],
)
def test_masks_that_are_none_are_refused(populated, name, values, message):
    with h5py.File(populated, "r+") as file:
        file[name] = values
    with reading(populated) as file, pytest.raises(InputError, match=message):
        read_used(file, slice(0, 2))


@pytest.mark.parametrize("n_bytes", [1, 400, 10**6])
def test_the_bins_with_light_are_those_of_all_spaxels(populated, n_bytes):
    losvd = np.zeros((7, 9, 5), np.float32)
    losvd[0, 3, 1] = losvd[6, 5, 4] = losvd[3, 4, 0] = 0.5
    with h5py.File(populated, "r+") as file:
        whole = read_coverage(file)
        file["/LOSVD"][...] = losvd
        velocities = file["/VelPix"][()]
    with patch.object(blocks, "BLOCK_BYTES", n_bytes), reading(populated) as file:
        np.testing.assert_array_equal(read_lit_bins(file), losvd.any(axis=(0, 2)))
        part = read_coverage(file)
    assert lit_velocity_range(losvd, velocities) == pytest.approx((-150.0, 150.0))
    assert part.blue_support_px < whole.blue_support_px
    assert part.red_support_px < whole.red_support_px


def test_the_coverage_of_a_large_file_needs_a_block_at_a_time(populated):
    smallest = enlarge(populated)
    with small_blocks() as peak, reading(populated) as file:
        read_coverage(file)
        assert read_spaxels_in_use(file).all()
    assert peak[0] < smallest / MUCH_LESS
