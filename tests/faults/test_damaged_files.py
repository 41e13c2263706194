"""A file that is cut short or is no HDF5: said so, and nothing is written to it."""

import shutil

import pytest

from cubefit.errors import StoreError
from cubefit.fit_tracker import FitTracker
from cubefit.hypercube_builder import build_hypercube
from cubefit.hypercube_reader import HyperCubeReader
from cubefit.pipeline_runner import PipelineRunner
from cubefit.store.compress import compress_hypercube
from cubefit.store.file_status import status_of
from cubefit.store.handle import open_h5
from tests.faults import judge, victims
from tests.faults.processes import Victim

TEXT = b"Dear diary, today I saved my notes as cube.h5.\n" * 50


def cut(path, share):
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(int(size * share))


DAMAGES = {
    "cut to nothing": (lambda path: cut(path, 0), "is empty"),
    "cut in the superblock": (lambda path: path.write_bytes(path.read_bytes()[:40]), "damaged|cut"),
    "cut early": (lambda path: cut(path, 0.05), "cut short: it has .* of its"),
    "cut in the middle": (lambda path: cut(path, 0.5), "cut short: it has .* of its"),
    "cut by a byte": (
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        "cut short: it has .* of its",
    ),
    "replaced by text": (lambda path: path.write_bytes(TEXT), "is no HDF5 file"),
}


def amend(path):
    with open_h5(path, "writer"):
        pass


CALLS = {
    "build": lambda path: build_hypercube(path, **victims.TILES, verbose=False),
    "fit": lambda path: PipelineRunner(path).solve_all(verbose=False),
    "tracker": FitTracker,
    "compression": compress_hypercube,
    "amendment": amend,
    "reader": HyperCubeReader,
    "status": status_of,
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_told_and_nothing_is_written(damage, call, expected, tmp_path):
    harm, told = DAMAGES[damage]
    path = tmp_path / "cube.h5"
    shutil.copy(expected.built, path)
    harm(path)
    before = path.read_bytes()
    with pytest.raises(StoreError, match=told):
        CALLS[call](path)
    assert path.read_bytes() == before
    judge.tidy(path)


def replace(path, content):
    other = path.with_name("other")
    other.write_bytes(content)
    other.replace(path)


DURING = {
    "cut short": lambda path: cut(path, 0.1),
    "overwritten by text": lambda path: path.write_bytes(TEXT),
    "replaced by text": lambda path: replace(path, TEXT),
}
MEANWHILE = "cut short(, overwritten or replaced)? by another program while it was"


@pytest.mark.parametrize("damage", DURING)
def test_a_build_ends_when_its_file_is_damaged(damage, expected, tmp_path):
    path = tmp_path / "cube.h5"
    shutil.copy(expected.populated, path)
    victim = Victim(victims.build, path, pace_s=0.03)
    victim.listen_until("tile")
    DURING[damage](path)
    with pytest.raises(AssertionError, match=rf"StoreError: .* was {MEANWHILE}"):
        victim.end()
    assert path.read_bytes().startswith(TEXT) == ("text" in damage)
    judge.tidy(path)


@pytest.mark.parametrize("damage", ["cut short", "overwritten by text"])
def test_a_fit_ends_when_its_file_is_damaged(damage, expected, tmp_path):
    """It would take what the file lacks for models."""
    path = tmp_path / "cube.h5"
    shutil.copy(expected.built, path)
    victim = Victim(victims.fit, path, pace_s=0.03)
    victim.listen_until("first")
    DURING[damage](path)
    with pytest.raises(AssertionError, match=rf"StoreError: .* was {MEANWHILE}"):
        victim.end()
    judge.tidy(path)


def test_a_fit_whose_file_is_replaced_returns_its_solution(expected, tmp_path):
    path = tmp_path / "cube.h5"
    shutil.copy(expected.built, path)
    victim = Victim(victims.fit, path, pace_s=0.03, committed=False)
    victim.listen_until("first")
    replace(path, TEXT)
    assert victim.end().result == expected.x_global
    assert path.read_bytes() == TEXT
    judge.tidy(path)
