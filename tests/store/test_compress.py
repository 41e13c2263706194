import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cubefit.errors import ConfigError, DependencyError, LockedError, MissingDataError, StoreError
from cubefit.hypercube_builder import build_hypercube
from cubefit.hypercube_reader import HyperCubeReader
from cubefit.store import compress
from cubefit.store.compress import (
    RunningChecksums,
    compress_hypercube,
    compressed_chunks,
    round_mantissa,
    slabs_of,
)
from cubefit.store.handle import open_h5
from cubefit.store.lock import writer_lock
from cubefit.store.tiles import TileGrid, read_status, tile_checksum

MODELS = "/HyperCube/models"
SMALLEST_NORMAL = float(np.finfo(np.float32).tiny)
LARGEST = float(np.finfo(np.float32).max)

finite = st.floats(width=32, allow_nan=False, allow_infinity=False)


def models_of(path):
    with h5py.File(path, "r") as file:
        return file[MODELS][()]


@given(value=finite, bits=st.integers(1, 23))
@example(value=LARGEST, bits=12)
@example(value=-LARGEST, bits=1)
@example(value=0.0, bits=12)
@example(value=-0.0, bits=12)
@example(value=SMALLEST_NORMAL, bits=12)
@example(value=float(np.float32(1e-45)), bits=12)
def test_rounding_keeps_its_bound(value, bits):
    given_value = np.array([value], np.float32)
    rounded = round_mantissa(given_value, bits)
    assert given_value[0] == np.float32(value)
    assert np.isfinite(rounded[0])
    assert np.signbit(rounded[0]) == np.signbit(given_value[0])
    error = abs(float(rounded[0]) - float(given_value[0]))
    assert error <= 2.0 ** -(bits + 1) * max(abs(float(given_value[0])), SMALLEST_NORMAL)
    assert rounded.view(np.uint32)[0] % 2 ** (23 - bits) == 0
    assert round_mantissa(rounded, bits).view(np.uint32)[0] == rounded.view(np.uint32)[0]


@given(values=st.lists(finite, min_size=2, max_size=20), bits=st.integers(1, 23))
def test_rounding_keeps_the_order(values, bits):
    rounded = round_mantissa(np.sort(np.array(values, np.float32)), bits)
    assert (np.diff(rounded.astype(np.float64)) >= 0).all()


def test_ties_go_to_even():
    step = 2.0**-12
    values = np.array([1 + 0.5 * step, 1 + 1.5 * step, -(1 + 0.5 * step)], np.float32)
    assert round_mantissa(values, 12).tolist() == [1.0, 1 + 2 * step, -1.0]


def test_what_is_not_finite_stays_what_it_is():
    odd = np.array([0x7FFFFFFF, 0xFFC00001, 0x7F800001], np.uint32).view(np.float32)
    values = np.concatenate([np.array([np.inf, -np.inf, np.nan], np.float32), odd])
    for bits in (1, 12, 22):
        rounded = round_mantissa(values, bits)
        assert rounded[:2].tolist() == [np.inf, -np.inf]
        assert np.isnan(rounded[2:]).all()


@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("gzip", {}),
        ("gzip", {"level": 9, "shuffle": False}),
        ("gzip", {"level": 0}),
        ("lzf", {}),
        ("lzf", {"shuffle": False}),
        ("bitshuffle-lz4", {}),
        ("gzip", {"keep_bits": 23}),
    ],
)
def test_lossless_codecs_keep_every_bit(built, built_once, codec, options):
    compress_hypercube(built, codec=codec, **options)
    assert models_of(built).tobytes() == models_of(built_once).tobytes()
    with HyperCubeReader(built) as reader:
        assert reader.status.compression == codec
        assert reader.plane(6).tobytes() == models_of(built_once)[6].tobytes()


def test_twelve_bits_keep_the_stated_error(built, built_once, problem):
    before, after = compress_hypercube(built, codec="bitshuffle-lz4", keep_bits=12)
    exact, found = (models_of(p).astype(np.float64) for p in (built_once, built))
    normal = np.abs(exact) >= SMALLEST_NORMAL
    assert (np.abs(found - exact)[normal] <= 2.0**-13 * np.abs(exact[normal])).all()
    assert (np.abs(found - exact)[~normal] <= 2.0**-13 * SMALLEST_NORMAL).all()
    assert not np.array_equal(found, exact)
    assert after < before
    with open_h5(built, "reader") as file:
        assert read_status(file).compression == "bitshuffle-lz4, 12 mantissa bits"
        assert file[MODELS].attrs["mantissa_bits"] == 12


def test_compressing_again_remembers_the_bits_that_were_lost(built):
    compress_hypercube(built, codec="bitshuffle-lz4", keep_bits=12)
    rounded = models_of(built)
    compress_hypercube(built, codec="gzip")
    assert models_of(built).tobytes() == rounded.tobytes()
    with open_h5(built, "reader") as file:
        assert read_status(file).compression == "gzip, 12 mantissa bits"


def test_everything_else_survives(built, problem):
    with open_h5(built, "writer") as file:
        file["/Mine/deep"] = np.arange(5)
        file.attrs["mine"] = "kept"
    with h5py.File(built) as file:
        before = {n: file[n][()].tobytes() for n in file if isinstance(file[n], h5py.Dataset)}
        attributes, labels = dict(file.attrs), dict(file[MODELS].attrs)
        done = file["/HyperCube/_done"][()]
    compress_hypercube(built)
    with h5py.File(built) as file:
        assert {n: file[n][()].tobytes() for n in before} == before
        assert dict(file.attrs) == attributes
        assert file["/TemplatesFFT"] == file["/TemplatesFFT_R"]
        assert file["/Mine/deep"][4] == 4
        assert (file["/HyperCube/_done"][()] == done).all()
        kept = {k: v for k, v in file[MODELS].attrs.items() if k in labels}
        assert kept == labels
    assert [p.name for p in built.parent.iterdir()] == ["cube.h5"]


def test_the_compressed_cube_counts_as_built(built, caplog):
    compress_hypercube(built, codec="lzf")
    caplog.set_level("INFO", "cubefit")
    report = build_hypercube(built, verbose=False)
    assert report.tiles_built == 0
    assert "nothing to do" in caplog.text


def test_a_copy_that_reads_back_differently_is_dropped(built, monkeypatch):
    before = built.read_bytes()
    monkeypatch.setattr(
        compress, "_copy_models", lambda *args: spoil(args[1], compress_models(*args))
    )
    with pytest.raises(StoreError, match=r"reads back differently.*left as it is"):
        compress_hypercube(built)
    assert built.read_bytes() == before
    assert [p.name for p in built.parent.iterdir()] == ["cube.h5"]


compress_models = compress._copy_models


def test_a_damaged_tile_is_not_compressed(built):
    with h5py.File(built, "r+") as file:
        file[MODELS][3, 2, 1, 0] += 1e-6
    before = built.read_bytes()
    told = r"1 tiles .* damaged, first \(1, 1, 0\): .*--forget-damaged"
    with pytest.raises(StoreError, match=told):
        compress_hypercube(built)
    assert built.read_bytes() == before


def spoil(target, sizes):
    target[MODELS][3, 2, 1, 0] += 1e-6
    return sizes


def test_an_error_half_way_leaves_the_file(built, monkeypatch):
    before = built.read_bytes()
    monkeypatch.setattr(compress, "SLAB_BYTES", 4 * 12 * 40 * 5)

    def interrupt(n_bytes):
        count.append(n_bytes)
        if len(count) == 5:
            raise KeyboardInterrupt

    count = []
    with pytest.raises(KeyboardInterrupt):
        compress_hypercube(built, on_bytes=interrupt)
    assert built.read_bytes() == before
    assert [p.name for p in built.parent.iterdir()] == ["cube.h5"]


def test_a_kill_leaves_the_old_file_or_the_new_one(built, tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    driver = Path(__file__).with_name("kill_driver.py")
    command = [sys.executable, driver, "compress", built, folder, "2"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout.split()[0]) >= 6


def test_an_unfinished_cube_is_refused(built, populated):
    with h5py.File(built, "r+") as file:
        file["/HyperCube/_done"][0, 0, 0] = 0
    for path in (built, populated):
        before = path.read_bytes()
        with pytest.raises(MissingDataError, match="no finished HyperCube to compress"):
            compress_hypercube(path)
        assert path.read_bytes() == before


def test_another_writer_is_refused(built):
    with writer_lock(built), pytest.raises(LockedError):
        compress_hypercube(built)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"codec": "zstd"}, "codec='zstd': choose one of 'gzip'"),
        ({"level": 10}, "level=10: gzip takes"),
        ({"level": -1}, "level=-1"),
        ({"level": 2.5}, "level=2.5"),
        ({"keep_bits": 0}, "keep_bits=0"),
        ({"keep_bits": 24}, "keep_bits=24"),
        ({"keep_bits": 12.0}, "keep_bits=12.0"),
    ],
)
def test_wrong_settings_are_refused(built, settings, told):
    with pytest.raises(ConfigError, match=told):
        compress_hypercube(built, **settings)


def test_a_missing_plugin_gives_the_command(built, populated, monkeypatch):
    compress_hypercube(built, codec="bitshuffle-lz4")
    monkeypatch.setattr(compress.importlib.util, "find_spec", lambda _name: None)
    pip = r'pip install "cubefit\[compress\]"'
    with pytest.raises(DependencyError, match=pip):
        compress_hypercube(populated, codec="bitshuffle-lz4")
    with pytest.raises(DependencyError, match=pip):
        build_hypercube(populated, compression="bitshuffle-lz4", verbose=False)
    with pytest.raises(DependencyError, match=pip):
        HyperCubeReader(built)
    with pytest.raises(DependencyError, match=pip):
        compress_hypercube(built, codec="gzip")


def test_a_new_process_finds_the_plugin_by_itself(built, tmp_path):
    """Reader, snapshot and recompression each load the filter that they need."""
    compress_hypercube(built, codec="bitshuffle-lz4")
    code = """
import sys
from pathlib import Path
path, action = Path(sys.argv[1]), sys.argv[2]
if action == "read":
    from cubefit.hypercube_reader import HyperCubeReader
    with HyperCubeReader(path) as reader:
        assert reader.plane(0).any()
elif action == "snapshot":
    from cubefit.store.snapshot import read_snapshot
    assert read_snapshot(path).models.any()
else:
    from cubefit.store.compress import compress_hypercube
    compress_hypercube(path)
"""
    for action in ("read", "snapshot", "compress"):
        path = shutil.copy(built, tmp_path / action)
        subprocess.run([sys.executable, "-c", code, path, action], check=True)


few = st.integers(1, 9)


@given(
    shape=st.tuples(few, few, few, few),
    chunks=st.tuples(few, few, few),
    slab_bytes=st.integers(1, 4000),
    seed=st.integers(0, 2**32 - 1),
)
def test_slabs_cover_the_cube_once_and_add_up_to_the_checksums_of_the_tiles(
    shape, chunks, slab_bytes, seed
):
    grid = TileGrid.of(shape, *chunks)
    models = np.random.default_rng(seed).random(shape, np.float32)
    running = RunningChecksums(grid)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compress, "SLAB_BYTES", slab_bytes)
        covered = np.zeros(shape, int)
        for part in slabs_of(grid):
            covered[part] += 1
            least = 4 * shape[2] * shape[3] * grid.tile[1]
            assert covered[part].nbytes // 2 <= max(slab_bytes, least)
            running.take(part[0].start, part[1].start, models[part])
    assert (covered == 1).all()
    for index in np.ndindex(grid.counts):
        assert running.found[index] == tile_checksum(models[grid.slices(index)])


@given(shape=st.tuples(*[st.integers(1, 3000)] * 4))
def test_compressed_chunks_hold_whole_spectra_of_one_spaxel(shape):
    chunks = compressed_chunks(shape)
    assert chunks[0] == 1
    assert chunks[3] == shape[3]
    assert all(1 <= n <= size for n, size in zip(chunks, shape, strict=True))
    assert 4 * np.prod(chunks) <= max(compress.CHUNK_BYTES, 4 * shape[3])
