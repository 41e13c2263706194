import numpy as np
import pytest

from cubefit.errors import ConfigError, InputError
from cubefit.io import bundled_orbits
from cubefit.prepare import merged_bins
from cubefit.prepare.adaptive_bins import bin_signal_to_noise, power_bins
from cubefit.prepare.merged_bins import merge_bins
from cubefit.prepare.selection import WhiteLight

N = 20
X, Y = (a.ravel() - (N - 1) / 2 for a in np.meshgrid(np.arange(N), np.arange(N)))
SIGNAL = 100.0 * np.exp(-6.0 * np.hypot(X, 1.5 * Y) / N)


def light(signal=SIGNAL, noise=1.0):
    return WhiteLight(
        signal=signal, noise=np.full(signal.shape, noise), good_share=np.ones(signal.shape)
    )


def test_bins_of_one_pixel_merge_as_pixels_do():
    merged = merge_bins(np.arange(N * N), X, Y, light(), 30.0)
    assert merged.dtype == np.int32
    np.testing.assert_array_equal(merged, power_bins(X, Y, SIGNAL, np.ones(N * N), 30.0))


@pytest.mark.parametrize("factor", [1.5, 3.0])
def test_bins_of_an_orbit_library_reach_the_target(factor):
    orbits = bundled_orbits("medium")
    counts = np.bincount(orbits.binnum)
    of_bin = np.einsum("svc,c->s", orbits.losvd, orbits.weights)
    signal = (of_bin / counts)[orbits.binnum]
    noise = np.sqrt(signal)  # As of photons.
    sn_of = bin_signal_to_noise(signal, noise)
    target = factor * np.sqrt(np.median(of_bin))
    white = WhiteLight(signal=signal, noise=noise, good_share=np.ones(signal.shape))
    merged = merge_bins(orbits.binnum, orbits.x, orbits.y, white, target)
    assert merged.shape == (counts.size,)
    of_pixel = merged[orbits.binnum]
    reached = [sn_of(np.flatnonzero(of_pixel == k)) for k in range(merged.max() + 1)]
    low, middle = np.percentile(np.array(reached) / target, [10, 50])
    assert low > 0.75
    assert middle == pytest.approx(1.0, abs=0.1)


def test_bins_that_all_have_the_target_stay():
    bins = np.where(X < 0, np.where(Y < 0, 0, 3), np.where(Y < 0, 2, 1))
    merged = merge_bins(bins, X, Y, light(), 20.0)
    assert merged.tolist() == [0, 1, 2, 3]
    left_out = merge_bins(bins, X, Y, light(), 20.0, pixels=bins != 2)
    assert left_out.tolist() == [0, 1, -1, 2]


def test_covariance_asks_for_larger_bins():
    merged = [
        merge_bins(np.arange(N * N), X, Y, light(), 30.0, covariance=covariance).max()
        for covariance in (0.0, 0.5)
    ]
    assert merged[1] < merged[0]


def test_bins_that_lost_their_light_are_left_out_and_others_numbered_without_gaps():
    signal = SIGNAL.copy()
    bins = np.where(X < -9, -1, np.arange(N * N) // 4)
    used = np.unique(bins[bins >= 0])
    bins[bins >= 0] = np.searchsorted(used, bins[bins >= 0])
    lost = np.isin(bins, (3, 4))
    signal[lost] = np.nan
    cut = np.isin(bins, (7,))
    merged = merge_bins(bins, X, Y, light(signal), 40.0, pixels=~cut)
    assert np.flatnonzero(merged < 0).tolist() == [3, 4, 7]
    assert np.unique(merged[merged >= 0]).tolist() == list(range(merged.max() + 1))


def test_a_bin_goes_where_most_of_its_pixels_are(monkeypatch):
    numbers = np.array([5, 5, 5, 9, 9, 9, 9, 9])
    monkeypatch.setattr(merged_bins, "power_bins", lambda *_, **__: numbers)
    bins = np.array([0, 0, 0, 0, 1, 1, 2, 2])
    merged = merge_bins(bins, X[:8], Y[:8], light(SIGNAL[:8]), 10.0)
    assert merged.tolist() == [0, 1, 1]


def test_refuses_what_has_no_noise_or_no_light():
    bins = np.arange(N * N)
    with pytest.raises(InputError, match="target_sn=30, but the cube has no noise"):
        merge_bins(bins, X, Y, light(noise=np.nan), 30.0)
    with pytest.raises(InputError, match="No bin has light that can be used"):
        merge_bins(bins, X, Y, light(), 30.0, pixels=np.zeros(N * N, bool))
    with pytest.raises(InputError, match="All 400 pixels together have an S/N of"):
        merge_bins(bins, X, Y, light(), 1e5)
    with pytest.raises(ConfigError, match="target_sn=-1"):
        merge_bins(bins, X, Y, light(), -1.0)
