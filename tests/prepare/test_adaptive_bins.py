"""What PowerBin gets and gives; where its own bins would hide that, something stands in for it."""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from cubefit.errors import ConfigError, DependencyError, InputError
from cubefit.prepare.adaptive_bins import bin_signal_to_noise, power_bins, signal_to_noise_of_bins

X, Y = np.arange(8.0), np.zeros(8)
SIGNAL, NOISE = np.full(8, 3.0), np.full(8, 1.0)


@pytest.fixture
def calls(monkeypatch):
    """Stand in for PowerBin by bins of pairs, whose number 1 is missing."""
    made = []

    def power_bin(xy, capacity_spec, target_capacity, *, verbose):
        made.append((xy, capacity_spec, target_capacity, verbose))
        return SimpleNamespace(bin_num=np.array([0, 2, 3, 4])[np.arange(len(xy)) // 2])

    module = ModuleType("powerbin")
    module.PowerBin = power_bin
    monkeypatch.setitem(sys.modules, "powerbin", module)
    return made


def test_bins_are_numbered_without_gaps_and_pixels_left_out_are_in_none(calls):
    used = np.array([True, True, False, True, True, True, False, True])
    found = power_bins(X, Y, SIGNAL, NOISE, 4.0, pixels=used)
    assert found.tolist() == [0, 0, -1, 1, 1, 2, -1, 2]
    assert found.dtype == np.int32
    ((xy, capacity, target, verbose),) = calls
    np.testing.assert_array_equal(xy[:, 0], X[used])
    assert (target, verbose) == (16.0, 0)
    assert capacity(np.array([0, 1])) == pytest.approx(18.0)


def test_signal_to_noise_of_all_bins_is_that_of_each():
    bins = np.array([1, 0, -1, 1, 2, 2, 2, 0])
    signal = np.array([3.0, 2.0, 9.0, 1.0, -5.0, 1.0, 1.0, 4.0])
    noise = np.linspace(1.0, 2.0, 8)
    sn_of = bin_signal_to_noise(signal, noise, covariance=0.3)
    expected = [sn_of(np.flatnonzero(bins == k)) for k in range(3)]
    found = signal_to_noise_of_bins(bins, signal, noise, covariance=0.3)
    np.testing.assert_allclose(found, expected)
    assert found[2] == 0.0


def exponential_disc(n):
    x, y = (a.ravel() - (n - 1) / 2 for a in np.meshgrid(np.arange(n), np.arange(n)))
    return x, y, 100.0 * np.exp(-6.0 * np.hypot(x, 1.5 * y) / n), np.ones(n * n)


@pytest.mark.parametrize("target_sn", [10.0, 60.0])
def test_the_package_makes_bins_of_the_target(target_sn):
    x, y, signal, noise = exponential_disc(30)
    found = power_bins(x, y, signal, noise, target_sn)
    members = [np.flatnonzero(found == k) for k in range(found.max() + 1)]
    reached = np.array([bin_signal_to_noise(signal, noise)(m) for m in members])
    several = np.array([m.size > 1 for m in members])
    assert several.sum() > 20
    assert np.median(reached[several]) == pytest.approx(target_sn, rel=0.1)
    assert (reached[~several] > 0.8 * target_sn).all()


def test_pixels_that_have_the_target_alone_stay_alone():
    found = power_bins(X, Y, SIGNAL, NOISE, 1.0)
    assert np.sort(found).tolist() == list(range(8))


def test_what_is_too_little_for_two_bins_is_one():
    found = power_bins(X, Y, SIGNAL, NOISE, 7.9, pixels=X > 0)
    assert found.tolist() == [-1, 0, 0, 0, 0, 0, 0, 0]


def test_signal_to_noise_of_a_bin_knows_shared_noise():
    sn_of = bin_signal_to_noise(SIGNAL, NOISE, covariance=1.0)
    assert sn_of(np.arange(4)) == pytest.approx(6.0 / (1.0 + np.log10(4.0)))
    assert bin_signal_to_noise(-SIGNAL, NOISE)(np.arange(4)) == 0.0


@pytest.mark.usefixtures("calls")
def test_refuses_pixels_and_targets_that_cannot_be():
    with pytest.raises(ConfigError, match="target_sn=0"):
        power_bins(X, Y, SIGNAL, NOISE, 0.0)
    with pytest.raises(InputError, match=r"All 8 pixels together have an S/N of 8.49, less than"):
        power_bins(X, Y, SIGNAL, NOISE, 50.0)
    with pytest.raises(InputError, match=r"1 pixels to bin have no finite signal .* pixel 3"):
        power_bins(X, Y, np.where(X == 3, np.nan, SIGNAL), NOISE, 4.0)
    with pytest.raises(InputError, match="All 0 pixels"):
        power_bins(X, Y, SIGNAL, NOISE, 4.0, pixels=np.zeros(8, bool))


def test_says_how_to_install_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "powerbin", None)
    with pytest.raises(DependencyError, match=r'pip install "cubefit\[binning\]"'):
        power_bins(X, Y, SIGNAL, NOISE, 4.0)
