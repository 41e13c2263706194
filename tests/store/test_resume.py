import time

import h5py
import numpy as np
import pytest

from cubefit.errors import StaleError, StoreError
from cubefit.store.amend import amended
from cubefit.store.checkpoints import Checkpoint
from cubefit.store.digests import digest_of_fit
from cubefit.store.fit_file import FitFile
from cubefit.store.fit_group import FitSizes, finish_fit_group, prepare_fit_group
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
        write_solution(file, x, RUN | {"digest": digest}, info)


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
    with pytest.raises(StaleError, match=r"/X_global in .* other inputs.*warm_start='zeros'"):
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


STATE = {"first_epoch": 1, "epoch": 4, "position": 3, "squares": 0.1 + 0.2, "n_lit": 3}


def save(path, digest, *, n_weights=60, value=1.0, best=False, **changes):
    """Write a checkpoint of an unfinished fit as its tracker would."""
    sample = np.arange(2, dtype=np.int32)
    sizes = FitSizes(n_weights=n_weights, ring_size=2, spaxels=sample, pixels=sample)
    run = RUN | {"digest": digest, "normalization": "losvd"} | changes.pop("run", {})
    facts = {"epoch": 4, "elapsed_s": 9.0, "written": time.time() + 9.0, "state": STATE, "run": run}
    with amended(path) as clone:
        prepare_fit_group(clone, sizes, fresh=False)
    with FitFile(path) as file:
        file.save(Checkpoint(x=np.full(n_weights, value), **(facts | changes)), best=best)


def test_an_unfinished_fit_comes_first(populated, digest, problem):
    commit(populated, problem.x_true, digest, {"normalization": "losvd"})
    save(populated, digest, value=1.0, best=True)
    save(populated, digest, value=2.0)
    found = read_solution(populated, "losvd")
    assert (found.path, found.epochs, found.seed) == ("/Fit/x_latest", 4, 3)
    assert (found.state, found.elapsed_s) == (STATE, 9.0)
    assert found.x.shape == (5, 12)
    assert (found.x == 2.0).all()


@pytest.mark.parametrize(
    "changes",
    [
        {"run": {"settings": {"lr": 0.5, "seed": 3}}},
        {"run": {"method": "exact"}},
        {"run": {"settings": None}},
        {"state": {}},
        {"finished": True},
    ],
)
def test_otherwise_the_best_and_the_epochs_of_the_latest(populated, digest, problem, changes):
    commit(populated, problem.x_true, digest, {"normalization": "losvd"})
    save(populated, digest, value=1.0, best=True, epoch=2)
    save(populated, digest, value=2.0, **changes)
    found = read_solution(populated, "losvd")
    assert (found.path, found.epochs, found.state) == ("/Fit/x_best", 4, {})
    assert (found.x == 1.0).all()


def test_without_a_best_the_committed_solution(populated, digest, problem):
    commit(populated, problem.x_true, digest, {"normalization": "losvd", "epochs_total": 7})
    save(populated, digest, finished=True)
    found = read_solution(populated, "losvd")
    assert (found.path, found.epochs) == ("/X_global", 7)


def test_the_end_of_a_fit_is_known(populated, digest):
    save(populated, digest, best=True)
    assert read_solution(populated, "losvd").state == STATE
    for x, path in ((2.0, "/Fit/x_latest"), (1.0, "/Fit/x_best")):
        with amended(populated) as clone:
            finish_fit_group(clone, np.full((5, 12), x))
        assert read_solution(populated, "losvd").path == path


@pytest.mark.parametrize(
    ("settings", "path"),
    [({"lr": 0.25, "seed": 3}, "/X_global"), ({"lr": 0.5, "seed": 3}, "/Fit/x_latest")],
)
def test_a_later_solution_without_a_checkpoint(populated, digest, settings, path):
    """It completes an unfinished fit of its own kind, and no other."""
    save(populated, digest, best=True, written=time.time() - 9.0)
    with open_h5(populated, "writer") as file:
        run = RUN | {"digest": digest, "settings": settings}
        write_solution(file, np.ones((5, 12)) * 3.0, run, {})
    assert read_solution(populated, "losvd").path == path
    save(populated, digest, best=True, finished=True, written=time.time() - 9.0)
    assert read_solution(populated, "losvd").path == "/X_global"
    save(populated, digest, best=True, finished=True)
    assert read_solution(populated, "losvd").path == "/Fit/x_best"


@pytest.mark.parametrize("best", [True, False])
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"run": {"digest": "other"}}, "from other inputs"),
        ({"run": {"digest": None}}, "from other inputs"),
        ({"run": {"normalization": "unit"}}, "normalization='unit', not 'losvd'"),
        ({"n_weights": 59}, "from other inputs"),
    ],
)
def test_a_checkpoint_of_something_else_is_stale(populated, digest, changes, words, best):
    save(populated, digest, best=best, **changes)
    before = populated.read_bytes()
    with pytest.raises(StaleError, match=rf"/Fit/x_latest in .*{words}.*warm_start='zeros', or"):
        read_solution(populated, "losvd")
    assert populated.read_bytes() == before


def test_a_damaged_checkpoint_is_named(populated, digest):
    save(populated, digest)
    with h5py.File(populated, "r+") as file:
        file["/Fit/x_latest"][7] += 1e-9
    with pytest.raises(StoreError, match=r"damaged .*warm_start='zeros', or pass x0"):
        read_solution(populated, "losvd")
