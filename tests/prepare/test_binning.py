from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubefit.errors import ConfigError, InputError
from cubefit.prepare.binning import bin_centres, bin_matrix, binned
from cubefit.prepare.blocks import CubeBlock

seeds = st.integers(0, 2**32 - 1)
sizes = st.tuples(st.integers(1, 25), st.integers(1, 5), st.integers(1, 90))


def make(n_pixels, n_bins, n_wave, seed, good_share=1.0):
    rng = np.random.default_rng(seed)
    n_bins = min(n_bins, n_pixels)
    binnum = np.concatenate((np.arange(n_bins), rng.integers(-1, n_bins, n_pixels - n_bins)))
    flux = rng.normal(1.0, 0.3, (n_pixels, n_wave)).astype(np.float32)
    noise = rng.uniform(0.1, 1.0, flux.shape).astype(np.float32)
    mask = rng.random(flux.shape) < good_share
    return rng.permutation(binnum), flux, noise, mask


def blocks(flux, noise, mask, cuts=()):
    edges = [0, *sorted(set(cuts) - {0, flux.shape[1]}), flux.shape[1]]
    for start, stop in pairwise(edges):
        part = slice(start, stop)
        yield CubeBlock(wave=part, flux=flux[:, part], noise=noise[:, part], mask=mask[:, part])


def summed(binnum, flux, noise, mask, cuts=(), **settings):
    edges = 5000.0 + np.arange(flux.shape[1] + 1)
    return binned(blocks(flux, noise, mask, cuts), binnum, edges, "air", **settings)


@given(size=sizes, seed=seeds, covariance=st.floats(0.0, 2.0))
def test_flux_and_variance_are_sums_over_pixels(size, seed, covariance):
    binnum, flux, noise, mask = make(*size, seed)
    found = summed(binnum, flux, noise, mask, covariance=covariance)
    assert found.mask.all()
    for s in range(found.flux.shape[0]):
        inside = binnum == s
        np.testing.assert_allclose(found.flux[s], flux[inside].sum(axis=0, dtype=float), atol=1e-12)
        sigma = np.sqrt((noise[inside].astype(float) ** 2).sum(axis=0))
        factor = 1.0 + covariance * np.log10(inside.sum())
        np.testing.assert_allclose(found.noise[s], sigma * factor, rtol=1e-12)


@given(size=sizes, seed=seeds, cuts=st.lists(st.integers(1, 89), max_size=5))
def test_the_cut_into_blocks_does_not_matter(size, seed, cuts):
    binnum, flux, noise, mask = make(*size, seed, good_share=0.8)
    whole = summed(binnum, flux, noise, mask)
    pieces = summed(binnum, flux, noise, mask, [cut for cut in cuts if cut < size[2]])
    np.testing.assert_allclose(pieces.flux, whole.flux, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(pieces.noise, whole.noise, rtol=1e-12)
    np.testing.assert_array_equal(pieces.mask, whole.mask)


@given(size=sizes, seed=seeds)
def test_the_order_of_the_pixels_does_not_matter(size, seed):
    binnum, flux, noise, mask = make(*size, seed, good_share=0.8)
    light = np.random.default_rng(seed).uniform(0.1, 1.0, binnum.size)
    order = np.random.default_rng(seed + 1).permutation(binnum.size)
    one = summed(binnum, flux, noise, mask, light=light)
    two = summed(binnum[order], flux[order], noise[order], mask[order], light=light[order])
    np.testing.assert_allclose(two.flux, one.flux, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(two.noise, one.noise, rtol=1e-10)
    np.testing.assert_array_equal(two.mask, one.mask)


@given(size=sizes, seed=seeds, anything=st.sampled_from([np.nan, np.inf, -np.inf, -1e30]))
def test_masked_voxels_may_hold_anything(size, seed, anything):
    binnum, flux, noise, mask = make(*size, seed, good_share=0.6)
    other = np.where(mask, flux, anything).astype(np.float32)
    worse = np.where(mask, noise, anything).astype(np.float32)
    one, two = summed(binnum, flux, noise, mask), summed(binnum, other, worse, mask)
    np.testing.assert_array_equal(one.flux, two.flux)
    np.testing.assert_array_equal(one.noise, two.noise)
    np.testing.assert_array_equal(one.mask, two.mask)


@given(size=sizes, seed=seeds)
def test_pixels_that_differ_by_brightness_alone_lose_nothing_to_masks(size, seed):
    binnum, flux, noise, mask = make(*size, seed, good_share=0.6)
    rng = np.random.default_rng(seed)
    light = rng.uniform(0.1, 1.0, binnum.size)
    spectrum = rng.uniform(0.5, 2.0, size[2])
    flux = (light[:, None] * spectrum).astype(np.float32)
    found = summed(binnum, flux, noise, mask, light=light, min_share=1e-3)
    total = bin_matrix(binnum) @ flux.astype(float)
    np.testing.assert_allclose(found.flux[found.mask], total[found.mask], rtol=1e-6)


def test_a_voxel_with_too_little_light_is_masked():
    binnum, flux, noise = np.zeros(4, int), np.ones((4, 3), np.float32), np.ones((4, 3), np.float32)
    mask = np.ones((4, 3), bool)
    mask[0, 1] = mask[:2, 2] = False
    found = summed(binnum, flux, noise, mask)
    assert found.mask[0].tolist() == [True, True, False]
    np.testing.assert_allclose(found.flux[0], [4.0, 4.0, 0.0])
    np.testing.assert_allclose(found.noise[0], [2.0, np.sqrt(3.0) / 0.75, 0.0])
    # The same pixels hold most of the light if they are bright.
    bright = summed(binnum, flux, noise, mask, light=np.array([1.0, 1.0, 9.0, 9.0]))
    assert bright.mask.all()
    np.testing.assert_allclose(bright.flux[0, 2], 2.0 / 0.9)


def test_a_dead_pixel_is_as_bright_as_its_bin():
    binnum, flux, noise = np.zeros(5, int), np.ones((5, 2), np.float32), np.ones((5, 2), np.float32)
    flux[3] = 5.0
    mask = np.ones((5, 2), bool)
    mask[4] = False
    light = np.array([1.0, 1.0, 1.0, 5.0, np.nan])
    found = summed(binnum, flux, noise, mask, light=light)
    np.testing.assert_allclose(found.flux, 10.0)


def test_light_that_is_negative_counts_as_none():
    binnum, flux, noise = np.zeros(3, int), np.ones((3, 1), np.float32), np.ones((3, 1), np.float32)
    mask = np.array([[True], [True], [False]])
    found = summed(binnum, flux, noise, mask, light=np.array([1.0, 1.0, -0.5]))
    np.testing.assert_allclose(found.flux, 2.0)
    # Without any positive light, pixels count evenly.
    dark = summed(binnum, flux, noise, mask, light=np.array([-1.0, -2.0, 0.0]), min_share=0.5)
    np.testing.assert_allclose(dark.flux, 3.0)


def test_a_cube_without_noise_gives_spectra_without():
    binnum, flux, noise, mask = make(9, 3, 5, 1, good_share=0.9)
    found = summed(binnum, flux, np.full_like(noise, np.nan), mask)
    assert not found.has_noise


def test_good_voxels_that_are_no_numbers_are_refused():
    binnum, flux, noise, mask = make(9, 3, 5, 1)
    binnum[2] = 0
    flux[2, 3] = np.nan
    with pytest.raises(InputError, match=r"pixel 3 of spectrum 0 .*mask them in the cube"):
        summed(binnum, flux, noise, mask)


@pytest.mark.parametrize(
    ("binnum", "words"),
    [
        ([0, 2, 2], "1 of 3 bins have no pixel, the first is bin 1"),
        ([-1, -1, -1], "no pixel into a bin"),
        ([0.0, 1.0, 1.0], "one integer for each pixel"),
        ([[0, 1, 1]], "one integer for each pixel"),
    ],
)
def test_bins_that_are_none_are_refused(binnum, words):
    with pytest.raises(InputError, match=words):
        bin_matrix(np.array(binnum))


def test_blocks_that_are_not_the_cube_are_refused():
    binnum, flux, noise, mask = make(9, 3, 6, 1)
    edges = 5000.0 + np.arange(7)
    pieces = list(blocks(flux, noise, mask, [2, 4]))
    with pytest.raises(InputError, match="end after 4 of 6"):
        binned(pieces[:2], binnum, edges, "air")
    with pytest.raises(InputError, match="2 to 4, where 0 comes next"):
        binned(pieces[1:], binnum, edges, "air")
    with pytest.raises(InputError, match="4 to 6, where 4 comes next of 5"):
        binned(pieces, binnum, edges[:-1], "air")
    with pytest.raises(InputError, match="9 pixels, but binnum is of 8"):
        binned(pieces, np.zeros(8, int), edges, "air")
    with pytest.raises(InputError, match=r"light has shape \(3,\)"):
        binned(pieces, binnum, edges, "air", light=np.ones(3))


@pytest.mark.parametrize(
    "settings",
    [{"covariance": -0.1}, {"covariance": np.nan}, {"min_share": 0.0}, {"min_share": 1.1}],
)
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(ConfigError, match="must"):
        summed(*make(9, 3, 6, 1), **settings)


def test_centres_of_bins_are_weighted_by_light():
    x, y = np.array([0.0, 1.0, 5.0, 9.0]), np.array([0.0, 2.0, 5.0, 9.0])
    binnum = np.array([0, 0, 1, -1])
    np.testing.assert_allclose(bin_centres(x, y, binnum), [[0.5, 5.0], [1.0, 5.0]])
    light = np.array([3.0, 1.0, 2.0, np.nan])
    np.testing.assert_allclose(bin_centres(x, y, binnum, light), [[0.25, 5.0], [0.5, 5.0]])
