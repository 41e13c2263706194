import h5py
import numpy as np
import pytest

from cubefit.errors import StaleError
from cubefit.store.digests import digest_of_fit
from cubefit.store.handle import open_h5
from cubefit.store.results import write_solution
from cubefit.store.resume import Wanted, read_earlier


@pytest.fixture
def digest(populated):
    with open_h5(populated, "reader") as file:
        return digest_of_fit(file)


RUN = {"method": "kaczmarz", "settings": {"lr": 0.25, "seed": 3}}


def read_solution(path, normalization):
    with open_h5(path, "reader") as file:
        current = digest_of_fit(file)
    run = RUN | {"digest": current}
    return read_earlier(path, Wanted(digest=current, normalization=normalization, run=run))


def commit(path, x, digest, info):
    with open_h5(path, "writer") as file:
        write_solution(file, x, digest, info)


def test_a_solution_comes_back(populated, digest, problem):
    assert read_solution(populated, "losvd") is None
    commit(populated, problem.x_true, digest, {"normalization": "losvd", "seed": 3})
    found = read_solution(populated, "losvd")
    assert (found.path, found.seed, found.epochs, found.state) == ("/X_global", 3, 0, {})
    np.testing.assert_array_equal(found.x, problem.x_true)
    with h5py.File(populated) as file:
        assert file["/X_global"].shape == (60,)
        assert file["/X_global"].attrs["seed"] == 3


@pytest.mark.parametrize("name", ["/LOSVD", "/Templates", "/DataCube", "/Noise", "/VelPix"])
def test_a_solution_of_other_inputs_is_stale(populated, digest, problem, name):
    commit(populated, problem.x_true, digest, {})
    with open_h5(populated, "writer") as file:
        if name in file:
            file[name][...] = file[name][()] * 1.001
        else:
            file[name] = np.ones(40)
    with pytest.raises(StaleError, match=r"/X_global in .* other inputs.*warm_start='jacobi'"):
        read_solution(populated, "losvd")


def test_a_solution_of_another_normalization_is_stale(populated, digest, problem):
    commit(populated, problem.x_true, digest, {"normalization": "unit"})
    assert read_solution(populated, "unit") is not None
    with pytest.raises(StaleError, match="fitted with normalization='unit', not 'losvd'"):
        read_solution(populated, "losvd")


def test_a_solution_without_a_digest_is_stale(populated):
    with h5py.File(populated, "r+") as file:
        file["/X_global"] = np.ones(60)
    with pytest.raises(StaleError):
        read_solution(populated, "losvd")


def test_what_does_not_matter_does_not_make_it_stale(populated, digest, problem):
    commit(populated, problem.x_true, digest, {})
    with open_h5(populated, "writer") as file:
        file.attrs["note"] = "mine"
        del file["/R_T"]
    assert read_solution(populated, "losvd") is not None
