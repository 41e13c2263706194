"""Any sequence of build, crash and resume equals one uninterrupted build, byte for byte."""

import errno
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cubefit.store.files
from cubefit.errors import (
    ConfigError,
    LockedError,
    MissingDataError,
    StaleError,
    StoppedError,
    StoreError,
)
from cubefit.hypercube_builder import build_hypercube
from cubefit.hypercube_reader import HyperCubeReader
from cubefit.store import tiles
from cubefit.store.lock import lock_path, writer_lock
from cubefit.store.tiles import TileWriter

MODELS, DONE = "/HyperCube/models", "/HyperCube/_done"
TILES = {"S_chunk": 3, "C_chunk": 2, "P_chunk": 5, "verbose": False}


def read(path, name=MODELS):
    with h5py.File(path, "r") as file:
        return file[name][()]


def assert_models(path, expected):
    """Equal to float32 rounding of sums over the velocity bins."""
    np.testing.assert_allclose(read(path), expected, rtol=3e-6, atol=1e-6 * expected.max())


def copy(path, folder, name="cube.h5"):
    folder.mkdir(exist_ok=True)
    return Path(shutil.copy(path, folder / name))


chunk = st.integers(1, 15)


@settings(max_examples=25)
@given(S_chunk=chunk, C_chunk=chunk, P_chunk=chunk)
def test_models_for_every_chunk_shape(
    populated_once, problem, tmp_path_factory, S_chunk, C_chunk, P_chunk
):
    path = copy(populated_once, tmp_path_factory.mktemp("chunks"))
    chunks = {"S_chunk": S_chunk, "C_chunk": C_chunk, "P_chunk": P_chunk}
    report = build_hypercube(path, **chunks, verbose=False)
    with h5py.File(path) as file:
        assert all(a <= b for a, b in zip(file[MODELS].chunks, chunks.values(), strict=False))
        assert file[DONE].shape == tuple(
            -(-n // t) for n, t in zip((7, 5, 12), file[MODELS].chunks, strict=False)
        )
        assert file[DONE][()].all()
        assert report.tiles_built == report.tiles_total == file[DONE].size
    assert report.n_bytes == 4 * problem.models.size
    assert_models(path, problem.models)


def test_padding_of_ragged_tiles_is_zero(populated):
    """Not what the memory of the process held."""
    build_hypercube(populated, **TILES)
    content = populated.read_bytes()
    with h5py.File(populated) as file:
        models = file[MODELS]
        for n in range(models.id.get_num_chunks()):
            info = models.id.get_chunk_info(n)
            raw = content[info.byte_offset : info.byte_offset + info.size]
            tile = np.frombuffer(raw, np.float32).reshape(models.chunks)
            inside = tuple(
                slice(0, size - start)
                for size, start in zip(models.shape, info.chunk_offset, strict=True)
            )
            assert np.count_nonzero(tile) == np.count_nonzero(tile[inside])


def test_huge_chunks_are_one_tile(populated, problem):
    report = build_hypercube(populated, 10**9, 10**9, 10**9, verbose=False)
    assert report.tiles_total == 1
    assert_models(populated, problem.models)


@pytest.mark.parametrize(
    "sizes",
    [
        {"S": 1},
        {"C": 1},
        {"axes": (1,)},
        {"S": 1, "C": 1, "axes": (1, 1, 1)},
        {"V": 2},
        {"L": 2, "axes": (3,)},
        {"S": 40, "L": 39},
    ],
    ids=str,
)
def test_smallest_problems(make_problem, tmp_path, sizes):
    problem = make_problem(**sizes)
    path = problem.populate(tmp_path / "cube.h5")
    build_hypercube(path, verbose=False)
    assert_models(path, problem.models)


def test_unit_normalization_takes_out_the_amplitude(populated, problem):
    build_hypercube(populated, **TILES, normalization="unit")
    light = problem.losvd.sum(axis=1)[:, :, None, None]
    assert_models(populated, problem.models / light)
    assert h5py.File(populated)[MODELS].attrs["normalization"] == "unit"


def test_components_without_light_have_dark_models(make_problem, tmp_path):
    problem = make_problem()
    losvd = problem.losvd.copy()
    losvd[2, :, 3] = 0.0
    for normalization in ("losvd", "unit"):
        path = problem.populate(tmp_path / normalization, losvd=losvd)
        build_hypercube(path, **TILES, normalization=normalization)
        models = read(path)
        assert not models[2, 3].any()
        assert np.isfinite(models).all()
        assert models[2, 2].any()


def test_faint_and_bright_inputs_neither_vanish_nor_overflow(make_problem, tmp_path):
    problem = make_problem()
    scales = [(1e-20, 1e-5), (1e-5, 1e-20), (1e5, 1e20), (1e20, 1e5), (1e-20, 1e20), (1e20, 1e-20)]
    for n, (losvd, flux) in enumerate(scales):
        path = problem.populate(
            tmp_path / str(n), losvd=problem.losvd * losvd, templates=problem.templates * flux
        )
        build_hypercube(path, verbose=False)
        assert_models(path, problem.models * losvd * flux)


def test_a_second_call_does_what_is_missing_and_no_more(populated, built_once, monkeypatch):
    build_hypercube(populated, **TILES)
    undone = [(0, 0, 0), (1, 2, 1), (2, 1, 2)]
    with h5py.File(populated, "r+") as file:
        file[MODELS][:3, :2, :4] = -1.0
        for index in undone:
            file[DONE][index] = 0
    written = []
    write = TileWriter.write
    monkeypatch.setattr(
        TileWriter, "write", lambda self, i, values: written.append(i) or write(self, i, values)
    )
    report = build_hypercube(populated, **TILES)
    assert written == undone
    assert (report.tiles_built, report.tiles_total) == (3, 27)
    assert read(populated).tobytes() == read(built_once).tobytes()


def test_a_third_call_says_that_there_is_nothing_to_do(built, caplog):
    before = built.read_bytes()
    caplog.set_level("INFO", "cubefit")
    report = build_hypercube(built)
    assert (report.tiles_built, report.n_bytes) == (0, 0)
    assert "complete: nothing to do" in caplog.text
    assert built.read_bytes() == before


def test_other_chunks_do_not_matter_to_a_resumed_build(built, built_once):
    with h5py.File(built, "r+") as file:
        file[DONE][1] = 0
        file[MODELS][3:6] = -1.0
    assert build_hypercube(built, S_chunk=1, P_chunk=1, verbose=False).tiles_built == 9
    assert read(built).tobytes() == read(built_once).tobytes()


@pytest.mark.parametrize("n_written", [0, 1, 13, 26])
def test_an_error_at_a_tile_costs_that_tile(populated, built_once, problem, monkeypatch, n_written):
    write, left = TileWriter.write, [n_written]

    def failing(self, index, values):
        if not left[0]:
            raise RuntimeError("power failure")
        left[0] -= 1
        write(self, index, values)

    with monkeypatch.context() as patch:
        patch.setattr(TileWriter, "write", failing)
        with pytest.raises(RuntimeError, match="power failure"):
            build_hypercube(populated, **TILES)
    done = read(populated, DONE)
    assert done.sum() == n_written
    assert not lock_path(populated).exists()
    assert build_hypercube(populated, **TILES).tiles_built == 27 - n_written
    assert read(populated).tobytes() == read(built_once).tobytes()


def test_a_disk_that_fills_up_keeps_what_was_done(populated, built_once, monkeypatch):
    pwrite, room = os.pwrite, [40_000]

    def full(fd, data, at):
        """A short write first, as a full disk gives."""
        if len(data) < 1000:
            return pwrite(fd, data, at)
        if not room[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        n = min(room[0], len(data))
        room[0] -= n
        return pwrite(fd, bytes(data[:n]), at)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(StoreError, match=r"No space left.*make space on the disk") as e:
            build_hypercube(populated, **TILES)
    assert e.value.errno == errno.ENOSPC
    done = read(populated, DONE).astype(bool)
    assert 0 < done.sum() < 27
    want, found = read(built_once), read(populated)
    for s, c, p in np.argwhere(done):
        part = np.s_[3 * s : 3 * s + 3, 2 * c : 2 * c + 2, 4 * p : 4 * p + 4]
        assert (found[part] == want[part]).all()
    assert build_hypercube(populated, **TILES).tiles_built == 27 - done.sum()
    assert read(populated).tobytes() == want.tobytes()


KILLED_BUILD = """
import os, sys, time
from cubefit.store.tiles import TileWriter
write = TileWriter.write
def slow(self, index, values):
    write(self, index, values)
    self.sync()
    time.sleep(0.03)
TileWriter.write = slow
from cubefit.hypercube_builder import build_hypercube
print("started", flush=True)
build_hypercube(sys.argv[1], S_chunk=3, C_chunk=2, P_chunk=5, verbose=False)
"""


def test_builds_killed_at_any_time_add_up_to_one(populated, built_once):
    want, seen, kills = read(built_once), [], 0
    while True:
        with subprocess.Popen(
            [sys.executable, "-c", KILLED_BUILD, populated], stdout=subprocess.PIPE
        ) as process:
            process.stdout.readline()
            time.sleep(random.uniform(0.15, 0.4) * (kills > 0))  # noqa: S311
            process.send_signal(signal.SIGKILL)
        if process.returncode == 0:
            break
        kills += 1
        with h5py.File(populated, "r", swmr=True) as file:
            if "HyperCube" not in file:
                continue
            done, models = file[DONE][()].astype(bool), file[MODELS]
            for s, c, p in np.argwhere(done):
                part = np.s_[3 * s : 3 * s + 3, 2 * c : 2 * c + 2, 4 * p : 4 * p + 4]
                assert (models[part] == want[part]).all()
            seen.append(done)
        assert all((later >= earlier).all() for earlier, later in pairwise(seen))
        if done.all():
            break
    assert kills >= 2
    build_hypercube(populated, **TILES)
    assert read(populated).tobytes() == want.tobytes()
    assert [p.name for p in populated.parent.iterdir()] == ["cube.h5"]


def test_a_kill_at_any_system_call(populated, tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    driver = Path(__file__).with_name("store") / "kill_driver.py"
    command = [sys.executable, driver, "build", populated, folder, "4"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout.split()[0]) >= 10


@pytest.mark.parametrize("name", ["/LOSVD", "/Templates", "/VelPix", "/ObsPix"])
@pytest.mark.parametrize("unfinished", [False, True])
def test_changed_inputs_are_refused_with_the_mend(built, name, unfinished):
    with h5py.File(built, "r+") as file:
        file[name][...] = file[name][()] * 1.01
        file[DONE][0, 0, 0] = not unfinished
    before = built.read_bytes()
    with pytest.raises(StaleError, match=r"other inputs .*build_hypercube\(..., overwrite=True\)"):
        build_hypercube(built, **TILES)
    assert built.read_bytes() == before


def test_overwrite_builds_from_the_inputs_of_now(built, problem):
    with h5py.File(built, "r+") as file:
        file["/LOSVD"][...] *= 2.0
    size = built.stat().st_size
    build_hypercube(built, **TILES, overwrite=True)
    assert_models(built, 2.0 * problem.models)
    assert built.stat().st_size <= size


def test_new_data_need_no_new_cube(built):
    with h5py.File(built, "r+") as file:
        file["/DataCube"][...] *= 2.0
    assert build_hypercube(built, **TILES).tiles_built == 0


def test_a_changed_normalization_is_refused(built, problem):
    with pytest.raises(StaleError, match="normalization='losvd', not 'unit': pass overwrite=True"):
        build_hypercube(built, **TILES, normalization="unit")
    build_hypercube(built, **TILES, normalization="unit", overwrite=True)
    assert_models(built, problem.models / problem.losvd.sum(axis=1)[:, :, None, None])


class Disk:
    def __init__(self, free):
        self.free = free


def test_a_small_disk_is_refused_before_the_start(populated, monkeypatch):
    before = populated.read_bytes()
    monkeypatch.setattr(cubefit.store.files.shutil, "disk_usage", lambda _folder: Disk(50_000))
    with pytest.raises(StoreError, match=r"needs 0.00 GB, but .* matrix-free") as e:
        build_hypercube(populated, **TILES)
    assert e.value.errno == errno.ENOSPC
    assert populated.read_bytes() == before
    assert [p.name for p in populated.parent.iterdir()] == ["cube.h5"]


def test_a_quota_is_noticed_before_the_start(populated, monkeypatch):
    def refuse(path):
        raise cubefit.store.files.store_error(errno.EDQUOT, "over quota: make space.")

    before = populated.read_bytes()
    monkeypatch.setattr("cubefit.store.handle.reserve", refuse)
    with pytest.raises(StoreError, match="over quota"):
        build_hypercube(populated, **TILES)
    assert populated.read_bytes() == before
    assert [p.name for p in populated.parent.iterdir()] == ["cube.h5"]


def test_another_writer_is_refused_by_name(populated):
    with writer_lock(populated):
        told = f"being written by process {os.getpid()} on .*: that is this program"
        with pytest.raises(LockedError, match=told):
            build_hypercube(populated, **TILES)
    assert "HyperCube" not in h5py.File(populated)


def test_size_and_time_are_told_first(populated, caplog):
    caplog.set_level("INFO", "cubefit")
    build_hypercube(populated, **TILES)
    told = caplog.messages[0]
    assert "(7, 5, 12, 40)" in told
    assert "27 of 27 tiles of (3, 2, 4, 40)" in told
    assert "GB, at least 0 s" in told
    assert "the next call goes on" in told


@pytest.mark.parametrize("codec", ["gzip", "lzf", "bitshuffle-lz4"])
def test_compression_follows_the_build(populated, built_once, codec):
    build_hypercube(populated, **TILES, compression=codec)
    with HyperCubeReader(populated) as reader:
        assert reader.status.compression == codec
        assert reader.slab(slice(0, 7), slice(0, 12)).tobytes() == read(built_once).tobytes()


@pytest.mark.parametrize(
    ("settings_", "told"),
    [
        ({"S_chunk": 0}, "S_chunk=0"),
        ({"C_chunk": -1}, "C_chunk=-1"),
        ({"P_chunk": 2.5}, "P_chunk=2.5"),
        ({"n_workers": 0}, "n_workers=0"),
        ({"normalization": "none"}, "normalization='none': choose"),
        ({"compression": "zip"}, "codec='zip': choose"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_written(populated, settings_, told):
    before = populated.read_bytes()
    with pytest.raises(ConfigError, match=told):
        build_hypercube(populated, **settings_)
    assert populated.read_bytes() == before


def test_a_missing_file(tmp_path):
    with pytest.raises(StoreError, match="does not exist: populate it first"):
        build_hypercube(tmp_path / "cube.h5")
    assert list(tmp_path.iterdir()) == []


def test_through_a_link(populated, tmp_path, problem):
    link = tmp_path / "link"
    link.symlink_to(populated)
    build_hypercube(link, **TILES)
    assert link.is_symlink()
    assert_models(populated, problem.models)


def test_readers_see_tiles_while_they_are_built(populated, problem, monkeypatch):
    """A live look opens the file at once, and what it calls done is right."""
    write, looks = TileWriter.write, []

    def watched(self, index, values):
        write(self, index, values)
        self.sync()
        with h5py.File(populated, "r", swmr=True) as file:
            looks.append(int(file[DONE][()].sum()))
            s, c, p = (n * t for n, t in zip(index, (3, 2, 4), strict=True))
            np.testing.assert_allclose(file[MODELS][s, c, p], problem.models[s, c, p], rtol=1e-5)
        if looks[-1] < 27:
            with pytest.raises(MissingDataError, match=rf"has {looks[-1]} of 27 tiles"):
                HyperCubeReader(populated)

    monkeypatch.setattr(TileWriter, "write", watched)
    build_hypercube(populated, **TILES)
    assert looks == list(range(1, 28))


def test_tiles_stay_below_the_limit_of_the_format(populated, monkeypatch):
    monkeypatch.setattr(tiles, "MAX_CHUNK_BYTES", 10_000)
    with pytest.raises(ConfigError, match="lower S_chunk, C_chunk or P_chunk"):
        build_hypercube(populated, verbose=False)


def test_a_replaced_cube_gives_its_space_back_before_the_new_one_is_filled(built, monkeypatch):
    """A descriptor that kept the old file would double the disk that a build needs."""
    write, links = TileWriter.write, []

    def watched(self, index, values):
        folder = Path("/proc/self/fd")
        links.extend(link for fd in folder.iterdir() if (link := target_of(fd)))
        write(self, index, values)

    monkeypatch.setattr(TileWriter, "write", watched)
    build_hypercube(built, **TILES, overwrite=True)
    assert str(built) in links
    assert not [link for link in links if link.endswith("cube.h5 (deleted)")]


def target_of(fd):
    """Return what a descriptor leads to; nothing if it was closed meanwhile."""
    try:
        return str(fd.readlink())
    except FileNotFoundError:
        return ""


def test_a_new_build_that_was_stopped_goes_on_without_overwriting(built, monkeypatch):
    whole = read(built)
    with monkeypatch.context() as patch:
        patch.setattr(
            "cubefit.hypercube_builder.Progress.advance",
            lambda *_: signal.raise_signal(signal.SIGTERM),
        )
        told = (
            r"(\d+) of (\d+) tiles .* the same call without overwrite=True \(--overwrite\) goes on"
        )
        with pytest.raises(StoppedError, match=told) as stopped:
            build_hypercube(built, overwrite=True, **TILES)
    done, total = map(int, re.search(told, str(stopped.value)).groups())
    assert 0 < done < total == read(built, DONE).size
    report = build_hypercube(built, **TILES)
    assert report.tiles_built == total - done
    np.testing.assert_array_equal(read(built), whole)
