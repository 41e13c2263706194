import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr

from cubefit.errors import InputError
from cubefit.spectra.losvd import lit_velocity_range, losvd_moments, normalized_losvd


def histograms(seed, shape=(3, 7, 4)):
    rng = np.random.default_rng(seed)
    losvd = rng.random(shape, dtype=np.float32) * 10.0 ** rng.uniform(
        -6, 0, (shape[0], 1, shape[2])
    )
    losvd[rng.random(shape) < 0.3] = 0.0
    losvd[0, :, 1] = 0.0
    return losvd.astype(np.float32)


seeds = st.integers(0, 2**32 - 1)


@given(seed=seeds)
@settings(deadline=None)
def test_losvd_keeps_the_amplitude(seed):
    losvd = histograms(seed)
    np.testing.assert_array_equal(normalized_losvd(losvd, "losvd"), losvd)


@given(seed=seeds)
@settings(deadline=None)
def test_unit_gives_every_lit_histogram_unit_area(seed):
    losvd = histograms(seed)
    unit = normalized_losvd(losvd, "unit")
    assert unit.dtype == np.float32
    light = losvd.sum(axis=1, dtype=np.float64)
    np.testing.assert_allclose(unit.sum(axis=1, dtype=np.float64), light > 0, rtol=1e-6)
    np.testing.assert_allclose(unit * light[:, None], losvd, rtol=1e-6)


def test_unit_of_subnormal_light_is_finite():
    losvd = np.zeros((1, 4, 1), np.float32)
    losvd[0, 1:3] = 1e-45
    np.testing.assert_array_equal(normalized_losvd(losvd, "unit")[0, :, 0], [0.0, 0.5, 0.5, 0.0])


@given(first=st.integers(0, 9), last=st.integers(0, 9), seed=seeds)
@settings(deadline=None)
def test_lit_range_is_the_outer_edges_of_the_bins_with_light(first, last, seed):
    first, last = sorted((first, last))
    rng = np.random.default_rng(seed)
    losvd = np.zeros((3, 10, 4))
    losvd[rng.integers(3), first, rng.integers(4)] = 1e-30
    losvd[rng.integers(3), last, rng.integers(4)] = 1.0
    vel_pix = np.linspace(-90.0, 90.0, 10)
    low, high = lit_velocity_range(losvd, vel_pix)
    assert (low, high) == pytest.approx((-100.0 + 20.0 * first, -80.0 + 20.0 * last))


def test_no_light_is_refused():
    with pytest.raises(InputError, match="no light"):
        lit_velocity_range(np.zeros((2, 3, 4)), np.arange(3.0))


@given(seed=seeds)
@settings(deadline=None)
def test_moments_are_the_sums_of_what_acts(seed):
    losvd = histograms(seed)
    vel = 30.0 * np.arange(losvd.shape[1]) - 50.0
    for normalization in ("losvd", "unit"):
        acting = normalized_losvd(losvd, normalization).astype(np.float64)
        light, first, second = losvd_moments(losvd, vel, normalization)
        np.testing.assert_allclose(light, acting.sum(axis=1), rtol=1e-6)
        scale = np.abs(vel).max()
        np.testing.assert_allclose(
            first, np.einsum("svc,v->sc", acting, vel), rtol=1e-6, atol=1e-6 * scale
        )
        squares = vel**2 - 30.0**2 / 12.0
        np.testing.assert_allclose(
            second, np.einsum("svc,v->sc", acting, squares), rtol=1e-6, atol=1e-6 * scale**2
        )


@pytest.mark.parametrize("step", [10.0, 35.0, 60.0])
def test_bins_do_not_broaden_a_smooth_losvd(step):
    """Stars of a Gaussian, sorted into bins however wide, have its mean and dispersion."""
    reach = int(400.0 / step)
    vel = step * np.arange(-reach, reach + 1)
    edges = np.append(vel - 0.5 * step, vel[-1] + 0.5 * step)
    histogram = np.diff(ndtr((edges - 33.0) / 50.0)).astype(np.float32)
    light, first, second = losvd_moments(histogram[None, :, None], vel, "losvd")[:, 0, 0]
    assert first / light == pytest.approx(33.0, abs=0.05)
    assert np.sqrt(second / light - (first / light) ** 2) == pytest.approx(50.0, abs=0.05)


def test_light_of_one_velocity_bin_has_its_velocity_and_no_width():
    light, first, second = losvd_moments(
        np.full((1, 1, 2), 0.5, np.float32), np.array([80.0]), "losvd"
    )
    np.testing.assert_array_equal(
        [light, first, second], [[[0.5] * 2], [[40.0] * 2], [[3200.0] * 2]]
    )
