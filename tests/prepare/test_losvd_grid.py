import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubefit.errors import ConfigError, GridError
from cubefit.prepare.losvd_grid import rebin_losvd, velocities_of_step, velocity_shares

seeds = st.integers(0, 2**32 - 1)


def histograms(seed, n_velocities):
    return np.random.default_rng(seed).random((3, n_velocities, 4)).astype(np.float32)


@given(
    seed=seeds,
    n=st.integers(2, 30),
    step=st.floats(5.0, 50.0),
    new_step=st.floats(5.0, 90.0),
    shift=st.floats(0.0, 1.0),
)
def test_light_is_conserved_where_the_new_grid_covers_the_old(seed, n, step, new_step, shift):
    vel = step * (np.arange(n) - n // 2)
    low, high = vel[0] - 0.5 * step, vel[-1] + 0.5 * step
    new = np.arange(low - (shift + 0.5) * new_step, high + 1.6 * new_step, new_step)
    losvd = histograms(seed, n)
    rebinned = rebin_losvd(losvd, vel, new)
    np.testing.assert_allclose(rebinned.losvd.sum(axis=1), losvd.sum(axis=1), rtol=1e-5)
    np.testing.assert_allclose(rebinned.lost, 0.0, atol=1e-9)
    assert rebinned.losvd.min() >= 0


def test_the_same_grid_changes_nothing():
    vel = 10.0 * np.arange(-3, 4)
    losvd = histograms(1, 7)
    np.testing.assert_allclose(rebin_losvd(losvd, vel, vel).losvd, losvd, rtol=1e-6)


def test_mean_velocities_stay_where_new_bins_divide_old_ones():
    vel = 30.0 * np.arange(-3, 4)
    new = 10.0 * np.arange(-10, 11)
    losvd = histograms(1, 7)
    rebinned = rebin_losvd(losvd, vel, new).losvd
    np.testing.assert_allclose(
        np.einsum("svc,v->sc", rebinned, new), np.einsum("svc,v->sc", losvd, vel), atol=1e-3
    )


def test_shares_are_overlaps():
    shares = velocity_shares(np.array([0.0, 10.0, 20.0]), np.array([-5.0, 5.0, 15.0]))
    np.testing.assert_allclose(shares, [[0.5, 0.5], [0.0, 0.5]])


def test_light_outside_is_refused_above_the_tolerance_and_told_below():
    vel = 10.0 * np.arange(-5, 6)
    losvd = np.ones((2, 11, 3), np.float32)
    losvd[:, 0, 2] = 30.0
    with pytest.raises(GridError, match=r"Component 2 has 75.00% .* widen"):
        rebin_losvd(losvd, vel, vel[1:])
    lost = rebin_losvd(losvd, vel, vel[1:], max_lost=0.8).lost
    np.testing.assert_allclose(lost, [1 / 11, 1 / 11, 30 / 40], rtol=1e-6)


@pytest.mark.parametrize("new", [[0.0, 10.0, 30.0], [10.0, 0.0], [0.0]])
def test_uneven_grids_are_refused(new):
    with pytest.raises(GridError, match="new_vel"):
        rebin_losvd(histograms(1, 3), np.array([-10.0, 0.0, 10.0]), new)


def test_steps_that_make_no_sense_are_told_with_those_that_do():
    vel = 25.0 * np.arange(-15, 16)
    losvd = histograms(1, 31)
    with pytest.raises(
        GridError, match=r"31 bins of 25 km/s.* have 1e-05 km/s: give .* of 1.25 km"
    ):
        rebin_losvd(losvd, vel, 1e-5 * np.arange(-5, 6))
    with pytest.raises(GridError, match=r"has 1: give a velocity step well below 775 km/s"):
        rebin_losvd(losvd, vel, np.zeros(1))
    fine = 1.25 * np.arange(-310, 311)
    assert rebin_losvd(losvd, vel, fine).vel.size == fine.size


def test_a_component_without_light_loses_none():
    vel = 10.0 * np.arange(-5, 6)
    assert rebin_losvd(np.zeros((2, 11, 1)), vel, vel[3:]).lost.tolist() == [0.0]


LIBRARY_VEL = np.linspace(-900.0, 900.0, 37)


@pytest.mark.parametrize("step", [10.0, 50.0, 60.0, 300.0])
def test_velocities_of_a_step_cover_the_library_with_one_at_zero(step):
    found = velocities_of_step(LIBRARY_VEL, step)
    np.testing.assert_allclose(np.diff(found), step)
    assert 0.0 in found
    assert found[0] - 0.5 * step <= -925.0
    assert found[-1] + 0.5 * step >= 925.0


@pytest.mark.parametrize("step", [1e-5, 2.0, 1000.0])
def test_steps_that_make_no_sense_are_refused_before_anything_is_made(step):
    with pytest.raises(ConfigError, match=r"velocity_step = .* give from 2\.5 to 616\.667"):
        velocities_of_step(LIBRARY_VEL, step)
