"""What is in a file, in words and for scripts."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest

import cubefit
from cubefit.errors import StoreError
from cubefit.store.file_info import file_info

AXES = {"metallicity": [-1.0, 0.1], "age": [1.0, 3.0, 9.0], "alpha": [0.0, 0.4]}


@pytest.fixture
def full(problem, tmp_path):
    """A file with everything that users can bring."""
    S, L = problem.datacube.shape
    used = np.ones((S, L), bool)
    used[0, :3] = False
    return problem.populate(
        tmp_path / "full.h5",
        noise=np.full(L, 0.1),
        mask=np.arange(L) > 1,
        voxel_mask=used,
        template_axes=AXES,
        template_masses=np.ones(12),
        xpix=np.arange(8.0),
        ypix=np.zeros(8),
        binnum=np.array([0, 1, 2, 3, 4, 5, 6, 6]),
        orbit_weights=np.ones(5),
        component_properties={"radius [kpc]": np.arange(5.0)},
    )


def test_everything_that_was_given_is_told(full):
    rows = dict(file_info(full).rows())
    assert rows["axis metallicity"] == "2: -1 to 0.1 dex"
    assert rows["axis age"] == "3: 1 to 9 Gyr"
    assert rows["noise"] == "one sigma, (L)"
    assert rows["mask"] == "38 of 40 pixels in use"
    assert rows["voxel mask"] == "277 of 280 voxels in use"
    assert rows["image"] == "8 image pixels"
    assert (rows["template masses"], rows["orbit weights"]) == ("given", "given")
    assert rows["components"] == "radius [kpc]"


def test_little_is_told_of_little(populated):
    rows = dict(file_info(populated).rows())
    assert {rows[name] for name in ("noise", "mask", "voxel mask", "image")} == {"not given"}
    assert rows["axes of templates"] == "(2, 3, 2), values not given"
    assert list(file_info(populated).products) == ["/R_T"]


def test_reconstructions_of_any_name_are_told(built, problem):
    for name in ("ModelCube", "other"):
        cubefit.reconstruct_model_cube_single(built, problem.x_true, name, verbose=False)
    assert set(file_info(built).products) == {"/R_T", "/HyperCube/models", "/ModelCube", "/other"}


def test_it_is_plain_for_scripts(full):
    facts = json.loads(json.dumps(file_info(full).as_json()))
    assert facts["velocities"] == {
        "n": 9, "first": -400.0, "last": 400.0, "unit": "km/s", "step_kms": 100.0
    }  # fmt: skip
    assert facts["template_shape"] == [2, 3, 2]
    assert facts["coverage"]["safe"] is True


def test_notebooks_and_python_have_it(full):
    table = cubefit.file_info(str(full))._repr_html_()
    assert table.startswith(f"<table><caption>{full}</caption>")
    assert "38 of 40 pixels in use" in table


def test_an_odd_version_is_an_error_of_one_sentence(populated):
    with h5py.File(populated, "r+") as file:
        file.attrs["cubefit_format"] = "one"
    with pytest.raises(StoreError, match="damaged"):
        file_info(populated)


@pytest.mark.parametrize("values", [[], "text"])
def test_a_grid_that_is_none_is_an_error_too(populated, values):
    with h5py.File(populated, "r+") as file:
        del file["VelPix"]
        file["VelPix"] = values
    with pytest.raises(StoreError, match="no CubeFit wrote"):
        file_info(populated)


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(StoreError, match="does not exist"):
        cubefit.file_info(tmp_path / "none.h5")
