"""A file to be watched: what is seen of it in each of its states."""

import itertools
import shutil
import time

import h5py
import numpy as np
import pytest

from cubefit import build_hypercube
from cubefit.config import TrackerConfig
from cubefit.errors import StaleError
from cubefit.fit_tracker import FitTracker
from cubefit.live import LiveFile, headline, tone_of, what_is_fitted
from cubefit.live.file import LONGEST_REST_S
from cubefit.observation import Observation
from cubefit.pipeline_runner import PipelineRunner
from cubefit.reconstruction import reconstruct_matrix_free
from cubefit.results import FitResult
from cubefit.store.amend import sole_writer
from cubefit.store.file_status import BuildState
from cubefit.store.status_rows import tiles_told

ALWAYS = TrackerConfig(metrics_interval_sec=0, val_interval_sec=1e9, ckpt_interval_sec=1e9)


@pytest.fixture
def noisy(problem, tmp_path):
    """Data with noise of one per cent, and a pixel that is not used."""
    rng = np.random.default_rng(8)
    sigma = 0.01 * problem.datacube.mean()
    return problem.populate(
        tmp_path / "noisy.h5",
        datacube=problem.datacube + sigma * rng.standard_normal(problem.datacube.shape),
        noise=np.full(40, sigma),
        mask=np.arange(40) != 5,
    )


def seen(path):
    live = LiveFile(path)
    live.refresh()
    return live.now


def test_a_file_that_is_not_there_yet_is_waited_for(populated, tmp_path):
    live = LiveFile(tmp_path / "cube.h5")
    assert live.refresh()
    assert "does not exist yet" in headline(live.now)
    assert tone_of(live.now) == "waiting"
    assert not live.refresh()
    shutil.copy(populated, live.path)
    assert live.refresh()
    assert live.now.problem == ""
    assert "The file is populated, nothing is fitted yet" in headline(live.now)


@pytest.mark.parametrize("content", [b"", b"not HDF5 at all", None])
def test_a_file_that_cannot_be_read_says_so_until_it_can(populated, tmp_path, content):
    path = tmp_path / "cube.h5"
    path.write_bytes(populated.read_bytes()[:3000] if content is None else content)
    live = LiveFile(path)
    live.refresh()
    assert str(path) in headline(live.now)
    assert live.now.galaxy is None
    shutil.copy(populated, path)
    assert live.refresh()
    assert live.now.galaxy is not None


def test_it_looks_again_only_when_something_was_written(populated):
    live = LiveFile(populated)
    assert live.refresh()
    first = live.now
    assert not live.refresh()
    assert live.now is first
    PipelineRunner(populated).solve_all(method="exact", verbose=False)
    assert live.refresh()
    assert live.now.number > first.number
    assert live.now.galaxy is first.galaxy


def test_a_committed_solution_is_shown(noisy):
    x, stats = PipelineRunner(noisy).solve_all(
        method="exact", orbit_weights=np.arange(1.0, 6.0), verbose=False
    )
    look = seen(noisy)
    np.testing.assert_array_equal(look.weights.x.ravel(), x)
    assert look.weights.told.startswith("solution saved at 2")
    np.testing.assert_array_equal(look.orbit_weights, np.arange(1.0, 6.0))
    assert tone_of(look) == "doubtful"
    assert f"chi2 per voxel {stats['chi2_per_voxel']:.4g}" in headline(look)
    assert "No other weights lower the objective by more than" in headline(look)


@pytest.mark.parametrize(
    ("scale", "tone", "said"),
    [
        (1.0, "done", " (about 1 is a fit within the noise)"),
        (0.75, "doubtful", ", above the 1 of a fit within the noise"),
        (0.25, "doubtful", ", far above the 1 of a fit within the noise"),
        (1.5, "doubtful", ", below the 1 of a fit within the noise"),
        (9.0, "doubtful", ", far below the 1 of a fit within the noise"),
    ],
)
def test_a_fit_that_is_not_within_the_noise_says_so(problem, tmp_path, scale, tone, said):
    sigma = 0.01 * problem.datacube.mean()
    error = sigma * np.random.default_rng(8).standard_normal(problem.datacube.shape)
    data, noise = problem.datacube + error, np.full(40, scale * sigma)
    path = problem.populate(tmp_path / "cube.h5", datacube=data, noise=noise)
    _, stats = PipelineRunner(path).solve_all(method="exact", verbose=False)
    look = seen(path)
    assert tone_of(look) == tone
    assert f"chi2 per voxel {stats['chi2_per_voxel']:.4g}{said}" in headline(look)


def test_a_fit_is_judged_by_what_noise_alone_leaves(problem, tmp_path):
    sigma = 0.01 * problem.datacube.mean()
    error = 0.6 * sigma * np.random.default_rng(8).standard_normal(problem.datacube.shape)
    settings = {"datacube": problem.datacube + error, "noise": np.full(40, sigma)}
    path = problem.populate(tmp_path / "cube.h5", **settings)
    PipelineRunner(path).solve_all(method="exact", verbose=False)
    assert tone_of(seen(path)) == "doubtful"
    problem.populate(path, observation=Observation(noise_chi2=0.36), **settings)
    look = seen(path)
    assert tone_of(look) == "done"
    assert "(about 0.36 is a fit within the noise)" in headline(look)


def test_a_fit_without_noise_is_not_doubted(populated):
    PipelineRunner(populated).solve_all(epochs=1, verbose=False)
    assert tone_of(seen(populated)) == "done"


def test_a_kaczmarz_solution_does_not_claim_to_be_an_optimum(populated):
    PipelineRunner(populated).solve_all(epochs=2, verbose=False)
    said = headline(seen(populated))
    assert "2 epochs of Kaczmarz, whose distance to the optimum is unknown" in said
    assert "no noise was given" in said


def test_a_fit_under_way_is_seen_and_so_is_its_end(noisy):
    live = LiveFile(noisy)
    with FitTracker(noisy, ALWAYS) as tracker:
        tracker.begin(run={"method": "exact"}, fresh=True)
        live.refresh()
        assert "A fit is being prepared" in headline(live.now)
        assert live.now.weights is None
        for k in (1, 2):
            tracker.maybe_save(np.full(60, k / 3.0), k, chi2=273.0 / k, gap_rel=0.1, keep=True)
            deadline = time.monotonic() + 30
            while live.now.history is None or live.now.history.n_rows < k:
                assert time.monotonic() < deadline
                time.sleep(0.05)
                live.refresh()
        assert tone_of(live.now) == "running"
        assert "Fitting: round 2, chi2 per voxel 0.5" in headline(live.now)
        assert "at most 10 % above the optimum" in headline(live.now)
        assert live.now.weights.told == "fit under way, round 2"
        np.testing.assert_allclose(live.now.weights.x, 2.0 / 3.0, rtol=1e-6)
        tracker.finish(np.ones(60), 3, state={"round": 3.0})
    live.refresh()
    assert tone_of(live.now) == "stopped"
    assert "A fit was stopped after round 3" in headline(live.now)
    assert live.now.weights.told == "unfinished fit, round 3"
    np.testing.assert_array_equal(live.now.weights.x, 1.0)


def test_a_build_is_followed_tile_by_tile(populated):
    live = LiveFile(populated)
    build_hypercube(populated, S_chunk=3, C_chunk=2, P_chunk=5, verbose=False)
    live.refresh()
    assert live.now.done.shape == (3, 3, 3)
    assert live.now.done.all()
    assert "The HyperCube is built, nothing is fitted yet" in headline(live.now)
    with sole_writer(populated, "build") as lock:
        lock.tell(filling_since=time.time() - 10.0, tiles_before=7)
        live.refresh()
        assert "Building the HyperCube: 27 of 27 tiles (100 %)" in headline(live.now)
        assert 0 < live.now.status.build.tiles_per_s <= 2.0


def test_other_inputs_in_its_place_are_another_galaxy(problem, populated):
    live = LiveFile(populated)
    live.refresh()
    before = live.now.galaxy
    problem.populate(populated, datacube=2.0 * problem.datacube, overwrite=True)
    live.refresh()
    assert live.now.galaxy is not before
    np.testing.assert_allclose(live.now.galaxy.flux, 2.0 * before.flux)


@pytest.mark.parametrize("normalization", ["losvd", "unit"])
def test_a_spaxel_and_its_model_are_those_of_the_whole_fit(noisy, normalization):
    x = np.random.default_rng(1).random((5, 12))
    galaxy = seen(noisy).galaxy
    expected = reconstruct_matrix_free(noisy, x, normalization)
    for spaxel in (0, 6):
        found = galaxy.model_spectrum(spaxel, x, normalization)
        np.testing.assert_allclose(found, expected[spaxel], rtol=1e-9, atol=1e-12)
    result = FitResult.from_file(noisy, x, normalization=normalization)
    np.testing.assert_allclose(galaxy.moments(normalization), result.moments)


def test_a_spaxel_is_read_with_its_noise_and_masks(problem, tmp_path):
    data = problem.datacube.copy()
    data[2, 5] = np.nan
    voxel_mask = np.ones(data.shape, bool)
    voxel_mask[2, 5:7] = False
    path = problem.populate(
        tmp_path / "cube.h5",
        datacube=data,
        noise=np.linspace(1, 2, 40),
        mask=np.arange(40) != 3,
        voxel_mask=voxel_mask,
    )
    galaxy = seen(path).galaxy
    spectrum = galaxy.spectrum(2)
    used = np.ones(40, bool)
    used[[3, 5, 6]] = False
    np.testing.assert_array_equal(spectrum.used, used)
    np.testing.assert_allclose(spectrum.noise, np.linspace(1, 2, 40))
    np.testing.assert_array_equal(spectrum.data, data[2])
    measured = voxel_mask[2]
    np.testing.assert_array_equal(spectrum.measured, measured)
    np.testing.assert_array_equal(spectrum.measured_data, np.where(measured, data[2], np.nan))
    assert galaxy.flux[2] == pytest.approx(data[2, used].mean())
    assert galaxy.n_voxels == 7 * 39 - 2


def test_what_is_fitted_is_said_in_numbers(problem, tmp_path):
    axes = {"metallicity": [-1, 0], "age": [1, 3, 10], "alpha": [0.0, 0.4]}
    path = problem.populate(tmp_path / "cube.h5", template_axes=axes)
    said = what_is_fitted(seen(path).galaxy)
    assert "7 spaxels x 40 pixels" in said
    assert "5 orbit components x 12 stellar populations" in said
    assert "(2 [M/H] x 3 age x 2 [alpha/Fe]): 60 weights" in said


def test_a_passing_error_is_no_end_of_the_watch(populated, monkeypatch):
    live = LiveFile(populated)

    def stale(path):
        raise OSError("Stale file handle")

    with monkeypatch.context() as patched:
        patched.setattr("cubefit.live.file.who_writes", stale)
        assert live.refresh()
        assert "Stale file handle" in headline(live.now)
    assert live.refresh()
    assert live.now.problem == ""


def test_what_is_known_of_components_is_seen_when_it_changes(problem, populated):
    live = LiveFile(populated)
    live.refresh()
    assert live.now.galaxy.component_properties == {}
    problem.populate(populated, component_properties={"radius [kpc]": range(5)})
    assert live.refresh()
    assert list(live.now.galaxy.component_properties) == ["radius [kpc]"]


def test_what_is_said_of_the_data_is_seen_when_it_changes(problem, populated):
    live = LiveFile(populated)
    live.refresh()
    assert (live.now.galaxy.flux_unit, live.now.galaxy.pixel_unit) == ("data unit", "as given")
    seen = Observation(name="NGC 4365", flux_unit="1e-20 erg/s/cm^2/AA", pixel_unit="arcsec")
    problem.populate(populated, observation=seen)
    assert live.refresh()
    galaxy = live.now.galaxy
    assert (galaxy.flux_unit, galaxy.pixel_unit) == ("10⁻²⁰ erg s⁻¹ cm⁻² Å⁻¹", "arcsec")
    assert what_is_fitted(galaxy).startswith("NGC 4365: 7 spaxels x 40 pixels")


def test_a_file_made_anew_under_the_same_inode_is_another_galaxy(problem, populated, monkeypatch):
    live = LiveFile(populated)
    live.refresh()
    before = live.now.galaxy
    inode = populated.stat().st_ino
    fresh = problem.populate(populated.with_name("fresh.h5"), datacube=2.0 * problem.datacube)
    populated.write_bytes(fresh.read_bytes())
    assert populated.stat().st_ino == inode
    assert live.refresh()
    np.testing.assert_allclose(live.now.galaxy.flux, 2.0 * before.flux)
    with pytest.raises(StaleError, match="holds other inputs now"):
        before.spectrum(0)
    with pytest.raises(StaleError, match="holds other inputs now"):
        before.moments("losvd")


def test_looks_rest_from_each_other_unless_a_writer_comes_or_goes(populated, monkeypatch):
    monkeypatch.setattr("cubefit.live.file.time.monotonic", lambda: 0.0)
    monkeypatch.setattr("cubefit.live.file.time.thread_time", itertools.count(10.0).__next__)
    live = LiveFile(populated)
    assert live.refresh(rested=True)
    populated.touch()
    assert not live.refresh(rested=True)
    with sole_writer(populated, "fit") as lock:
        assert live.refresh(rested=True)
        lock.tell(epoch=3)
        assert not live.refresh(rested=True)
    assert live.refresh(rested=True)
    populated.touch()
    assert not live.refresh(rested=True)
    monkeypatch.setattr("cubefit.live.file.time.monotonic", lambda: LONGEST_REST_S)
    assert live.refresh(rested=True)


def test_the_same_problem_again_is_no_news(tmp_path):
    path = tmp_path / "cube.h5"
    path.write_bytes(b"no HDF5")
    live = LiveFile(path)
    assert live.refresh()
    number = live.now.number
    assert not live.refresh()
    assert live.now.number == number


def test_a_fit_is_shown_with_the_normalization_and_the_method_that_it_has(noisy):
    with FitTracker(noisy, ALWAYS) as tracker:
        tracker.begin(run={"method": "exact"}, normalization="unit", fresh=True)
        tracker.finish(np.ones(60), 3, state={"round": 3.0})
        look = seen(noisy)
        assert look.weights.normalization == "unit"
        assert look.history.method == "exact"
    with FitTracker(noisy, ALWAYS) as tracker:
        # Its first checkpoint is still to come, the latest is that of the fit before.
        tracker.begin(run={"method": "kaczmarz"}, normalization="losvd")
        look = seen(noisy)
        assert look.status.fit.method == look.history.method == "kaczmarz"
        assert look.weights.normalization == "losvd"
        assert look.weights.told == "fit under way, epoch 3"


def test_weights_are_shown_beside_the_orbit_weights_of_their_own_fit(noisy):
    runner = PipelineRunner(noisy)
    first, second = np.arange(1.0, 6.0), np.arange(5.0, 0.0, -1.0)
    runner.solve_all(method="exact", orbit_weights=first, verbose=False)
    runner.solve_all(method="exact", orbit_weights=second, tracker=False, verbose=False)
    np.testing.assert_array_equal(seen(noisy).orbit_weights, second)
    np.testing.assert_array_equal(FitResult.from_file(noisy).orbit_weights, second)
    runner.solve_all(method="exact", tracker=False, verbose=False)
    assert seen(noisy).orbit_weights is None
    with FitTracker(noisy, ALWAYS) as tracker:
        tracker.set_orbit_weights(first)
        tracker.begin(run={"method": "exact"}, fresh=True)
        tracker.finish(np.ones(60), 1, state={"round": 1.0})
    np.testing.assert_array_equal(seen(noisy).orbit_weights, first)
    assert FitResult.from_file(noisy).orbit_weights is None


def test_a_solution_committed_after_a_stopped_fit_is_the_newest(noisy):
    with FitTracker(noisy, ALWAYS) as tracker:
        tracker.begin(run={"method": "exact"}, fresh=True)
        tracker.finish(np.ones(60), 1, state={"round": 1.0})
    x, _ = PipelineRunner(noisy).solve_all(
        method="exact", tracker=False, warm_start="zeros", verbose=False
    )
    np.testing.assert_array_equal(seen(noisy).weights.x.ravel(), x)


@pytest.mark.parametrize(("done", "said"), [(199, "99 %"), (200, "100 %")])
def test_not_all_tiles_are_done_before_they_are(done, said):
    build = BuildState(
        shape=(1, 1, 1, 1),
        n_bytes=1,
        normalization="losvd",
        compression="none",
        tiles_done=done,
        tiles_total=200,
        tiles_per_s=float("nan"),
        left_s=float("nan"),
    )
    assert said in tiles_told(build)


def edited(path, change):
    with h5py.File(path, "r+") as file:
        change(file)


def replaced(file, name, values):
    del file[name]
    file[name] = values


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: replaced(f, "X_global", np.ones(7)), "holds what no CubeFit wrote"),
        (lambda f: replaced(f, "X_global", np.full(60, np.nan)), "hold NaN or infinite values"),
        (lambda f: replaced(f, "HyperCube/_done", np.ones((2, 2), "u1")), "tiles of shape (2, 2)"),
        (lambda f: replaced(f, "Fit/metrics/n", np.int64(9999)), "holds what no CubeFit wrote"),
        (lambda f: f.attrs.update({"dims": "{}"}), "not the sizes of the arrays"),
    ],
)
def test_a_damaged_file_is_a_sentence_and_not_the_end_of_the_watch(built, change, said):
    PipelineRunner(built).solve_all(method="exact", verbose=False)
    whole = built.read_bytes()
    live = LiveFile(built)
    live.refresh()
    edited(built, change)
    assert live.refresh()
    assert said in headline(live.now)
    built.write_bytes(whole)
    assert live.refresh()
    assert "Fitted" in headline(live.now)
