"""``solve_all(method="exact")`` on files: result, certificate, priors, stops, resumption."""

import os
import signal
import subprocess
import sys

import h5py
import numpy as np
import pytest
from scipy.optimize import nnls

from cubefit.config import ExactCfg, PriorCfg
from cubefit.errors import ConfigError, InputError, StoppedError
from cubefit.fit_tracker import TrackerConfig
from cubefit.pipeline_runner import PipelineRunner
from cubefit.store.file_status import file_status

BUSY = TrackerConfig(metrics_interval_sec=0.0, val_interval_sec=0.0, ckpt_interval_sec=0.0)


def fit(path, **settings):
    return PipelineRunner(path).solve_all(**({"method": "exact", "verbose": False} | settings))


@pytest.fixture
def problem_of_noise(make_problem):
    return make_problem(S=12, L=60)


@pytest.fixture
def noisy(problem_of_noise, tmp_path):
    """A file with a noise cube, masks over NaN, and a component and spaxels in the dark."""
    rng = np.random.default_rng(8)
    clean = problem_of_noise
    sigma = 0.02 * clean.datacube * rng.uniform(0.5, 2.0, clean.datacube.shape)
    cube = clean.datacube + sigma * rng.standard_normal(clean.datacube.shape)
    mask = np.arange(60) % 11 != 5
    cube[:, ~mask] = np.nan
    sigma[:, ~mask] = np.nan
    used = rng.random(cube.shape) < 0.95
    used[3] = False
    return clean.populate(
        tmp_path / "noisy.h5", datacube=cube, noise=sigma, mask=mask, voxel_mask=used
    )


def dense(path, problem):
    """Return the weighted columns (n, C*P) and data (n,) of a file."""
    with h5py.File(path) as file:
        used = np.broadcast_to(file["/Mask"][()], file["/DataCube"].shape) & file["/VoxelMask"][()]
        weight = 1.0 / file["/Noise"][()][used]
        data = file["/DataCube"][()][used]
    columns = problem.models.transpose(0, 3, 1, 2)[used].reshape(data.size, -1)
    return columns * weight[:, None], data * weight


def test_it_is_the_optimum_of_the_weighted_unmasked_voxels(noisy, problem_of_noise):
    x, stats = fit(noisy, gap_tolerance=1e-10)
    columns, data = dense(noisy, problem_of_noise)
    _, distance = nnls(columns, data)
    assert stats["chi2"] == pytest.approx(distance**2, rel=1e-8)
    assert stats["objective"] == pytest.approx(0.5 * distance**2, rel=1e-8)
    assert 2 * stats["objective"] - distance**2 <= 2 * stats["gap_abs"] + 1e-9 * distance**2
    assert np.sum((columns @ x - data) ** 2) == pytest.approx(stats["chi2"], rel=1e-9)
    assert stats["gap_rel"] <= 1e-10
    assert stats["n_voxels"] == data.size
    assert stats["nnz"] == np.count_nonzero(x)
    assert stats["converged"]
    assert "the optimum is found" in stats["outcome"]
    assert set(stats) >= {"rounds", "elapsed_sec", "rmse", "chi2_per_voxel", "warm_start"}


def test_the_result_and_its_certificate_are_in_the_file(noisy):
    x, stats = fit(noisy, orbit_weights=np.arange(1.0, 6.0))
    with h5py.File(noisy) as file:
        stored = file["/X_global"]
        np.testing.assert_array_equal(stored, x)
        for name in ("objective", "chi2", "gap_abs", "gap_rel", "rounds", "outcome", "method"):
            assert stored.attrs[name] == stats[name]
        assert np.isfinite(file["/Fit/metrics/gap_rel"][-1])
    status = file_status(noisy)
    assert status.fit.method == "exact"
    assert status.fit.finished


def test_stored_and_matrix_free_agree(built):
    free, f = fit(built, warm_start="zeros")
    stored, s = fit(built, warm_start="zeros", operator="stored")
    assert (f["operator"], s["operator"]) == ("matrix-free", "stored")
    np.testing.assert_allclose(stored, free, atol=1e-4 * free.max())


def test_without_noise_the_misfit_is_called_rmse(populated, caplog):
    caplog.set_level("INFO", "cubefit")
    _, stats = fit(populated)
    assert not stats["has_noise"]
    assert "RMSE" in caplog.text
    assert "chi2" not in caplog.text


def test_the_plan_is_told_before_the_work(noisy, caplog):
    caplog.set_level("INFO", "cubefit")
    fit(noisy, max_memory_gb=1.0)
    lines = [r.message for r in caplog.records]
    plan = next(i for i, line in enumerate(lines) if "budget of 1.00 GB (max_memory_gb)" in line)
    assert plan < next(i for i, line in enumerate(lines) if "templates compressed to" in line)


def test_ratios_are_held_and_their_weight_is_the_limit(noisy):
    weights = np.array([1.0, 3.0, 2.0, 5.0, 4.0])
    spread = []
    for strength in (1.0, 300.0, 30_000.0):
        x, _ = fit(noisy, orbit_weights=weights, ratio_weight=strength, warm_start="zeros")
        ratios = x.reshape(5, 12).sum(axis=1) / weights
        spread.append(np.ptp(ratios) / ratios.mean())
    assert spread[0] > spread[1] > spread[2]
    assert spread[2] < 1e-4
    free, _ = fit(noisy, warm_start="zeros")
    unused, _ = fit(noisy, orbit_weights=weights, ratio_use=False, warm_start="zeros")
    np.testing.assert_allclose(unused, free, atol=1e-6 * free.max())


def test_smoothness_smooths_at_the_price_of_chi2(noisy):
    rough, chi2 = [], []
    for strength in (0.0, 0.1, 10.0):
        x, stats = fit(noisy, regularization=strength, warm_start="zeros")
        assert stats["converged"]
        assert stats["gap_rel"] <= 1e-6
        bends = np.diff(x.reshape(5, 2, 3, 2), n=2, axis=2)
        rough.append(np.abs(bends).sum() / x.sum())
        chi2.append(stats["chi2"])
    assert rough[0] > rough[1] > rough[2]
    assert chi2[0] < chi2[1] < chi2[2]
    assert rough[2] < 0.05 * rough[0]


def test_auto_raises_smoothness_until_chi2_has_grown_as_ppxf_has_it(noisy):
    _, plain = fit(noisy, warm_start="zeros")
    x, stats = fit(noisy, regularization="auto", warm_start="zeros")
    allowed = np.sqrt(2 * stats["n_voxels"])
    assert stats["converged"]
    assert stats["regularization"] > 0
    assert stats["chi2"] - plain["chi2"] == pytest.approx(allowed, rel=0.1)
    again, fixed = fit(
        noisy,
        regularization=stats["regularization"],
        total_weight=stats["total_weight"],
        warm_start="zeros",
    )
    assert fixed["chi2"] == pytest.approx(stats["chi2"], rel=1e-5)
    np.testing.assert_allclose(again, x, atol=1e-2 * x.max())


def test_any_start_ends_at_the_same_optimum(noisy):
    cold, c = fit(noisy, warm_start="zeros", gap_tolerance=1e-10)
    rng = np.random.default_rng(1)
    other, o = fit(noisy, x0=rng.random(60), gap_tolerance=1e-10)
    assert o["objective"] == pytest.approx(c["objective"], rel=1e-9)
    _, again = fit(noisy, x0=cold, gap_tolerance=1e-10)
    assert again["rounds"] <= 1
    assert again["warm_start"] == "x0"
    _, resumed = fit(noisy, gap_tolerance=1e-10)
    assert resumed["warm_start"] in ("/Fit/x_best", "/X_global")
    assert resumed["objective"] == pytest.approx(c["objective"], rel=1e-9)
    assert np.all(other >= 0)


@pytest.mark.parametrize(
    ("limit", "words"),
    [({"max_rounds": 1}, "raise max_rounds"), ({"time_limit_s": 1e-9}, "raise the limit")],
)
def test_limits_end_it_with_its_gap_and_words(noisy, limit, words):
    _, best = fit(noisy, warm_start="zeros", gap_tolerance=1e-10)
    _, stats = fit(noisy, warm_start="zeros", gap_tolerance=1e-10, **limit)
    assert not stats["converged"]
    assert words in stats["outcome"]
    assert stats["objective"] - best["objective"] <= stats["gap_abs"]


def test_ctrl_c_gives_the_best_point_with_its_gap(noisy):
    def interrupt(number, _x):
        if number == 1:
            signal.raise_signal(signal.SIGINT)

    x, stats = fit(noisy, warm_start="zeros", gap_tolerance=1e-12, on_epoch_end=interrupt)
    assert stats["interrupted"]
    assert "stopped by request" in stats["outcome"]
    assert "the same command without --fresh (in Python, with warm_start" in stats["outcome"]
    assert stats["rounds"] == 1
    assert np.isfinite(stats["gap_abs"])
    with h5py.File(noisy) as file:
        np.testing.assert_array_equal(file["/X_global"], x)


@pytest.mark.parametrize("smooth", [0.0, 0.5])
def test_a_terminated_fit_is_completed_by_the_same_call(noisy, smooth):
    settings = {"gap_tolerance": 1e-9, "regularization": smooth}
    _, whole = fit(noisy, warm_start="zeros", **settings)
    with h5py.File(noisy, "r+") as file:
        del file["X_global"], file["Fit"]

    def terminate(number, _x):
        if number == 1:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(StoppedError, match="after 1 rounds; the same call goes on from there"):
        fit(noisy, on_epoch_end=terminate, **settings)
    _, rest = fit(noisy, **settings)
    assert rest["warm_start"] == "/Fit/x_latest"
    assert rest["objective"] == pytest.approx(whole["objective"], rel=1e-8)
    if smooth:
        assert rest["total_weight"] == whole["total_weight"]


def test_an_error_in_a_hook_saves_the_point_first(noisy):
    def fail(number, _x):
        if number == 1:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fit(noisy, on_epoch_end=fail, tracker=BUSY, gap_tolerance=1e-12)
    _, rest = fit(noisy)
    assert rest["warm_start"] == "/Fit/x_latest"


def test_a_killed_fit_leaves_a_checkpoint_to_start_from(noisy):
    code = f"""
import os, signal, time
from pathlib import Path
from cubefit.fit_tracker import TrackerConfig
from cubefit.pipeline_runner import PipelineRunner
from cubefit.store.file_status import file_status
busy = TrackerConfig(metrics_interval_sec=0.0, val_interval_sec=0.0, ckpt_interval_sec=0.0)
path = Path({str(noisy)!r})
def die(number, x):
    if number == 2:
        while (fit := file_status(path).fit) is None or not fit.n_rows:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGKILL)
PipelineRunner(path).solve_all(method="exact", tracker=busy, on_epoch_end=die, verbose=False)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, env=dict(os.environ), timeout=60
    )
    assert done.returncode == -signal.SIGKILL
    _, stats = fit(noisy)
    assert stats["warm_start"] == "/Fit/x_latest"
    assert stats["converged"]


def test_kaczmarz_can_go_on_from_the_optimum(noisy):
    _, best = fit(noisy)
    _, swept = PipelineRunner(noisy).solve_all(epochs=1, lr=1e-9, verbose=False)
    assert swept["chi2"] == pytest.approx(best["chi2"], rel=1e-3)
    assert swept["epochs_total"] == 1


def test_kaczmarz_smooths_too(noisy):
    rough = []
    for strength in (0.0, 3.0):
        x, _ = PipelineRunner(noisy).solve_all(
            epochs=5, regularization=strength, warm_start="jacobi", verbose=False
        )
        rough.append(np.abs(np.diff(x.reshape(5, 2, 3, 2), n=2, axis=2)).sum() / x.sum())
    assert rough[1] < 0.5 * rough[0]


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"method": "simplex"}, "method"),
        ({"gap_tolerance": 0.0}, "gap_tolerance"),
        ({"gap_tolerance": np.nan}, "gap_tolerance"),
        ({"max_rounds": 0}, "max_rounds"),
        ({"time_limit_s": -1.0}, "time_limit_s"),
        ({"max_memory_gb": 1e-6}, "max_memory_gb=1e-06: this fit takes at least"),
        ({"max_memory_gb": -1.0}, "max_memory_gb"),
        ({"regularization": -0.1}, "regularization"),
        ({"regularization": np.inf}, "regularization"),
        ({"regularization": "much"}, "regularization"),
        ({"ratio_weight": -1.0}, "ratio_weight"),
        ({"ratio_weight": 1e6}, "ratio_weight"),
        ({"regularization": 1e100}, "regularization"),
        ({"gap_tolerance": 1.0}, "gap_tolerance"),
        ({"orbit_weights": np.ones(5) * 1j}, "orbit_weights"),
        ({"ratio_use": True}, "ratio_use=True needs orbit_weights"),
        ({"total_weight": 0.0}, "total_weight"),
        ({"orbit_weights": np.ones(4)}, "orbit_weights"),
        ({"orbit_weights": np.ones(5), "ratio_anchor": 5}, "ratio_anchor"),
        ({"on_batch": print}, "on_batch is called by Kaczmarz sweeps only"),
        ({"method": "kaczmarz", "regularization": "auto"}, "needs method='exact'"),
    ],
)
def test_wrong_settings_are_refused_before_any_work(populated, monkeypatch, settings, name):
    def no_work(*_args, **_options):
        pytest.fail("worked")

    monkeypatch.setattr("cubefit.exact_solver.prepare", no_work)
    monkeypatch.setattr("cubefit.kaczmarz_solver.sweeps", no_work)
    before = populated.read_bytes()
    with pytest.raises((ConfigError, InputError), match=name):
        fit(populated, **({"tracker": False} | settings))
    assert populated.read_bytes() == before


def test_templates_without_a_long_axis_cannot_be_smoothed(make_problem, tmp_path):
    path = make_problem(axes=(2, 2, 2)).populate(tmp_path / "short.h5")
    for method in ("exact", "kaczmarz"):
        with pytest.raises(ConfigError, match="take three points"):
            fit(path, method=method, regularization=0.1)


def test_data_without_light_give_nothing(make_problem, tmp_path):
    problem = make_problem()
    path = problem.populate(tmp_path / "dark.h5", datacube=-problem.datacube)
    x, stats = fit(path, orbit_weights=np.ones(5))
    assert not x.any()
    assert stats["converged"]
    with pytest.raises(InputError, match="nothing to smooth: are the data positive"):
        fit(path, regularization=0.1)


def test_settings_take_numpy_scalars():
    assert ExactCfg(max_rounds=np.int64(3)).max_rounds == 3
    assert PriorCfg(regularization=np.float64(0.5)).regularization == 0.5


@pytest.mark.parametrize("unit", [1e-9, 1e9])
def test_without_noise_priors_do_not_depend_on_the_unit_of_the_flux(make_problem, tmp_path, unit):
    problem, found = make_problem(S=12, L=60), []
    for factor in (1.0, unit):
        path = problem.populate(tmp_path / f"{factor}.h5", datacube=factor * problem.datacube)
        x, stats = fit(path, orbit_weights=np.arange(1.0, 6.0), regularization=0.3)
        assert stats["converged"]
        found.append(x / factor)
    np.testing.assert_allclose(found[1], found[0], atol=1e-3 * found[0].max())


def test_a_stored_cube_reaches_the_gap_as_well(built):
    for smooth in (0.0, 0.1):
        settings = {"warm_start": "zeros", "gap_tolerance": 1e-7, "regularization": smooth}
        _, stats = fit(built, operator="stored", **settings)
        assert stats["converged"]
        assert stats["gap_rel"] <= 1e-7


def test_negative_templates_are_refused(make_problem, tmp_path):
    problem = make_problem()
    templates = problem.templates.copy()
    templates[:, 0, 0, 0] *= -1.0
    path = problem.populate(tmp_path / "negative.h5", templates=templates)
    with pytest.raises(InputError, match=r"population 0 .* templates of positive flux"):
        fit(path)


def test_a_limit_in_the_preparation_is_told_as_such(noisy):
    for settings in ({"max_rounds": 1}, {"time_limit_s": 1e-9}):
        _, stats = fit(noisy, regularization=0.1, warm_start="zeros", **settings)
        assert not stats["converged"]
        assert "being prepared (fit without smoothness): nothing is written" in stats["outcome"]
        assert np.isnan(stats["gap_rel"])
        assert not stats["committed"]
    with h5py.File(noisy) as file:
        assert "X_global" not in file


def test_a_terminated_auto_fit_does_not_choose_again(noisy, caplog):
    def terminate(_number, _x):
        signal.raise_signal(signal.SIGTERM)

    with pytest.raises(StoppedError):
        fit(noisy, regularization="auto", on_epoch_end=terminate)
    caplog.set_level("INFO", "cubefit")
    _, stats = fit(noisy, regularization="auto")
    assert stats["converged"]
    assert "allowed" not in caplog.text
    assert stats["regularization"] > 0


def test_a_fit_after_a_smooth_one_starts_from_the_optimum(noisy):
    x, first = fit(noisy, regularization=0.1)
    _, again = fit(noisy, regularization=0.1)
    assert again["warm_start"] == "/X_global"
    assert again["objective"] == pytest.approx(first["objective"], rel=1e-5)
    _, plain = fit(noisy, x0=x)
    assert plain["converged"]


def test_a_stop_in_the_preparation_leaves_the_solution_of_before(noisy):
    x, _ = fit(noisy, regularization=0.1)
    fit(noisy, regularization=0.3, max_rounds=1)
    with h5py.File(noisy) as file:
        np.testing.assert_array_equal(file["/X_global"], x)


def test_orbit_weights_may_have_any_scale_and_vanishing_ones_count_as_none(noisy):
    weights = np.array([1.0, 3.0, 2.0, 5.0, 4.0])
    plain, stats = fit(noisy, orbit_weights=weights, regularization=0.1, warm_start="zeros")
    for scale in (1e-310, 1e300):
        x, _ = fit(noisy, orbit_weights=scale * weights, regularization=0.1, warm_start="zeros")
        np.testing.assert_allclose(x, plain, atol=1e-6 * plain.max())
    chi2 = []
    for vanishing in (0.0, 1e-20):
        weights[0] = vanishing
        _, stats = fit(noisy, orbit_weights=weights, regularization=0.1, warm_start="zeros")
        assert stats["converged"]
        chi2.append(stats["chi2"])
    assert chi2[1] == pytest.approx(chi2[0], rel=1e-6)


def test_a_hook_cannot_change_the_answer(noisy):
    def meddle(_number, x):
        with pytest.raises(ValueError, match="read-only"):
            x.fill(0.0)

    x, _ = fit(noisy, on_epoch_end=meddle)
    assert x.any()


def test_a_stalled_fit_is_no_answer(noisy):
    with pytest.raises(InputError, match="span more than float64 holds"):
        fit(noisy, regularization=0.1, total_weight=1e-12, warm_start="zeros")
    with h5py.File(noisy) as file:
        assert "X_global" not in file
