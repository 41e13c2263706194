from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubefit.errors import ConfigError, InputError
from cubefit.prepare.blocks import CubeBlock
from cubefit.prepare.selection import WhiteLight, select_pixels, white_light

WAVE = 5000.0 + np.arange(10.0)


def make(seed=1, n_pixels=6, good_share=0.7):
    rng = np.random.default_rng(seed)
    flux = rng.normal(2.0, 1.0, (n_pixels, WAVE.size)).astype(np.float32)
    noise = rng.uniform(0.1, 1.0, flux.shape).astype(np.float32)
    return flux, noise, rng.random(flux.shape) < good_share


def blocks(flux, noise, mask, cuts=()):
    edges = [0, *sorted(set(cuts)), flux.shape[1]]
    for start, stop in pairwise(edges):
        part = slice(start, stop)
        yield CubeBlock(wave=part, flux=flux[:, part], noise=noise[:, part], mask=mask[:, part])


@given(seed=st.integers(0, 2**32 - 1), cuts=st.sets(st.integers(1, 9), max_size=4))
def test_white_light_is_the_mean_of_good_voxels_however_cut(seed, cuts):
    flux, noise, mask = make(seed)
    mask[0] = False
    flux[~mask] = np.nan
    noise[~mask] = np.inf
    found = white_light(blocks(flux, noise, mask, cuts), WAVE, (5002.0, 5007.0))
    assert np.isnan(found.signal[0])
    assert np.isnan(found.noise[0])
    for pixel in range(1, 6):
        good = np.flatnonzero(mask[pixel, 2:8]) + 2
        assert found.good_share[pixel] == pytest.approx(good.size / 6)
        if good.size:
            assert found.signal[pixel] == pytest.approx(flux[pixel, good].mean(dtype=float))
            assert found.noise[pixel] == pytest.approx(noise[pixel, good].mean(dtype=float))


def test_signal_to_noise_is_that_of_a_voxel():
    flux, noise = np.full((2, 10), 6.0, np.float32), np.full((2, 10), 2.0, np.float32)
    mask = np.ones((2, 10), bool)
    mask[1] = False
    found = white_light(blocks(flux, noise, mask), WAVE).signal_to_noise
    np.testing.assert_allclose(found, [3.0, np.nan])


def test_a_range_without_pixels_is_refused():
    with pytest.raises(InputError, match=r"holds no pixel of the cube, which covers 5000.0-5009.0"):
        white_light(blocks(*make()), WAVE, (6000.0, 7000.0))
    with pytest.raises(InputError, match="no blocks"):
        white_light([], WAVE)


LIGHT = WhiteLight(
    signal=np.array([5.0, 1.0, -1.0, np.nan, 9.0]),
    noise=np.array([1.0, 1.0, 1.0, np.nan, 1.0]),
    good_share=np.array([1.0, 0.4, 1.0, 0.0, 1.0]),
)
X, Y = np.array([0.0, 1.0, 0.0, 0.0, 3.0]), np.array([0.0, 0.0, 2.0, 0.0, 4.0])


@pytest.mark.parametrize(
    ("cuts", "expected"),
    [
        ({}, [1, 1, 1, 0, 1]),
        ({"min_sn": 1.0}, [1, 1, 0, 0, 1]),
        ({"min_sn": 1.5}, [1, 0, 0, 0, 1]),
        ({"min_good_share": 0.5}, [1, 0, 1, 0, 1]),
        ({"radius": 2.0}, [1, 1, 1, 0, 0]),
        ({"inside": np.array([True, False, True, True, True])}, [1, 0, 1, 0, 1]),
        ({"radius": 4.0, "min_sn": 2.0}, [1, 0, 0, 0, 0]),
    ],
)
def test_each_cut_leaves_out_what_it_says(cuts, expected):
    found = select_pixels(LIGHT, X, Y, **cuts)
    np.testing.assert_array_equal(found, np.array(expected, bool))


def test_cuts_that_leave_nothing_say_which():
    words = "No pixel is left of 5: 4 are not dead, 1 of these have S/N of 8, 0 of these lie within"
    with pytest.raises(InputError, match=words):
        select_pixels(LIGHT, X, Y, min_sn=8.0, radius=2.0)


def test_a_cube_without_noise_has_no_signal_to_noise():
    light = WhiteLight(signal=LIGHT.signal, noise=np.full(5, np.nan), good_share=LIGHT.good_share)
    assert select_pixels(light, X, Y).sum() == 4
    with pytest.raises(InputError, match="the cube has no noise"):
        select_pixels(light, X, Y, min_sn=1.0)


@pytest.mark.parametrize(
    ("cuts", "error", "words"),
    [
        ({"min_sn": -1.0}, ConfigError, "min_sn"),
        ({"min_sn": np.nan}, ConfigError, "min_sn"),
        ({"min_good_share": 2.0}, ConfigError, "min_good_share"),
        ({"radius": 0.0}, ConfigError, "radius"),
        ({"inside": np.ones(4, bool)}, InputError, r"inside has shape \(4,\)"),
    ],
)
def test_cuts_that_are_impossible_are_refused(cuts, error, words):
    with pytest.raises(error, match=words):
        select_pixels(LIGHT, X, Y, **cuts)
