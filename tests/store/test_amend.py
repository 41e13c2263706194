"""Structural edits of a finished file: all or nothing, whatever happens, and no model touched."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from cubefit.errors import LockedError, StoreError
from cubefit.store import amend, files, schema
from cubefit.store.compress import compress_hypercube
from cubefit.store.handle import open_h5
from cubefit.store.lock import writer_lock

BIG = np.arange(300_000.0)


def everything(path):
    """Return every value of a file, read through plain h5py."""
    values = {}
    with h5py.File(path, "r", locking=False) as file:
        file.visititems(
            lambda name, item: values.update(
                {name: item[()].tobytes()} if isinstance(item, h5py.Dataset) else {}
            )
        )
    return values


def add(path, name="/Extra", values=BIG):
    with open_h5(path, "writer") as file:
        amend.replace_dataset(file, name, values, {"unit": "pixel"})


class InjectedError(Exception):
    pass


def fail_on(monkeypatch, place, name, call):
    """Let ``place.name`` work until its ``call``-th call, which raises."""
    original, count = getattr(place, name), [0]

    def failing(*args, **kwargs):
        count[0] += 1
        if count[0] == call:
            raise InjectedError
        return original(*args, **kwargs)

    monkeypatch.setattr(place, name, failing)


@pytest.mark.parametrize("action", ["add", "replace"])
def test_a_kill_at_any_system_call_leaves_the_old_file_or_the_new_one(action, built, tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    driver = Path(__file__).with_name("kill_driver.py")
    result = subprocess.run(
        [sys.executable, driver, action, built, folder, "1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    kills, completed = (int(n) for n in result.stdout.split())
    assert kills > 25
    assert 5 < completed < kills - 5


def test_amendments_add_replace_and_drop(built):
    before = everything(built)
    models = before["HyperCube/models"]
    with open_h5(built, "writer") as file:
        file["/Extra"] = BIG
        file["/DataCube"][0] = 7.0
        del file["/RebinMatrix"]
        file.attrs["note"] = "mine"
    after = everything(built)
    assert after["Extra"] == BIG.tobytes()
    assert "RebinMatrix" not in after
    with open_h5(built, "reader") as file:
        assert (file["/DataCube"][0] == 7.0).all()
        assert file.attrs["note"] == "mine"
    changed = {"Extra", "RebinMatrix", "DataCube"}
    assert {k: v for k, v in after.items() if k not in changed} == {
        k: v for k, v in before.items() if k not in changed
    }
    assert after["HyperCube/models"] == models
    assert [p.name for p in built.parent.iterdir()] == ["cube.h5"]


@pytest.mark.parametrize("codec", ["gzip", "lzf"])
def test_amendments_of_a_compressed_cube(built, codec):
    compress_hypercube(built, codec=codec)
    before = everything(built)
    for n in range(3):
        add(built, "/Extra", BIG[: 1000 * (n + 1)])
    assert everything(built) == before | {"Extra": BIG[:3000].tobytes()}


def test_repeated_amendments_do_not_pile_up(built):
    add(built)
    size = built.stat().st_size
    for n in range(10):
        add(built, values=BIG + n)
    assert built.stat().st_size - size < 10 * 8192
    assert everything(built)["Extra"] == (BIG + 9).tobytes()


def test_replacing_drops_stale_attributes_and_takes_other_sizes(built):
    add(built)
    with open_h5(built, "writer") as file:
        amend.replace_dataset(file, "/Extra", BIG[::-1], {"other": 1})
    with open_h5(built, "reader") as file:
        assert dict(file["/Extra"].attrs) == {"other": 1}
        assert (file["/Extra"][()] == BIG[::-1]).all()
    add(built, values=np.ones((3, 4), np.float32))
    with open_h5(built, "reader") as file:
        assert file["/Extra"].dtype == np.float32
        assert file["/Extra"].shape == (3, 4)


def test_a_group_is_not_replaced_by_a_dataset(built):
    with open_h5(built, "writer") as file:
        file["/Mine/deep"] = 1.0
    with pytest.raises(StoreError, match="/Mine is a group"):
        add(built, "/Mine")
    assert everything(built)["Mine/deep"] == np.float64(1.0).tobytes()


def test_nothing_is_kept_when_the_body_raises(built):
    before = built.read_bytes()

    def change_and_fail(file):
        file["/Extra"] = BIG
        del file["/DataCube"]
        raise InjectedError

    with pytest.raises(InjectedError), open_h5(built, "writer") as file:
        change_and_fail(file)
    assert built.read_bytes() == before
    assert [p.name for p in built.parent.iterdir()] == ["cube.h5"]


@pytest.mark.parametrize(
    "change", ["del file['/HyperCube']", "del file['/HyperCube/models']; file['/New'] = BIG"]
)
def test_the_hypercube_is_refused(built, change):
    before = built.read_bytes()
    with (
        pytest.raises(StoreError, match=r"/HyperCube/models .* overwrite=True"),
        open_h5(built, "writer") as file,
    ):
        exec(change, {"file": file, "BIG": BIG})  # noqa: S102
    assert built.read_bytes() == before


@pytest.mark.parametrize(
    ("place", "name", "call"),
    [
        (amend, "copy_extents", 1),
        (amend, "copy_extents", 2),
        (amend, "write_all", 1),
        (amend, "digest_of_bytes", 1),
        (amend.np, "savez", 1),
        (files, "sync_file", 1),
        (files, "sync_file", 2),
    ],
)
def test_an_error_before_the_commit_leaves_the_file_as_it_was(
    built, monkeypatch, place, name, call
):
    before = built.read_bytes()
    with monkeypatch.context() as patch:
        fail_on(patch, place, name, call)
        with pytest.raises(InjectedError):
            add(built)
    assert built.read_bytes() == before
    assert [p.name for p in built.parent.iterdir()] == ["cube.h5"]
    add(built)
    assert everything(built)["Extra"] == BIG.tobytes()


@pytest.fixture
def interrupted(built, monkeypatch):
    """A file whose amendment was committed and half put in place."""
    with monkeypatch.context() as patch:

        def half(path):
            _, _, patches = amend.read_redo(path)
            fd = os.open(path, os.O_RDWR)
            for p in patches[: len(patches) // 2]:
                os.pwrite(fd, p.new, p.place)
            last = patches[len(patches) // 2]
            os.pwrite(fd, last.new[: len(last.new) // 2], last.place)
            os.close(fd)
            raise InjectedError

        patch.setattr(amend, "put_in_place", half)
        with pytest.raises(InjectedError):
            add(built)
    assert amend.redo_path(built).exists()
    return built


def test_the_next_reader_completes_it(interrupted):
    with open_h5(interrupted, "reader") as file:
        assert (file["/Extra"][()] == BIG).all()
    assert [p.name for p in interrupted.parent.iterdir()] == ["cube.h5"]


def test_the_next_writer_completes_it(interrupted):
    add(interrupted, "/Second")
    assert everything(interrupted)["Extra"] == everything(interrupted)["Second"] == BIG.tobytes()


def test_file_and_redo_may_be_copied_together(interrupted, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for source in (interrupted, amend.redo_path(interrupted)):
        shutil.copy(source, elsewhere / source.name)
    with open_h5(elsewhere / "cube.h5", "reader") as file:
        assert (file["/Extra"][()] == BIG).all()


def test_a_redo_left_behind_does_no_harm(interrupted, built_once, caplog):
    """A new file may even get the inode of the old one."""
    with interrupted.open("r+b") as file:
        file.truncate(0)
        file.write(built_once.read_bytes())
    before = everything(built_once)
    with open_h5(interrupted, "reader"):
        pass
    assert everything(interrupted) == before
    assert not amend.redo_path(interrupted).exists()
    assert "made for another file" in caplog.text


def test_a_redo_without_its_file_is_dropped(interrupted, problem, caplog):
    interrupted.unlink()
    problem.populate(interrupted)
    assert "made for another file" in caplog.text
    assert [p.name for p in interrupted.parent.iterdir()] == ["cube.h5"]


def test_applying_a_redo_twice_is_safe(interrupted):
    copy = amend.redo_path(interrupted).read_bytes()
    with open_h5(interrupted, "reader"):
        pass
    after = interrupted.read_bytes()
    amend.redo_path(interrupted).write_bytes(copy)
    with open_h5(interrupted, "reader"):
        pass
    assert interrupted.read_bytes() == after


def test_an_old_redo_never_undoes_a_later_amendment(interrupted, caplog):
    copy = amend.redo_path(interrupted).read_bytes()
    add(interrupted, "/Second")
    amend.redo_path(interrupted).write_bytes(copy)
    with open_h5(interrupted, "reader") as file:
        assert (file["/Second"][()] == BIG).all()
    assert "made for another file" in caplog.text


def test_a_reader_waits_for_a_patch_but_not_for_ever(interrupted, monkeypatch):
    monkeypatch.setattr(amend, "PATCH_WAIT_S", 0.1)
    with (
        writer_lock(interrupted),
        pytest.raises(LockedError, match=f"process {os.getpid()}"),
        open_h5(interrupted, "reader"),
    ):
        pass
    with open_h5(interrupted, "reader") as file:
        assert (file["/Extra"][()] == BIG).all()


def test_bytes_that_a_killed_amendment_left_at_the_end_are_no_obstacle(built):
    """They are beyond what the file knows of, so they are there for the next amendment to use."""
    with built.open("ab") as file:
        file.write(b"left over" * 700_000)
    add(built, "/Small", np.ones(3))
    add(built)
    assert everything(built)["Extra"] == BIG.tobytes()
    assert everything(built)["Small"] == np.ones(3).tobytes()


def test_dropping_the_last_dataset_then_adding_again(built):
    add(built)
    for name in ("/Extra", "/Templates"):
        with open_h5(built, "writer") as file:
            kept = file[name][()]
            del file[name]
            file[name] = kept
    with open_h5(built, "writer") as file:
        del file["/Extra"]
    add(built, "/Other")
    assert everything(built)["Other"] == BIG.tobytes()
    with open_h5(built, "reader"):
        pass


def test_extents():
    assert amend.other_extents([], 10) == [(0, 10)]
    assert amend.other_extents([(0, 4), (6, 10)], 10) == [(4, 6)]
    assert amend.other_extents([(3, 5)], 10) == [(0, 3), (5, 10)]


def test_patches_are_the_difference_of_two_files(tmp_path):
    rng = np.random.default_rng(3)
    old = rng.integers(0, 256, amend.BLOCK + 5000, np.uint8)
    for n_changes in (0, 1, 40, 3000):
        new = old.copy()
        new[rng.integers(0, old.size, n_changes)] ^= 1
        (tmp_path / "old").write_bytes(old.tobytes())
        (tmp_path / "new").write_bytes(new.tobytes())
        with (tmp_path / "old").open("rb") as a, (tmp_path / "new").open("rb") as b:
            patches = list(amend.changed_runs(a.fileno(), b.fileno(), [(0, old.size)]))
        patched = bytearray(old.tobytes())
        for p in patches:
            assert patched[p.place : p.place + len(p.old)] == p.old
            patched[p.place : p.place + len(p.new)] = p.new
        assert patched == new.tobytes()
        assert sum(len(p.new) for p in patches) <= n_changes * amend.GRAIN


@pytest.mark.parametrize("content", [b"", b"junk", b"PK\x03\x04"])
def test_a_redo_file_that_is_none_is_named(built, content):
    redo = built.with_name(built.name + ".redo")
    redo.write_bytes(content)
    with pytest.raises(StoreError, match=r"cube\.h5\.redo holds no change of cube\.h5"):
        add(built)
    redo.unlink()
    add(built)


def test_a_folder_in_the_place_of_a_helper_file_is_named(built):
    folder = built.with_name(built.name + ".amend")
    folder.mkdir()
    with pytest.raises(StoreError, match="rename the folder"):
        add(built)


def test_results_are_added_without_a_copy_of_the_inputs(built, monkeypatch):
    before, copied = everything(built), []
    with h5py.File(built, "r", locking=False) as file:
        large = sum(file[e.path].nbytes for e in schema.LARGE_INPUTS if e.path in file)
        models = file["/HyperCube/models"].id.get_storage_size()
    original = amend.copy_extents

    def counted(source_fd, target_fd, extents):
        copied.append(sum(end - start for start, end in extents))
        original(source_fd, target_fd, extents)

    monkeypatch.setattr(amend, "copy_extents", counted)
    for with_inputs in (False, True):
        copied.clear()
        cloned = built.stat().st_size - models - (0 if with_inputs else large)
        with amend.sole_writer(built), amend.amended(built, with_inputs=with_inputs) as file:
            seen = file["/LOSVD"][()].any()
            file.attrs["note"] = str(with_inputs)
        assert seen == with_inputs
        assert copied[0] == cloned
    assert everything(built) == before


def test_inputs_that_are_not_in_the_clone_cannot_be_replaced(built):
    before = built.read_bytes()
    with (
        pytest.raises(StoreError, match="cannot be replaced or dropped"),
        amend.sole_writer(built),
        amend.amended(built) as file,
    ):
        del file["/DataCube"]
    assert built.read_bytes() == before
