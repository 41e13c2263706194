"""The history of a fit as columns."""

import numpy as np
import pytest

from cubefit.config import TrackerConfig
from cubefit.fit_tracker import FitTracker
from cubefit.pipeline_runner import PipelineRunner
from cubefit.store import schema
from cubefit.store.history import read_history


def test_a_file_without_a_fit_has_no_rows(populated):
    history = read_history(populated)
    assert history.n_rows == 0
    assert history.method == ""
    assert set(history.columns) == set(schema.METRICS)


def test_the_rows_are_what_the_solver_told(populated):
    cfg = TrackerConfig(metrics_interval_sec=0, val_interval_sec=0, ckpt_interval_sec=0)
    with FitTracker(populated, cfg) as tracker:
        tracker.begin(run={"method": "mine"})
        tracker.finish(np.ones(60), 2, chi2=8.0, objective=10.0)
    history = read_history(populated)
    assert history.method == "mine"
    assert history.n_rows == 1
    assert history.columns["objective"].tolist() == [10.0]
    assert history.columns["chi2"].tolist() == [8.0]
    assert np.isnan(history.columns["gap_rel"]).all()


@pytest.mark.parametrize("method", ["exact", "kaczmarz"])
def test_the_last_row_of_a_fit_has_its_objective(populated, method):
    _, stats = PipelineRunner(populated).solve_all(
        method=method, orbit_weights=np.ones(5), verbose=False
    )
    columns = read_history(populated).columns
    wanted = stats["objective"] if method == "exact" else 0.5 * stats["chi2"]
    assert columns["objective"][-1] == pytest.approx(wanted, rel=1e-9)
    assert read_history(populated).method == method
