"""The status of a file in words."""

from __future__ import annotations

import numpy as np
import pytest

import cubefit
from cubefit.fit_tracker import FitTracker
from cubefit.pipeline_runner import PipelineRunner
from cubefit.store.status_rows import misfit, status_rows


def test_a_populated_file_has_no_more(populated):
    rows = status_rows(cubefit.file_status(populated))
    assert set(rows) == {"inputs", "models", "fit", "writer"}
    assert rows["inputs"].startswith("7 spaxels, 40 pixels, 5 components, 12 populations, 9 ")
    assert (rows["models"], rows["fit"]) == ("none", "none")


def test_a_notebook_shows_the_rows(built):
    PipelineRunner(built).solve_all(method="exact", verbose=False)
    status = cubefit.file_status(str(built))
    table = status._repr_html_()
    rows = status_rows(status)
    assert table.count("<tr>") == len(rows)
    assert "27 of 27 tiles (100 %)" in table
    assert "of the objective above the optimum" in rows["solution"]
    assert {"duality gap", "last checkpoint", "misfit", "weights"} <= set(rows)


def test_only_a_fit_that_is_not_over_is_so_far(built):
    with FitTracker(built) as tracker:
        tracker.begin(run={"method": "exact"}, fresh=True)
        tracker.finish(np.ones(60), 1, state={"round": 1.0})
    told = status_rows(cubefit.file_status(built))["fit"]
    assert told.endswith("s so far")
    PipelineRunner(built).solve_all(method="exact", warm_start="zeros", verbose=False)
    told = status_rows(cubefit.file_status(built))["fit"]
    assert ", took " in told
    assert "so far" not in told


def test_an_odd_name_is_shown_as_it_is(built):
    odd = built.rename(built.with_name("<b>.h5"))
    assert "&lt;b&gt;.h5</caption>" in cubefit.file_status(odd)._repr_html_()


@pytest.mark.parametrize(
    ("n_voxels", "has_noise", "text"),
    [(4, True, "chi2 16"), (4, False, "RMSE 2"), (0, False, "RMSE -")],
)
def test_without_noise_the_misfit_is_an_rmse(n_voxels, has_noise, text):
    assert misfit(16.0, n_voxels, has_noise=has_noise) == text
