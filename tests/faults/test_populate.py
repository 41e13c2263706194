"""Populating a file, killed at every call that changes something: there is a whole file or none."""

import h5py

from cubefit.store.handle import open_h5
from tests.conftest import make
from tests.faults import judge
from tests.faults.expected import inputs_of
from tests.faults.injection import AtCall
from tests.faults.processes import run

MOST_CALLS = 200
STRIDE = 5


def populate(path, tell, *, problem):
    problem.populate(path)


def test_killed_at_any_call(expected, tmp_path):
    path = tmp_path / "only" / "cube.h5"
    path.parent.mkdir()
    problem, n = make(), 0
    for n in range(1, MOST_CALLS, STRIDE):
        path.unlink(missing_ok=True)
        if not run(populate, path, AtCall(n, half=n % 2 == 0), problem=problem).killed:
            break
        if path.exists() and not judge.redo_path(path).exists():
            with h5py.File(path) as file:
                assert inputs_of(file).items() <= expected.inputs.items()
        assert not run(populate, path, problem=problem).killed
        assert judge.look(path, expected) == judge.Seen()
        with open_h5(path, "writer"):
            pass
        judge.tidy(path)
    assert 30 < n < MOST_CALLS - STRIDE
