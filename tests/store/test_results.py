import h5py
import numpy as np
import pytest

from cubefit.errors import InputError, MissingDataError
from cubefit.store import results
from cubefit.store.digests import digest_of_fit, digest_of_models


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
