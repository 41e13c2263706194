import h5py
import numpy as np
import pytest

from cubefit.errors import InputError, MissingDataError, StaleError
from cubefit.store import results
from cubefit.store.digests import digest_of_fit, digest_of_models
from cubefit.store.handle import open_h5


@pytest.fixture
def digest(populated):
    with open_h5(populated, "reader") as file:
        return digest_of_fit(file)


def read_solution(path, normalization):
    with open_h5(path, "reader") as file:
        current = digest_of_fit(file)
    return results.read_solution(path, normalization, current)


def test_a_solution_comes_back(populated, digest, problem):
    assert read_solution(populated, "losvd") is None
    results.write_solution(populated, problem.x_true, digest, {"normalization": "losvd", "seed": 3})
    where, x, *_ = read_solution(populated, "losvd")
    assert where == "/X_global"
    np.testing.assert_array_equal(x, problem.x_true)
    with h5py.File(populated) as file:
        assert file["/X_global"].shape == (60,)
        assert file["/X_global"].attrs["seed"] == 3


def test_the_best_solution_wins(populated, digest, problem):
    results.write_solution(populated, problem.x_true, digest, {})
    with open_h5(populated, "writer") as file:
        file["/Fit/x_best"] = 2.0 * problem.x_true.ravel()
        file["/Fit/x_best"].attrs["inputs_digest"] = digest
    where, x, *_ = read_solution(populated, "losvd")
    assert where == "/Fit/x_best"
    np.testing.assert_array_equal(x, 2.0 * problem.x_true)


@pytest.mark.parametrize("name", ["/LOSVD", "/Templates", "/DataCube", "/Noise", "/VelPix"])
def test_a_solution_of_other_inputs_is_stale(populated, digest, problem, name):
    results.write_solution(populated, problem.x_true, digest, {})
    with open_h5(populated, "writer") as file:
        if name in file:
            file[name][...] = file[name][()] * 1.001
        else:
            file[name] = np.ones(40)
    with pytest.raises(StaleError, match=r"/X_global in .* other inputs.*warm_start='jacobi'"):
        read_solution(populated, "losvd")


def test_a_solution_of_another_normalization_is_stale(populated, digest, problem):
    results.write_solution(populated, problem.x_true, digest, {"normalization": "unit"})
    assert read_solution(populated, "unit") is not None
    with pytest.raises(StaleError, match="fitted with normalization='unit', not 'losvd'"):
        read_solution(populated, "losvd")


def test_a_solution_without_a_digest_is_stale(populated):
    with h5py.File(populated, "r+") as file:
        file["/X_global"] = np.ones(60)
    with pytest.raises(StaleError):
        read_solution(populated, "losvd")


def test_what_does_not_matter_does_not_make_it_stale(populated, digest, problem):
    results.write_solution(populated, problem.x_true, digest, {})
    with open_h5(populated, "writer") as file:
        file.attrs["note"] = "mine"
        del file["/R_T"]
    assert read_solution(populated, "losvd") is not None


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
