import h5py
import numpy as np
import pytest

from cubefit.errors import InputError, MissingDataError, StaleError
from cubefit.store import results
from cubefit.store.digests import digest_of_fit, digest_of_models
from cubefit.store.handle import open_h5


def test_a_missing_model_cube_is_named(populated):
    with pytest.raises(MissingDataError, match=r"Missing /ModelCube.*run reconstruct_model_cube"):
        results.read_model_cube(populated)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "a/b", "DataCube", "Fit", "HyperCube", "X_global", "R_T", "a\0b", "../x", "\n"],
)
def test_names_that_are_taken_or_no_names(name):
    with pytest.raises(InputError, match=r"array_name=.*plain name"):
        results.require_result_name(name)


@pytest.mark.parametrize("name", ["ModelCube", "Model 2", "best-fit", "v1.2", "Modèle"])
def test_plain_names(name):
    results.require_result_name(name)


def test_digests_see_values_shapes_and_types():
    arrays = {
        "/LOSVD": np.zeros((2, 3, 4), np.float32),
        "/Templates": np.ones((2, 5), np.float32),
        "/DataCube": np.ones((2, 4)),
    }
    changes = [
        {"/LOSVD": np.zeros((3, 2, 4), np.float32)},
        {"/LOSVD": np.zeros((2, 3, 4), np.float64)},
        {"/Templates": np.full((2, 5), 2.0, np.float32)},
        {"/VelPix": np.arange(3.0)},
    ]
    seen = {digest_of_models(arrays | change) for change in [{}, *changes]}
    assert len(seen) == 5
    assert digest_of_models(arrays | {"/DataCube": np.zeros((2, 4))}) == digest_of_models(arrays)
    assert digest_of_fit(arrays | {"/DataCube": np.zeros((2, 4))}) != digest_of_fit(arrays)


def test_digests_of_a_file_and_of_its_arrays_agree(populated):
    with h5py.File(populated) as file:
        arrays = {f"/{n}": np.asfortranarray(file[n][()]) for n in file}
        assert digest_of_fit(file) == digest_of_fit(arrays)


def test_template_masses_are_in_no_digest(populated):
    with h5py.File(populated) as file:
        arrays = {f"/{n}": file[n][()] for n in file}
    with_masses = arrays | {"/TemplateMass": np.ones(12)}
    assert digest_of_fit(with_masses) == digest_of_fit(arrays)
    assert digest_of_models(with_masses) == digest_of_models(arrays)


def test_a_solution_comes_back_with_what_stands_beside_it(populated):
    x = np.random.default_rng(4).random((5, 12))
    run = {"digest": "abc", "method": "kaczmarz", "priors": {"ratio_use": None}}
    with open_h5(populated, "writer") as file:
        results.write_solution(file, x, run, {"chi2": 3.5, "n_voxels": 280})
    with open_h5(populated, "reader") as file:
        found = results.read_solution(file, populated, "abc", (5, 12))
        with pytest.raises(StaleError, match=r"/X_global in .*other inputs"):
            results.read_solution(file, populated, "abd", (5, 12))
        with pytest.raises(StaleError, match=r"/X_global in .*other inputs"):
            results.read_solution(file, populated, "abc", (5, 11))
    np.testing.assert_array_equal(found.x, x)
    assert found.run == run
    assert {"chi2": 3.5, "n_voxels": 280, "inputs_digest": "abc"}.items() <= found.facts.items()
    assert "written" in found.facts
