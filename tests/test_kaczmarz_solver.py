"""The solver without a file: arrays in, x and its story out."""

import numpy as np
import pytest

import cubefit
from cubefit.errors import InputError
from cubefit.inverse.matrix_free import MatrixFreeOperator
from cubefit.inverse.observed import Observed
from cubefit.kaczmarz_solver import SolverCfg, solve_global_kaczmarz
from cubefit.spectra.shifted_templates import shifted_templates


@pytest.fixture(scope="module")
def operator(problem):
    shifted = shifted_templates(
        problem.templates.reshape(problem.tem_pix.size, -1).T,
        problem.tem_pix,
        problem.obs_pix,
        problem.vel_pix,
    )
    return MatrixFreeOperator(problem.losvd, shifted)


def solve(operator, observed, x0=None, **settings):
    hooks = {k: settings.pop(k) for k in ("on_batch", "orbit_weights") if k in settings}
    start = np.zeros((5, 12)) if x0 is None else x0
    return solve_global_kaczmarz(
        operator, observed, start, SolverCfg(**settings), verbose=False, **hooks
    )


def test_one_home_of_the_settings():
    assert SolverCfg is cubefit.SolverCfg


def test_the_start_is_not_changed(operator, problem):
    x0 = problem.x_true.copy()
    x, _ = solve(operator, Observed.of(2.0 * problem.datacube), x0)
    np.testing.assert_array_equal(x0, problem.x_true)
    assert not np.array_equal(x, x0)


def test_the_truth_is_a_fixed_point(operator, problem):
    x, stats = solve(operator, Observed.of(problem.datacube), problem.x_true, epochs=2)
    np.testing.assert_allclose(x, problem.x_true, atol=1e-4 * problem.x_true.max())
    assert stats["rmse"] < 1e-5 * problem.datacube.mean()
    assert max(stats["train_rmse"]) < 1e-5 * problem.datacube.mean()


def test_noise_gives_chi2_in_sigma(operator, problem):
    plain = solve(operator, Observed.of(problem.datacube), problem.x_true * 1.1)[1]
    sigma = np.full(40, 0.5)
    noisy = solve(operator, Observed.of(problem.datacube, noise=sigma), problem.x_true * 1.1)[1]
    assert noisy["chi2"] == pytest.approx(plain["chi2"] / 0.25, rel=1e-6)
    assert noisy["train_rmse"] == pytest.approx([r / 0.5 for r in plain["train_rmse"]], rel=1e-6)


def test_scaling_the_data_scales_x(operator, problem):
    one, _ = solve(operator, Observed.of(problem.datacube), epochs=2)
    thousand, _ = solve(operator, Observed.of(1000.0 * problem.datacube), epochs=2)
    np.testing.assert_allclose(thousand, 1000.0 * one, rtol=1e-3, atol=1e-3 * one.max())


def test_masked_voxels_may_hold_anything(operator, problem):
    used = np.random.default_rng(2).random(problem.datacube.shape) < 0.7
    spoiled = np.where(used, problem.datacube, np.nan)
    spoiled[~used][::2] = 1e300
    masked = solve(operator, Observed.of(spoiled, voxel_mask=used))
    clean = solve(operator, Observed.of(problem.datacube, voxel_mask=used))
    np.testing.assert_array_equal(masked[0], clean[0])
    assert masked[1]["n_voxels"] == used.sum()


def test_spaxels_without_a_voxel_have_no_rmse_and_do_no_harm(operator, problem):
    used = np.ones(problem.datacube.shape, bool)
    used[2] = used[5] = False
    seen = []
    _, stats = solve(operator, Observed.of(problem.datacube, voxel_mask=used), on_batch=seen.append)
    assert np.isnan(seen).sum() == 2
    assert np.isfinite(stats["train_rmse"]).all()


def test_orbit_weights_of_the_wrong_length(operator, problem):
    with pytest.raises(InputError, match="orbit_weights"):
        solve(operator, Observed.of(problem.datacube), orbit_weights=np.ones(4))


def test_orbit_weights_may_be_ignored(operator, problem):
    observed = Observed.of(problem.datacube)
    plain, _ = solve(operator, observed)
    ignored, _ = solve(operator, observed, orbit_weights=np.arange(1.0, 6.0), ratio_use=False)
    np.testing.assert_array_equal(plain, ignored)
    used, _ = solve(operator, observed, orbit_weights=np.arange(1.0, 6.0), ratio_prob=1.0)
    assert not np.array_equal(plain, used)
