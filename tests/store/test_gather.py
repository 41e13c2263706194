"""Shards put into one file: the same HyperCube, or everything as it was."""

import shutil

import h5py
import numpy as np
import pytest
from tests.store.test_shards import PARTS, TILES, begun, create, damage, sharded, status_of

from cubefit.errors import DependencyError, MissingDataError, StoreError
from cubefit.hypercube_builder import build_hypercube
from cubefit.hypercube_reader import HyperCubeReader
from cubefit.store import compress, gather
from cubefit.store.compress import compress_hypercube
from cubefit.store.gather import gather_hypercube
from cubefit.store.shards import shards_folder

__all__ = ["begun", "sharded"]


def contents(path):
    """Return every byte of a file and its shards."""
    return {p: p.read_bytes() for p in (path, *shards_folder(path).iterdir())}


def test_it_is_the_file_of_one_process(sharded, built):
    assert gather_hypercube(sharded, verbose=False) == 3
    assert {p.name for p in sharded.parent.iterdir()} == {sharded.name}
    with h5py.File(built) as one, h5py.File(sharded) as many:
        for part in PARTS:
            here, there = one["HyperCube"][part], many["HyperCube"][part]
            assert here[()].tobytes() == there[()].tobytes()
            assert here.chunks == there.chunks
            assert dict(here.attrs) == dict(there.attrs)
        assert not many["/HyperCube/models"].is_virtual
    assert gather_hypercube(sharded, verbose=False) == 0
    assert build_hypercube(sharded, **TILES).tiles_built == 0


@pytest.mark.parametrize("settings", [{"codec": "lzf"}, {"codec": "gzip", "keep_bits": 12}])
def test_compressed_shards_stay_compressed(sharded, built, settings):
    before, after = compress_hypercube(sharded, **settings)
    assert after < before
    compress_hypercube(built, **settings)
    for _ in range(2):
        assert status_of(sharded).compression == status_of(built).compression
        with HyperCubeReader(built) as one, HyperCubeReader(sharded) as many:
            for s in range(7):
                assert one.plane(s).tobytes() == many.plane(s).tobytes()
        np.testing.assert_array_equal(status_of(built).checksums, status_of(sharded).checksums)
        gather_hypercube(sharded, verbose=False)


def test_a_stopped_compression_goes_on_with_the_other_shards(sharded, monkeypatch):
    done = []

    def stopping(path, *rest):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(path)
        return copy(path, *rest)

    copy = compress._compress_file
    with monkeypatch.context() as patch:
        patch.setattr(compress, "_compress_file", stopping)
        with pytest.raises(KeyboardInterrupt):
            compress_hypercube(sharded, codec="lzf")
        with HyperCubeReader(sharded) as reader:
            assert reader.plane(0).any()
        with pytest.raises(StoreError, match="compressed in different ways, first"):
            gather_hypercube(sharded, verbose=False)
        done.clear()
        compress_hypercube(sharded, codec="lzf")
    assert done == [status_of(sharded).shards[2].path]
    assert status_of(sharded).compression == "lzf"


def test_bitshuffle_needs_its_plugin(sharded, monkeypatch):
    compress_hypercube(sharded, codec="bitshuffle-lz4")
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(DependencyError, match="hdf5plugin"):
        gather_hypercube(sharded, verbose=False)


def test_only_a_finished_cube_is_gathered(populated):
    with pytest.raises(MissingDataError, match="no finished HyperCube to gather"):
        gather_hypercube(populated, verbose=False)
    create(populated, 2)
    with pytest.raises(MissingDataError, match="no finished HyperCube to gather"):
        gather_hypercube(populated, verbose=False)


def test_without_a_shard_nothing_is_gathered(sharded):
    gone = status_of(sharded).shards[0].path
    gone.unlink()
    with pytest.raises(MissingDataError, match=f"the shard file {gone} is missing"):
        gather_hypercube(sharded, verbose=False)
    with pytest.raises(MissingDataError, match=f"the shard file {gone} is missing"):
        compress_hypercube(sharded)


def test_a_killed_gathering_is_tidied_up_by_the_next(sharded, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(gather, "remove_unused_shards", lambda _path: None)
        gather_hypercube(sharded, verbose=False)
    assert shards_folder(sharded).exists()
    assert gather_hypercube(sharded, verbose=False) == 0
    assert not shards_folder(sharded).exists()


def test_shards_in_the_folder_of_another_file_stay(sharded, caplog):
    copy = shutil.copy(sharded, sharded.with_name("copy.h5"))
    gather_hypercube(copy, verbose=False)
    assert "remove them yourself" in caplog.text
    with HyperCubeReader(sharded) as one, HyperCubeReader(copy) as other:
        np.testing.assert_array_equal(one.plane(3), other.plane(3))


def test_a_damaged_shard_is_not_gathered(sharded):
    damage(sharded, 2)
    before = contents(sharded)
    with pytest.raises(StoreError, match=r"1 tiles .* damaged, first \(2, 0, 0\)"):
        gather_hypercube(sharded, verbose=False)
    assert contents(sharded) == before


def test_a_stop_changes_nothing(sharded, monkeypatch):
    def stopping(*_):
        raise KeyboardInterrupt

    before = contents(sharded)
    monkeypatch.setattr(gather, "verify_copy", stopping)
    with pytest.raises(KeyboardInterrupt):
        gather_hypercube(sharded, verbose=False)
    assert contents(sharded) == before


def test_a_disk_without_room_for_both_is_refused(sharded, monkeypatch):
    asked = []
    monkeypatch.setattr(gather, "require_free", lambda *given: asked.append(given[1]))
    size = sharded.stat().st_size
    gather_hypercube(sharded, verbose=False)
    assert asked == [size + status_of(sharded).grid.disk_bytes]
