import errno
import math
import os

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubefit.errors import ConfigError, StoreError
from cubefit.store import schema, tiles
from cubefit.store.cube_creation import create_cube
from cubefit.store.handle import open_h5
from cubefit.store.lock import writer_lock
from cubefit.store.tiles import TileGrid, TileWriter, read_status, tile_checksum

length = st.integers(1, 30)
wanted = st.integers(1, 40) | st.just(10**12)


@given(shape=st.tuples(length, length, length, length), s=wanted, c=wanted, p=wanted)
def test_tiles_cover_the_cube_once_and_evenly(shape, s, c, p):
    grid = TileGrid.of(shape, s, c, p)
    covered = np.zeros(shape[:3], np.uint8)
    for index in np.ndindex(grid.counts):
        part = grid.slices(index)
        assert all(b.start < b.stop for b in part)
        covered[part] += 1
    assert (covered == 1).all()
    assert grid.tile[3] == shape[3]
    assert grid.disk_bytes == 4 * math.prod(grid.tile) * math.prod(grid.counts)
    for size, most, tile, count in zip(shape, (s, c, p), grid.tile, grid.counts, strict=False):
        assert tile <= most
        assert count == math.ceil(size / min(most, size))
        assert tile * count - size < count


@pytest.mark.parametrize(
    ("size", "most", "chunk"), [(293, 128, 98), (5, 9, 5), (7, 1, 1), (8, 3, 3)]
)
def test_chunks_are_evened_out(size, most, chunk):
    assert tiles.even_chunk(size, most) == chunk


def test_a_tile_beyond_the_format_is_refused():
    with pytest.raises(ConfigError, match=r"4.2 GiB, HDF5 allows 4: lower S_chunk"):
        TileGrid.of((512, 1, 1100, 2000), 512, 1, 1100)


@pytest.fixture
def cube(populated):
    """A populated file with an empty HyperCube of ragged tiles."""
    with writer_lock(populated):
        create_cube(populated, TileGrid.of((7, 5, 12, 40), 3, 2, 5), "unit", "digest")
    return populated


def test_an_empty_cube_has_all_its_space(cube, populated_once):
    with open_h5(cube, "reader") as file:
        status = read_status(file)
        models = file[schema.MODELS.path]
        assert models.id.get_storage_size() == status.grid.disk_bytes
        assert models.id.get_num_chunks() == status.done.size == 27
        assert not status.done.any()
        assert not status.complete
        assert (status.normalization, status.digest, status.compression) == (
            "unit",
            "digest",
            "none",
        )
        with h5py.File(populated_once) as source:
            assert set(file) == {*source, "HyperCube"}
            assert dict(file.attrs) == dict(source.attrs)
            assert file["/TemplatesFFT"] == file["/TemplatesFFT_R"]
    assert 512 * cube.stat().st_blocks >= status.grid.disk_bytes


def filled(grid, index, value):
    s = grid.slices(index)[0]
    return np.full((s.stop - s.start, *grid.tile[1:]), value, np.float32)


def test_tiles_reach_their_places_and_are_then_done(cube):
    with writer_lock(cube), TileWriter(cube) as writer:
        grid = writer.grid
        written = list(np.ndindex(grid.counts))[::3]
        for n, index in enumerate(written):
            writer.write(index, filled(grid, index, n + 1.0))
    with open_h5(cube, "reader") as file:
        models = file[schema.MODELS.path][()]
        done = read_status(file).done
        checksums = read_status(file).checksums
    for n, index in enumerate(written):
        assert (models[grid.slices(index)] == n + 1.0).all()
        assert checksums[index] == tile_checksum(models[grid.slices(index)])
    assert sorted(map(tuple, np.argwhere(done))) == sorted(written)
    assert np.count_nonzero(models) == sum(
        math.prod(s.stop - s.start for s in grid.slices(i)) * 40 for i in written
    )


def test_done_comes_after_the_sync(cube, monkeypatch):
    """The order of the system calls is the promise."""
    calls, tile = [], 4 * 3 * 2 * 4 * 40
    pwrite, fdatasync = os.pwrite, os.fdatasync
    monkeypatch.setattr(
        os, "pwrite", lambda fd, data, at: calls.append(len(data)) or pwrite(fd, data, at)
    )
    monkeypatch.setattr(os, "fdatasync", lambda fd: calls.append("sync") or fdatasync(fd))
    with TileWriter(cube, group_bytes=3 * tile) as writer:
        for index in ((0, 0, 0), (1, 0, 0), (1, 2, 0), (2, 0, 0)):
            writer.write(index, filled(writer.grid, index, 1.0))
    last = tile // 3
    mark = [4, 1]  # the checksum, then the done byte
    assert calls == [tile, tile, tile, "sync", *3 * mark, "sync", last, "sync", *mark, "sync"]


def test_a_failed_sync_marks_nothing_done_not_even_later(cube, monkeypatch):
    """Linux reports a lost write once: the next sync succeeds though the bytes are gone."""
    fdatasync, failures = os.fdatasync, [OSError(errno.EIO, "Input/output error")]

    def flaky(fd):
        if failures:
            raise failures.pop()
        fdatasync(fd)

    monkeypatch.setattr(os, "fdatasync", flaky)
    with pytest.raises(OSError, match="Input/output"), TileWriter(cube, group_bytes=1) as writer:
        writer.write((0, 0, 0), filled(writer.grid, (0, 0, 0), 1.0))
    with open_h5(cube, "reader") as file:
        assert not read_status(file).done.any()


def test_an_error_keeps_what_was_written_before(cube):
    def write_one_and_stop(writer):
        writer.write((1, 1, 1), filled(writer.grid, (1, 1, 1), 5.0))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), TileWriter(cube) as writer:
        write_one_and_stop(writer)
    with open_h5(cube, "reader") as file:
        assert np.argwhere(read_status(file).done).tolist() == [[1, 1, 1]]
        assert (file[schema.MODELS.path][3:6, 2:4, 4:8] == 5.0).all()


def test_a_writer_needs_an_uncompressed_cube(populated):
    with pytest.raises(StoreError, match="no uncompressed HyperCube"):
        TileWriter(populated)
