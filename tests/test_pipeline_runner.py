import inspect
import os
import signal

import h5py
import numpy as np
import pytest
from threadpoolctl import threadpool_info

from cubefit import pipeline_runner
from cubefit.errors import (
    ConfigError,
    InputError,
    LockedError,
    MissingDataError,
    StaleError,
    StoreError,
)
from cubefit.hypercube_builder import build_hypercube
from cubefit.inverse.kaczmarz import KaczmarzState, sweeps
from cubefit.pipeline_runner import PipelineRunner
from cubefit.store.handle import open_h5
from cubefit.store.lock import writer_lock


def fit(path, **settings):
    return PipelineRunner(path).solve_all(**({"verbose": False} | settings))


def x_global(path):
    with h5py.File(path) as file:
        return file["/X_global"][()]


@pytest.fixture
def noisy(make_problem, tmp_path):
    """A populated file of a problem with noise, masks, and a known noise level."""
    rng = np.random.default_rng(8)
    clean = make_problem(S=12, L=60)
    sigma = 0.01 * clean.datacube.mean()
    cube = clean.datacube + sigma * rng.standard_normal(clean.datacube.shape)
    mask = np.arange(60) % 11 != 5
    cube[:, ~mask] = np.nan
    used = rng.random(cube.shape) < 0.95
    used[3] = False
    return clean.populate(
        tmp_path / "noisy.h5",
        datacube=cube,
        noise=np.full(60, sigma),
        mask=mask,
        voxel_mask=used,
    )


def test_every_argument_of_the_specification_with_its_default():
    signature = inspect.signature(PipelineRunner.solve_all)
    defaults = {n: p.default for n, p in signature.parameters.items() if n != "self"}
    stated = {
        "epochs": 1,
        "pixels_per_aperture": 256,
        "lr": 0.25,
        "project_nonneg": True,
        "orbit_weights": None,
        "row_order": "random",
        "x0": None,
        "warm_start": "auto",
        "ratio_use": None,
        "ratio_prob": 0.02,
        "ratio_eta": None,
        "ratio_anchor": "auto",
        "ratio_batch": 2,
        "blas_threads": None,
    }
    assert {n: defaults[n] for n in stated} == stated
    assert {"verbose", "seed", "ratio_min_weight"} <= set(defaults)


def test_the_result_is_in_the_file(built):
    x, stats = fit(built, epochs=2)
    assert x.shape == (60,)
    assert x.dtype == np.float64
    assert (x >= 0).all()
    with h5py.File(built) as file:
        stored = file["/X_global"]
        assert stored.shape == (60,)
        assert stored.dtype == np.float64
        np.testing.assert_array_equal(stored, x)
        assert stored.attrs["epochs_total"] == 2
        assert stored.attrs["chi2"] == stats["chi2"]
        assert stored.attrs["operator"] == "stored"
        assert stored.attrs["seed"] == 12345


def test_stats_say_what_came_out(built, problem):
    x, stats = fit(built, epochs=3, warm_start="jacobi")
    model = np.einsum("scpl,cp->sl", problem.models, x.reshape(5, 12))
    chi2 = float(((model - problem.datacube) ** 2).sum())
    assert stats["chi2"] == pytest.approx(chi2, rel=1e-4)
    assert stats["n_voxels"] == 280
    assert stats["chi2_per_voxel"] == pytest.approx(chi2 / 280, rel=1e-4)
    assert stats["rmse"] == pytest.approx(np.sqrt(chi2 / 280), rel=1e-4)
    assert stats["nnz"] == np.count_nonzero(x)
    assert stats["epochs"] == len(stats["train_rmse"]) == 3
    assert stats["warm_start"] == "jacobi"
    assert stats["normalization"] == "losvd"
    assert stats["elapsed_sec"] > 0


def test_five_epochs_fit_better_than_one(noisy):
    chi2 = {
        n: fit(noisy, epochs=n, warm_start="jacobi", lr=1.0)[1]["chi2_per_voxel"] for n in (1, 5)
    }
    assert chi2[5] < 0.8 * chi2[1]
    seed_only, zeros = (fit(noisy, warm_start=w, lr=1e-12)[1]["chi2"] for w in ("jacobi", "zeros"))
    assert seed_only < zeros
    assert chi2[5] * 12 * 54 < 0.01 * zeros


def test_stored_and_matrix_free_give_the_same_x(built, problem):
    stored, s = fit(built, epochs=3, operator="stored", warm_start="jacobi")
    free, f = fit(built, epochs=3, operator="matrix-free", warm_start="jacobi")
    assert (s["operator"], f["operator"]) == ("stored", "matrix-free")
    np.testing.assert_allclose(free, stored, atol=2e-5 * stored.max())
    assert f["chi2"] == pytest.approx(s["chi2"], rel=1e-3)


@pytest.mark.parametrize("operator", ["stored", "matrix-free"])
def test_the_same_seed_gives_the_same_bits(built, operator):
    settings = {"epochs": 2, "operator": operator, "pixels_per_aperture": 20, "warm_start": "zeros"}
    weights = np.arange(1.0, 6.0)
    first, again, other = (
        fit(built, seed=seed, orbit_weights=weights, ratio_prob=0.5, **settings)[0]
        for seed in (1, 1, 2)
    )
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()


def test_without_a_cube_the_fit_is_matrix_free_and_says_so(populated, caplog):
    caplog.set_level("INFO", "cubefit")
    _, stats = fit(populated)
    assert stats["operator"] == "matrix-free"
    assert "has no finished HyperCube: fitting matrix-free" in caplog.text


def test_an_unfinished_cube_is_not_used_but_its_normalization_is(populated, caplog):
    build_hypercube(populated, normalization="unit", verbose=False)
    whole, _ = fit(populated, warm_start="jacobi", operator="matrix-free")
    with h5py.File(populated, "r+") as file:
        file["/HyperCube/_done"][0, 0, 0] = 0
        file["/HyperCube/models"][...] = np.nan
    caplog.set_level("INFO", "cubefit")
    x, stats = fit(populated, warm_start="jacobi")
    assert (stats["operator"], stats["normalization"]) == ("matrix-free", "unit")
    np.testing.assert_array_equal(x, whole)
    with pytest.raises(MissingDataError, match="no finished HyperCube: run build_hypercube"):
        fit(populated, operator="stored")


def test_a_stale_cube_is_refused(built):
    with open_h5(built, "writer") as file:
        file["/LOSVD"][...] *= 2.0
    with pytest.raises(StaleError, match="other inputs"):
        fit(built)
    assert fit(built, operator="matrix-free")[1]["operator"] == "matrix-free"


class Sweeps:
    """Stands in for the sweeps and keeps what they were started from."""

    def __init__(self, monkeypatch):
        self.starts = []
        monkeypatch.setattr("cubefit.kaczmarz_solver.sweeps", self)

    def __call__(self, operator, _observed, _config, state, _ratio=None, _smoother=None):
        self.starts.append(state.x.copy())
        S = operator.shape[0]
        yield KaczmarzState(x=state.x + 1.0, position=S, rmse=1.0)


@pytest.fixture
def started(monkeypatch):
    return Sweeps(monkeypatch).starts


def test_x0_wins(built, started):
    mine = np.linspace(0.0, 1.0, 60)
    for x0 in (mine, mine.reshape(5, 12), mine.tolist()):
        for warm_start in ("auto", "x0"):
            assert fit(built, x0=x0, warm_start=warm_start)[1]["warm_start"] == "x0"
            np.testing.assert_array_equal(started[-1].ravel(), mine)
    assert mine[-1] == 1.0


def test_auto_resumes_then_seeds(built, started):
    x, stats = fit(built, tracker=False)
    assert stats["warm_start"] == "jacobi"
    assert started[-1].any()
    for warm_start in ("auto", "resume"):
        assert fit(built, warm_start=warm_start, tracker=False)[1]["warm_start"] == "/X_global"
    np.testing.assert_array_equal(started[1].ravel(), x)
    np.testing.assert_array_equal(started[2].ravel(), x + 1.0)
    fit(built, x0=problem_like(x))
    best = fit(built, tracker=False)
    assert best[1]["warm_start"] == "/Fit/x_best"
    np.testing.assert_array_equal(started[-1].ravel(), problem_like(x) + 1.0)


def problem_like(x):
    return np.full(x.size, 7.0)


def test_an_unfinished_fit_completed_without_a_tracker_is_not_completed_again(built):
    def stop(*_args):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(built, epochs=3, on_epoch_end=stop)
    assert fit(built, epochs=3, tracker=False)[1]["warm_start"] == "/Fit/x_latest"
    assert fit(built, epochs=3)[1]["warm_start"] == "/X_global"
    assert fit(built, epochs=3)[1]["warm_start"] == "/Fit/x_best"


def test_an_untracked_fit_is_not_forgotten_and_does_not_finish_another(built):
    """Its solution is newer than every checkpoint."""

    def stop(epoch, _x):
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(built, epochs=4, on_epoch_end=stop)
    untracked = {"tracker": False, "lr": 0.5}
    fit(built, x0=np.ones(60), **untracked)
    assert fit(built, **untracked)[1]["warm_start"] == "/X_global"
    _, stats = fit(built, epochs=4)
    assert (stats["warm_start"], stats["epochs_total"]) == ("/Fit/x_latest", 4)


def test_with_other_priors_the_lower_validation_rmse_is_not_the_better_fit(noisy):
    """A fit without orbit weights would be the best for ever."""
    fit(noisy, epochs=2)
    x, _ = fit(noisy, orbit_weights=np.arange(1.0, 6.0), ratio_prob=1.0, ratio_eta=1.0)
    with h5py.File(noisy) as file:
        np.testing.assert_array_equal(file["/Fit/x_best"], x)


def test_ctrl_c_while_the_result_is_committed_comes_after_it(built, monkeypatch):
    write = pipeline_runner.write_solution

    def interrupted(*args):
        signal.raise_signal(signal.SIGINT)
        write(*args)

    monkeypatch.setattr(pipeline_runner, "write_solution", interrupted)
    with pytest.raises(KeyboardInterrupt, match="is complete; the same call adds epochs"):
        fit(built)
    assert x_global(built).any()


def test_other_warm_starts_look_at_no_earlier_solution(built, started):
    fit(built)
    assert fit(built, warm_start="jacobi")[1]["warm_start"] == "jacobi"
    np.testing.assert_array_equal(started[1], started[0])
    assert fit(built, warm_start="zeros")[1]["warm_start"] == "zeros"
    assert not started[2].any()


def test_resume_falls_back_to_x0(built, started):
    with pytest.raises(MissingDataError, match="no earlier solution to resume"):
        fit(built, warm_start="resume")
    assert fit(built, warm_start="resume", x0=np.ones(60))[1]["warm_start"] == "x0"
    assert fit(built, warm_start="resume", x0=np.ones(60))[1]["warm_start"] == "/Fit/x_best"


@pytest.mark.parametrize("warm_start", ["auto", "resume"])
def test_a_stale_solution_is_refused(built, started, warm_start):
    fit(built)
    with open_h5(built, "writer") as file:
        file["/DataCube"][...] *= 2.0
    with pytest.raises(StaleError, match=r"/Fit/x_latest in .*warm_start='zeros', or pass x0"):
        fit(built, warm_start=warm_start)
    fit(built, warm_start="jacobi")
    fit(built, warm_start=warm_start)


def test_resuming_goes_on_improving(noisy):
    chi2 = [fit(noisy, seed=n, lr=1.0)[1]["chi2"] for n in range(4)]
    assert chi2[3] < chi2[0]


def test_a_fit_keeps_other_writers_out(built):
    def meddle(_epoch, _x):
        with open_h5(built, "writer"):
            pytest.fail("two writers")

    with pytest.raises(LockedError, match=rf"by process {os.getpid()} on .* \(fit\), since"):
        fit(built, on_epoch_end=meddle)


def test_inputs_that_change_during_the_fit_make_its_result_stale(built, problem, monkeypatch):
    def meddling(*args):
        with open_h5(built, "writer") as file:
            file["/DataCube"][...] *= 2.0
        yield from sweeps(*args)

    monkeypatch.setattr("cubefit.kaczmarz_solver.sweeps", meddling)
    x, _ = fit(built, tracker=False)
    np.testing.assert_array_equal(x_global(built), x)
    with pytest.raises(StaleError):
        fit(built, warm_start="resume")


WRONG = {
    "epochs": [0, -1, 1.5],
    "pixels_per_aperture": [0, 2.5],
    "lr": [0.0, 2.0, -1.0, np.nan],
    "project_nonneg": ["yes", 1],
    "blas_threads": [0, -1, 1.5],
    "warm_start": ["best", "x0"],
    "row_order": ["shuffled"],
    "seed": [-1, 0.5],
    "ratio_use": [True],
    "ratio_prob": [-0.1, 1.1],
    "ratio_eta": [0.0, 2.0],
    "ratio_anchor": ["first", -1],
    "ratio_min_weight": [-0.1, 1.0],
    "ratio_batch": [0],
    "operator": ["dense"],
    "normalization": ["area", ""],
    "x0": [np.ones(59), np.ones((5, 12, 1)), np.full(60, np.nan)],
    "orbit_weights": [np.ones(4), -np.ones(5), np.zeros(5), np.full(5, np.nan)],
}


@pytest.mark.parametrize(
    ("name", "value"), [(n, v) for n, values in WRONG.items() for v in values], ids=str
)
def test_wrong_settings_are_refused_before_any_work(built, name, value, monkeypatch):
    def no_work(*args):
        pytest.fail("worked before it checked")

    monkeypatch.setattr("cubefit.pipeline_runner.choose_model", no_work)
    with pytest.raises((ConfigError, InputError), match=name if name != "x0" else "x "):
        fit(built, **{name: value})


def test_an_anchor_without_weight_is_refused_before_any_work(built, monkeypatch):
    monkeypatch.setattr("cubefit.pipeline_runner.choose_model", lambda *_: pytest.fail("worked"))
    weights = np.array([1.0, 0.0, 1.0, 1.0, 1.0])
    for anchor in (1, 5):
        with pytest.raises(ConfigError, match=f"ratio_anchor={anchor}"):
            fit(built, orbit_weights=weights, ratio_anchor=anchor)


@pytest.mark.parametrize("warm_start", ["jacobi", "zeros"])
def test_an_x0_that_would_go_unused_is_refused(built, warm_start):
    with pytest.raises(ConfigError, match="does not use x0"):
        fit(built, warm_start=warm_start, x0=np.ones(60))


def test_a_normalization_that_the_cube_does_not_have(built):
    with pytest.raises(ConfigError, match="normalization='unit', but the HyperCube"):
        fit(built, normalization="unit")
    assert fit(built, normalization="unit", operator="matrix-free")[1]["normalization"] == "unit"


def test_ratio_rows_pull_towards_the_orbit_weights(noisy):
    def imbalance(**settings):
        weights = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
        x, _ = fit(noisy, epochs=3, warm_start="jacobi", orbit_weights=weights, **settings)
        sums = x.reshape(5, 12).sum(axis=1)
        return np.abs(sums / sums.sum() - weights / weights.sum()).sum()

    off = imbalance(ratio_use=False)
    strong = imbalance(ratio_prob=1.0, ratio_eta=1.0, ratio_batch=20)
    assert strong < 0.3 * off
    assert imbalance(ratio_prob=0.0) == off
    assert imbalance(ratio_prob=1.0, ratio_anchor=2) != imbalance(ratio_prob=1.0, ratio_anchor=4)


def test_projection_may_be_switched_off(noisy):
    start = np.zeros((5, 12))
    start[1] = 10.0
    x, _ = fit(noisy, x0=start, lr=1.0, project_nonneg=False)
    assert (x < 0).any()
    x, _ = fit(noisy, x0=start, lr=1.0)
    assert (x >= 0).all()


def test_callbacks(built):
    epochs, batches = [], []
    x, stats = fit(
        built,
        epochs=3,
        on_epoch_end=lambda epoch, x: epochs.append((epoch, x.copy())),
        on_batch=batches.append,
    )
    assert [epoch for epoch, _ in epochs] == [1, 2, 3]
    assert len(batches) == 3 * 7
    assert all(rmse >= 0 for rmse in batches)
    assert epochs[0][1].shape == (5, 12)
    np.testing.assert_array_equal(epochs[-1][1].ravel(), x)
    rms = np.sqrt(np.mean(np.square(batches).reshape(3, 7), axis=1))
    np.testing.assert_allclose(stats["train_rmse"], rms)


def test_a_callback_that_raises_ends_the_fit_and_commits_nothing(built):
    def stop(epoch, x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(built, on_epoch_end=stop)
    with h5py.File(built) as file:
        assert "X_global" not in file


def test_threads_are_limited_during_the_fit(built):
    seen = []
    before = [i["num_threads"] for i in threadpool_info()]
    fit(
        built,
        blas_threads=1,
        on_batch=lambda _rmse: seen.extend(
            i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas"
        ),
    )
    assert set(seen) == {1}
    assert [i["num_threads"] for i in threadpool_info()] == before


def test_another_writer_is_noticed_before_the_work(built, started):
    told = f"being written by process {os.getpid()}"
    with writer_lock(built), pytest.raises(LockedError, match=told):
        fit(built)
    assert started == []


def test_the_file_is_looked_at_again(built, problem, make_problem):
    """Another process may populate it anew between two fits."""
    runner = PipelineRunner(built)
    assert runner.dims["nSpat"] == 7
    other = make_problem(S=4, C=3)
    other.populate(built, overwrite=True)
    x, _ = runner.solve_all(x0=np.ones(36), verbose=False)
    assert x.shape == (36,)


def test_smallest_problem(make_problem, tmp_path):
    problem = make_problem(S=1, C=1, axes=(1,), L=2)
    path = problem.populate(tmp_path / "cube.h5")
    x, _ = fit(path, epochs=40, lr=1.0, orbit_weights=[3.0], ratio_use=True)
    assert x == pytest.approx(problem.x_true.ravel(), rel=1e-3)


def test_a_missing_file(tmp_path):
    with pytest.raises(StoreError, match="does not exist"):
        PipelineRunner(tmp_path / "cube.h5")


def test_through_a_link(built, tmp_path):
    link = tmp_path / "link.h5"
    link.symlink_to(built)
    x, _ = fit(str(link))
    np.testing.assert_array_equal(x_global(built), x)
    assert link.is_symlink()


def test_a_solution_that_cannot_be_written_is_returned_all_the_same(built, caplog, monkeypatch):
    def refuse(*_args):
        raise StoreError("the disk is full: make space")

    monkeypatch.setattr(pipeline_runner, "write_solution", refuse)
    x, stats = PipelineRunner(built).solve_all(verbose=False)
    assert x.any()
    assert stats["committed"] is False
    assert "returned but not in the file: the disk is full" in caplog.text


@pytest.mark.parametrize("hook", ["on_epoch_end", "on_batch"])
def test_a_hook_that_is_no_function_is_refused(populated, hook):
    with pytest.raises(ConfigError, match=f"{hook}=3: give a function"):
        PipelineRunner(populated).solve_all(verbose=False, **{hook: 3})


def test_a_file_that_is_replaced_meanwhile_costs_no_solution(populated, problem, caplog):
    def replace(epoch, x):
        if epoch == 2:
            problem.populate(populated.with_name("other.h5")).replace(populated)

    x, _ = PipelineRunner(populated).solve_all(epochs=4, verbose=False, on_epoch_end=replace)
    assert np.isfinite(x).all()
    assert "changed or replaced it meanwhile" in caplog.text
