"""The demo: the main job on a real orbit library and real SSP spectra."""

from __future__ import annotations

import shutil
from dataclasses import replace

import h5py
import numpy as np
import pytest

from cubefit import open_h5
from cubefit.config import SolverCfg
from cubefit.demo import SIZES, make_mock, mean_age_gyr, mean_rms, run_demo, total_error
from cubefit.errors import ConfigError
from cubefit.inverse.matrix_free import MatrixFreeOperator
from cubefit.inverse.means import component_masses
from cubefit.inverse.misfit import Misfit
from cubefit.inverse.seeds import jacobi_seed
from cubefit.inverse.shares import one_share
from cubefit.kaczmarz_solver import solve_global_kaczmarz
from cubefit.pipeline_runner import PipelineRunner
from cubefit.store.load import read_model_inputs, read_observed


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return run_demo(tmp_path_factory.mktemp("demo"), verbose=False)


def test_mock_carries_the_library_s_masses():
    mock = make_mock("small")
    assert component_masses(mock.mass_true) == pytest.approx(mock.orbits.weights)
    assert mock.mass_true.min() >= 0


def test_mock_has_the_stated_noise():
    mock = make_mock("small")
    ratio = np.median(mock.arrays["datacube"], axis=1) / mock.arrays["noise"][:, 0]
    assert ratio == pytest.approx(SIZES["small"].signal_to_noise, rel=0.02)


def test_unknown_size_is_refused():
    with pytest.raises(ConfigError, match="'small', 'medium'"):
        make_mock("huge")


def test_fit_explains_the_spectra_as_the_truth_does(report):
    assert report.fit.stats["converged"]
    assert report.fit.stats["gap_rel"] <= 1e-6
    assert report.fit.stats["chi2_per_voxel"] == pytest.approx(report.true_chi2_per_voxel, rel=0.02)


def test_populations_of_the_components_are_recovered(report):
    assert report.total_mass == pytest.approx(1.0, rel=0.1)
    assert report.mass_error < 0.1
    assert report.log_age_rms < 0.15
    assert report.metal_rms < 0.15
    fitted, true = report.ages_by_light
    assert fitted == pytest.approx(true, rel=0.1)


def test_pictures_are_written(report):
    names = {path.name for path in report.fit.pictures}
    assert names == {"prefit.png", "spectra.png", "masses.png", "populations.png"}
    assert all(path.stat().st_size > 10_000 for path in report.fit.pictures)


def test_file_holds_every_product(report):
    with h5py.File(report.fit.h5_path, "r") as file:
        assert file["HyperCube/_done"][()].all()
        assert np.array_equal(file["X_global"][()], report.fit.x)
        assert np.array_equal(file["ModelCube"][()], report.fit.model)


def test_five_epochs_beat_one_which_beats_the_seed_which_beats_nothing(report):
    """With templates of equal light: on equal mass, sweeps crawl."""
    light = make_mock("small").light
    with open_h5(report.fit.h5_path, "reader") as file:
        observed, inputs = read_observed(file), read_model_inputs(file, "losvd")
    shifted = inputs.shifted_templates() / light[:, None].astype(np.float32)
    operator = MatrixFreeOperator(inputs.losvd, shifted)
    start = jacobi_seed(Misfit(one_share(operator, observed)))
    seed = observed.chi2(operator.matvec(start))
    nothing = observed.chi2(np.zeros(observed.data.shape))

    def chi2(epochs):
        cfg = SolverCfg(epochs=epochs)
        return solve_global_kaczmarz(operator, observed, start, cfg, verbose=False)[1]["chi2"]

    assert chi2(5) < chi2(1) < seed < nothing


def test_two_calls_of_one_epoch_are_one_call_of_two(report):
    runner = PipelineRunner(report.fit.h5_path)
    whole, _ = runner.solve_all(epochs=2, warm_start="jacobi", verbose=False)
    runner.solve_all(epochs=1, warm_start="jacobi", verbose=False)
    rest, stats = runner.solve_all(epochs=1, verbose=False)
    assert stats["epochs_total"] == 2
    assert np.array_equal(whole, rest)


def test_demo_of_other_settings_in_the_same_folder_replaces_the_file(report, tmp_path, monkeypatch):
    shutil.copytree(report.fit.h5_path.parent, tmp_path / "demo")
    fewer = replace(SIZES["small"], age_step=6)
    monkeypatch.setitem(SIZES, "small", fewer)
    assert run_demo(tmp_path / "demo", verbose=False).fit.x.size < report.fit.x.size


def test_running_it_again_goes_through_and_gives_the_same(report):
    again = run_demo(report.fit.h5_path.parent, verbose=False)
    assert np.array_equal(again.fit.x, report.fit.x)


def test_total_error_counts_misplaced_mass_per_component():
    true = np.array([[1.0, 1.0], [2.0, 0.0]])
    assert total_error(true[:, ::-1], true) == 0.0
    assert total_error(true[::-1] + 0.5, true) == pytest.approx(0.5)


def test_means_ignore_empty_components():
    found = np.array([[1.0, 0.0], [0.0, 0.0]])
    true = np.array([[0.0, 1.0], [1.0, 0.0]])
    assert mean_rms(found, true, np.array([0.0, 2.0])) == pytest.approx(2.0)
    assert mean_age_gyr(true, np.array([0.0, 1.0])) == pytest.approx(10**0.5)
