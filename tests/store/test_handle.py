import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from cubefit.config import TrackerConfig
from cubefit.errors import ConfigError, LockedError, StoreError
from cubefit.hdf5_manager import H5Manager
from cubefit.hypercube_builder import build_hypercube
from cubefit.hypercube_reader import HyperCubeReader
from cubefit.pipeline_runner import PipelineRunner
from cubefit.store import schema
from cubefit.store.handle import new_file, open_h5, require_writable, steadily
from cubefit.store.lock import writer_lock
from cubefit.store.tiles import TileWriter


def test_readers_and_one_writer(populated):
    with open_h5(populated, "reader") as one, open_h5(str(populated), "reader") as two:
        assert one["/DataCube"].shape == two["/DataCube"].shape
        with pytest.raises(OSError, match=r"no write intent|read"):
            one.attrs["x"] = 1
    with open_h5(populated, "writer") as file:
        file.attrs["x"] = 1
    with h5py.File(populated) as file:
        assert file.attrs["x"] == 1


def test_readers_are_never_refused(populated):
    with writer_lock(populated), open_h5(populated, "reader") as file:
        assert file["/DataCube"].shape == (7, 40)


HANDLES = {
    "plain": {"mode": "r"},
    "swmr": {"mode": "r", "swmr": True},
    "no lock": {"mode": "r", "locking": False},
    "strict": {"mode": "r", "locking": True},
}


@pytest.mark.parametrize("how", HANDLES.values(), ids=HANDLES)
def test_handles_that_a_user_left_open_do_not_matter(built, problem, how):
    """A notebook has them; HDF5 itself refuses a second one with other flags, or shares it."""
    with h5py.File(built, **how) as users:
        assert "X_global" not in users
        x, _ = PipelineRunner(built).solve_all(verbose=False)
        with open_h5(built, "reader") as file:
            np.testing.assert_array_equal(file["/X_global"], x)
        assert PipelineRunner(built).solve_all(verbose=False)[1]["warm_start"] == "/Fit/x_best"
        H5Manager.print_hypercube_done_status(built)
    with h5py.File(built) as file:
        assert "X_global" in file


@pytest.mark.parametrize("how", HANDLES.values(), ids=HANDLES)
def test_users_may_open_what_we_have_open(built, how):
    with open_h5(built, "reader"), HyperCubeReader(built), h5py.File(built, **how) as users:
        assert users["/HyperCube/models"].shape == (7, 5, 12, 40)


def test_while_another_program_has_it_open_to_write_it_can_be_read_only(built):
    code = "import h5py, sys; f = h5py.File(sys.argv[1], 'r+'); print(1, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code, built], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        other.stdout.readline()
        with open_h5(built, "reader") as file:
            assert file["/DataCube"].shape == (7, 40)
        told = rf"open to write in process {other.pid} \(h5py mode 'r\+' or 'a'\): close it there"
        for write in WRITERS:
            with pytest.raises(LockedError, match=told):
                write(built)
        other.communicate(b"\n")
    fit(built)


def fit(path):
    PipelineRunner(path).solve_all(verbose=False)


def change(path):
    with open_h5(path, "writer") as file:
        file.attrs["x"] = 1


WRITERS = (fit, change, build_hypercube, H5Manager.compress_hypercube_inplace)


def test_a_handle_of_our_own_process_counts_as_another_program(built):
    with h5py.File(built, "r+"), pytest.raises(LockedError, match=f"in process {os.getpid()} "):
        fit(built)


def test_programs_that_come_later_are_refused_by_hdf5(built, monkeypatch):
    """While the HyperCube is built or a fit runs, nobody opens the file to write through HDF5."""
    refused = []

    def try_to_write(*_args):
        with pytest.raises(BlockingIOError), h5py.File(built, "r+"):
            pass
        with h5py.File(built, "r"):
            refused.append(True)

    write = TileWriter.write
    monkeypatch.setattr(TileWriter, "write", lambda *args: try_to_write() or write(*args))
    build_hypercube(built, overwrite=True, verbose=False)
    assert refused
    refused.clear()
    cfg = TrackerConfig(metrics_interval_sec=0)
    PipelineRunner(built).solve_all(tracker=cfg, on_epoch_end=try_to_write, verbose=False)
    assert refused


def test_a_file_that_may_not_be_read(populated, monkeypatch):
    monkeypatch.setattr(os, "access", lambda _path, mode: mode != os.R_OK)
    with pytest.raises(StoreError, match="cannot be read: get read"), open_h5(populated, "reader"):
        pass


def test_unknown_role(populated):
    with pytest.raises(ConfigError, match="'reader' or 'writer'"):
        open_h5(populated, "r")


def text_file(path):
    path.write_text("not HDF5")


def empty_file(path):
    path.touch()


def folder(path):
    path.mkdir()


def foreign(path):
    with h5py.File(path, "w") as file:
        file["x"] = 1.0


def lacking(path):
    with h5py.File(path, "r+") as file:
        del file["/LOSVD"]


def newer(path):
    with h5py.File(path, "r+") as file:
        file.attrs[schema.ATTR_FORMAT] = schema.FORMAT_VERSION + 1


def cut_short(path):
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 100)


WRONG = {
    Path.unlink: "does not exist",
    text_file: "no HDF5 file",
    empty_file: "cube.h5 is empty: give",
    folder: "no HDF5 file",
    foreign: "not a populated CubeFit file",
    lacking: "lacks /LOSVD",
    newer: "update CubeFit",
    cut_short: r"cut short: it has \d+ of its \d+ bytes \(.*\): restore a copy",
}


@pytest.mark.parametrize("role", ["reader", "writer"])
@pytest.mark.parametrize(("spoil", "told"), WRONG.items(), ids=lambda v: getattr(v, "__name__", ""))
def test_files_of_other_kinds_are_refused_in_a_sentence(populated, spoil, told, role):
    if spoil in (folder, foreign, text_file, empty_file):
        populated.unlink()
    spoil(populated)
    before = sorted(populated.parent.rglob("*"))
    with pytest.raises(StoreError, match=told) as e, open_h5(populated, role):
        pass
    assert "\n" not in str(e.value)
    assert "cube.h5" in str(e.value)
    assert sorted(populated.parent.rglob("*")) == before


def test_a_missing_folder_is_a_missing_file(tmp_path):
    with pytest.raises(StoreError, match="does not exist"), open_h5(tmp_path / "no/c.h5", "writer"):
        pass


def test_paths_may_be_strings_relative_bare_or_with_spaces(populated, tmp_path, monkeypatch):
    folder = tmp_path / "a folder"
    folder.mkdir()
    moved = populated.rename(folder / "my cube")
    monkeypatch.chdir(folder)
    for n, path in enumerate(("my cube", Path("my cube"), "../a folder/my cube", str(moved))):
        with open_h5(path, "writer") as file:
            file[f"/n{n}"] = n
        with open_h5(path, "reader") as file:
            assert file[f"/n{n}"][()] == n
    assert [p.name for p in folder.iterdir()] == ["my cube"]


def test_a_link_stays_a_link(populated, tmp_path):
    folder = tmp_path / "links"
    folder.mkdir()
    link = folder / "link.h5"
    link.symlink_to(populated)
    with open_h5(link, "writer") as file:
        file["/new"] = 1.0
    with new_file(link) as file:
        file["/x"] = np.ones(3)
    assert link.is_symlink()
    assert [p.name for p in folder.iterdir()] == ["link.h5"]
    with h5py.File(populated) as file:
        assert list(file) == ["x"]


def test_a_new_file_has_no_consistency_flags(tmp_path):
    """Superblock version 0: HDF5 never refuses it after a kill."""
    with new_file(tmp_path / "new.h5") as file:
        file["x"] = 1.0
    assert (tmp_path / "new.h5").read_bytes()[8] == 0


def test_require_writable_leaves_nothing_behind(populated, monkeypatch):
    before = populated.read_bytes()
    require_writable(populated)
    assert populated.read_bytes() == before
    assert [p.name for p in populated.parent.iterdir()] == ["cube.h5"]
    monkeypatch.setattr(os, "access", lambda _path, mode: mode != os.W_OK)
    with pytest.raises(StoreError, match="read-only"):
        require_writable(populated)


def test_a_look_that_falls_into_a_change_is_taken_again(populated):
    failures = [KeyError("half-changed"), RuntimeError("half-changed")]

    def read(path):
        if failures:
            raise failures.pop()
        return path

    populated.touch()
    assert steadily(populated, read) == populated
    os.utime(populated, (0, 0))
    failures.append(KeyError("damaged for good"))
    with pytest.raises(KeyError, match="for good"):
        steadily(populated, read)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.h5")
    with (
        pytest.raises(StoreError, match="is no HDF5 file"),
        open_h5(tmp_path / "pipe.h5", "reader"),
    ):
        pass
