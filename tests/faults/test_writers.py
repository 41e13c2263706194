"""One writer at a time: the second is refused by name, the first goes on unharmed."""

import os
import shutil
import socket

import pytest

from cubefit.errors import LockedError
from cubefit.fit_tracker import FitTracker
from cubefit.hypercube_builder import build_hypercube
from cubefit.pipeline_runner import PipelineRunner
from cubefit.store.compress import compress_hypercube
from cubefit.store.handle import open_h5
from cubefit.store.lock import lock_path, who_writes
from tests.faults import judge, victims
from tests.faults.expected import tracked
from tests.faults.processes import Victim

PACE = {"pace_s": 0.1}
FIRST = {
    "build": (victims.build, "tile", judge.built),
    "fit": (victims.fit, "first", judge.fitted),
    "tracker": (victims.track, "first", judge.fitted),
}


def amend(path):
    with open_h5(path, "writer"):
        pass


SECOND = {
    "build": lambda path: build_hypercube(path, verbose=False),
    "fit": lambda path: PipelineRunner(path).solve_all(verbose=False),
    "untracked fit": lambda path: PipelineRunner(path).solve_all(verbose=False, tracker=False),
    "tracker": FitTracker,
    "amendment": amend,
    "compression": compress_hypercube,
}


@pytest.fixture(params=FIRST)
def first(request, expected, tmp_path):
    """A file with a process that has begun to write to it."""
    work, sign, complete = FIRST[request.param]
    wanted = tracked(expected) if request.param == "tracker" else expected
    source = expected.populated if request.param == "build" else expected.built
    path = tmp_path / "only" / "cube.h5"
    path.parent.mkdir()
    shutil.copy(source, path)
    victim = Victim(work, path, **PACE)
    victim.listen_until(sign)
    yield path, victim, wanted, complete
    victim.kill(group=True)


def test_a_second_writer_is_refused_by_name_and_the_first_unharmed(first):
    path, victim, wanted, complete = first
    name = rf"being written by process {victim.pid} on {socket.gethostname()} \(.*\), since \d"
    for second in SECOND.values():
        with pytest.raises(LockedError, match=name):
            second(path)
    assert not victim.over
    assert not victim.end().killed
    complete(path, wanted)
    judge.tidy(path)


def test_a_stale_lock_frees_itself(first):
    path, victim, wanted, _ = first
    assert who_writes(path).pid == victim.pid != os.getpid()
    victim.kill(group=True)
    assert victim.end().killed
    assert lock_path(path).exists()
    assert who_writes(path) is None
    judge.look(path, wanted)
    with open_h5(path, "writer"):
        pass
    judge.tidy(path)
