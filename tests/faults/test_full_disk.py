"""A full disk: said before the start where it can be known, else at the tile; nothing is lost."""

import errno
import logging
import shutil
import tempfile
from pathlib import Path

import h5py
import pytest

from cubefit import hypercube_builder
from cubefit.errors import StoreError
from cubefit.hypercube_builder import build_hypercube
from cubefit.pipeline_runner import PipelineRunner
from cubefit.store import handle
from cubefit.store.compress import compress_hypercube
from tests.conftest import make
from tests.faults import judge, victims
from tests.faults.disks import InjectedDisk, can_mount, mounted

with tempfile.TemporaryDirectory() as _folder:
    KINDS = ("mounted", "injected") if can_mount(Path(_folder)) else ("injected",)
DISK_BYTES = 8 << 20
TOLD = "[Mm]ake space"


@pytest.fixture(params=KINDS)
def disk(request, tmp_path):
    if request.param == "mounted":
        with mounted(tmp_path, DISK_BYTES) as small:
            yield small
    else:
        with pytest.MonkeyPatch.context() as patch:
            yield InjectedDisk(tmp_path, patch)


def put(source, disk):
    (disk.folder / "only").mkdir()
    return Path(shutil.copy(source, disk.folder / "only" / "cube.h5"))


def build(path):
    return build_hypercube(path, **victims.TILES, n_workers=1, verbose=False)


def fit(path):
    tracker = victims.AT_EVERY_STATE
    return PipelineRunner(path).solve_all(**victims.FIT, verbose=False, tracker=tracker)


@pytest.mark.parametrize("work", [build, fit], ids=["build", "fit"])
@pytest.mark.parametrize("room", [0, 5_000, 70_000])
def test_refused_before_the_start(disk, expected, work, room):
    path = put(expected.populated if work is build else expected.built, disk)
    before = path.read_bytes()
    disk.fill(room)
    with pytest.raises(StoreError, match=TOLD) as refused:
        work(path)
    assert refused.value.errno == errno.ENOSPC
    assert path.read_bytes() == before
    judge.tidy(path)
    disk.make_space()
    work(path)
    judge.look(path, expected)
    judge.tidy(path)


@pytest.mark.parametrize("room", [20_000, 45_000, 60_000])
def test_full_at_a_tile(disk, expected, room, monkeypatch):
    """Where the file system reserves nothing."""
    path = put(expected.populated, disk)
    monkeypatch.setattr(handle, "reserve", lambda _path: None)
    fill_cube = hypercube_builder.fill_cube

    def filled(*arguments, **settings):
        """Leave room when the file is there, and has given the old one's space back."""
        disk.fill(room)
        return fill_cube(*arguments, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(hypercube_builder, "fill_cube", filled)
        with pytest.raises(StoreError, match=TOLD) as refused:
            build(path)
    assert refused.value.errno == errno.ENOSPC
    seen = judge.look(path, expected)
    assert not seen.done.all()
    judge.tidy(path)
    disk.make_space()
    assert build(path).tiles_built == (~seen.done).sum()
    judge.built(path, expected)


def test_full_at_the_end_of_a_fit_costs_the_commit_only(disk, expected, caplog):
    path = put(expected.built, disk)
    n_states = 0

    def full_before_the_end(_rmse):
        nonlocal n_states
        n_states += 1
        if n_states == len(expected.states):
            disk.fill(0)

    x, stats = PipelineRunner(path).solve_all(
        **victims.FIT, verbose=False, on_batch=full_before_the_end
    )
    assert not stats["committed"]
    assert x.tobytes() == expected.x_global
    errors = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    assert any("make space" in told for told in errors)
    judge.look(path, expected)
    disk.make_space()
    assert fit(path)[1]["committed"]
    with h5py.File(path) as file:
        assert file["X_global"][()].tobytes() == expected.x_global


def test_compression_on_a_full_disk_leaves_the_file(disk, expected):
    path = put(expected.built, disk)
    before = path.read_bytes()
    disk.fill(30_000)
    with pytest.raises(StoreError, match=TOLD):
        compress_hypercube(path)
    assert path.read_bytes() == before
    judge.tidy(path)
    disk.make_space()
    compress_hypercube(path)
    judge.built(path, expected)


@pytest.mark.parametrize("room", [0, 8_000, 60_000, 100_000])
def test_populating_a_full_disk(disk, expected, room):
    path = disk.folder / "only" / "cube.h5"
    path.parent.mkdir()
    disk.fill(room)
    with pytest.raises(StoreError, match=TOLD):
        make().populate(path)
    disk.make_space()
    make().populate(path)
    judge.look(path, expected)
    judge.tidy(path)
