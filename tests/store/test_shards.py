"""A HyperCube in shards is the same HyperCube, to every reader."""

import shutil

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubefit.errors import MissingDataError, StoreError
from cubefit.file_check import check_file, forget_damaged
from cubefit.hypercube_builder import build_hypercube
from cubefit.hypercube_reader import HyperCubeReader
from cubefit.live import LiveFile
from cubefit.pipeline_runner import PipelineRunner
from cubefit.reconstruction import reconstruct_model_cube_single
from cubefit.store import shards as shards_module
from cubefit.store.amend import sole_writer
from cubefit.store.cube_creation import create_sharded_cube
from cubefit.store.digests import digest_of_models
from cubefit.store.file_info import file_info
from cubefit.store.file_status import file_status
from cubefit.store.gather import gather_hypercube
from cubefit.store.handle import amending, open_h5, reading
from cubefit.store.shards import planned_shards, shards_folder, stored_models
from cubefit.store.snapshot import read_snapshot
from cubefit.store.status_rows import status_rows
from cubefit.store.tiles import TileGrid, TileWriter, read_status

TILES = {"S_chunk": 3, "C_chunk": 2, "P_chunk": 5, "verbose": False}
PARTS = ("models", "_done", "_crc32")


def create(path, n_shards):
    with reading(path) as file:
        digest = digest_of_models(file)
    with sole_writer(path):
        grid = TileGrid.of((7, 5, 12, 40), 3, 2, 5)
        create_sharded_cube(path, grid, n_shards, "losvd", digest)


def status_of(path):
    with reading(path) as file:
        return read_status(file)


@pytest.fixture
def begun(populated):
    """A file with an empty HyperCube in three shards of 3, 3 and 1 spaxels."""
    create(populated, 8)
    return populated


@pytest.fixture
def sharded(begun):
    """The same, complete."""
    build_hypercube(begun, **TILES)
    return begun


def damage(path, shard):
    """Change one value in the first tile of a shard."""
    place = status_of(path).shards[shard].path
    with h5py.File(place, "r+") as file:
        file["/HyperCube/models"][0, 0, 0, 0] += 1


@given(n_spaxels=st.integers(1, 300), tile=st.integers(1, 40), n_shards=st.integers(1, 40))
def test_shards_cover_all_spaxels_in_whole_rows_of_tiles(
    n_spaxels, tile, n_shards, tmp_path_factory
):
    planned = planned_shards(tmp_path_factory.getbasetemp() / "a.h5", n_spaxels, tile, n_shards)
    assert [s.first for s in planned] == [0, *(s.stop for s in planned[:-1])]
    assert planned[-1].stop == n_spaxels
    assert len(planned) == min(n_shards, -(-n_spaxels // tile))
    assert all(s.first % tile == 0 and s.first < s.stop for s in planned)
    rows = [-(-(s.stop - s.first) // tile) for s in planned]
    assert max(rows) - min(rows) <= 1


@pytest.mark.parametrize("n_shards", [1, 2, 3])
def test_it_is_the_same_to_the_byte(populated, built, n_shards):
    create(populated, n_shards)
    report = build_hypercube(populated, **TILES)
    assert report.tiles_built == report.tiles_total == 27
    assert len(status_of(populated).shards) == n_shards
    with h5py.File(built) as one, h5py.File(populated, "r", swmr=True) as many:
        for part in PARTS:
            here, there = one["HyperCube"][part], many["HyperCube"][part]
            assert here[()].tobytes() == there[()].tobytes()
            assert dict(here.attrs) == dict(there.attrs)


def test_what_is_not_built_is_not_done(begun):
    with h5py.File(begun) as file:
        assert not file["/HyperCube/_done"][()].any()
    status = status_of(begun)
    assert not status.done.any()
    assert not status.missing
    with pytest.raises(MissingDataError, match="has 0 of 27 tiles"):
        HyperCubeReader(begun)
    assert check_file(begun, verbose=False).passed


def test_readers_do_not_know_the_difference(sharded, built):
    with HyperCubeReader(built) as one, HyperCubeReader(sharded) as many:
        assert one.shape == many.shape
        for s in range(-7, 7):
            np.testing.assert_array_equal(one.plane(s), many.plane(s))
        for first in range(7):
            for stop in range(first + 1, 8):
                part = slice(first, stop), slice(2, 9)
                np.testing.assert_array_equal(one.slab(*part), many.slab(*part))
        with pytest.raises(IndexError):
            many.plane(7)
    with open_h5(built, "reader") as one, open_h5(sharded, "reader") as many:
        models = [file["/HyperCube/models"][()] for file in (one, many)]
        np.testing.assert_array_equal(*models)
    one, many = read_snapshot(built), read_snapshot(sharded)
    np.testing.assert_array_equal(one.models, many.models)


def test_status_and_info_count_the_shards(sharded, built):
    one, many = file_status(built).build, file_status(sharded).build
    assert one.n_bytes == many.n_bytes
    assert (many.tiles_done, many.tiles_total) == (27, 27)
    assert "in 3 shards" in file_info(sharded).products["/HyperCube/models"]


def test_fits_and_reconstructions_do_not_know_the_difference(sharded, built):
    found = []
    for path in (built, sharded):
        settings = {"epochs": 2, "pixels_per_aperture": 20, "verbose": False}
        x, _ = PipelineRunner(path).solve_all(operator="stored", **settings)
        reconstruct_model_cube_single(path, verbose=False)
        with h5py.File(path) as file:
            found.append((x.tobytes(), file["/ModelCube"][()].tobytes()))
    assert found[0] == found[1]
    assert check_file(sharded, verbose=False).passed


def test_few_shards_are_open_at_a_time(sharded, monkeypatch):
    monkeypatch.setattr(shards_module, "MOST_OPEN", 1)
    with reading(sharded) as file, stored_models(file) as models:
        first = models[0]
        models[6]
        np.testing.assert_array_equal(models[0], first)
        assert len(models._open) == 1


def test_file_and_folder_move_together(sharded, built, tmp_path):
    new = tmp_path / "elsewhere"
    new.mkdir()
    shutil.move(sharded, new / "renamed.h5")
    shutil.move(shards_folder(sharded), new / shards_folder(sharded).name)
    with HyperCubeReader(built) as one, HyperCubeReader(new / "renamed.h5") as many:
        np.testing.assert_array_equal(one.plane(4), many.plane(4))


def renamed_with_its_folder(sharded, folder):
    folder.mkdir()
    shutil.move(sharded, folder / "other.h5")
    shutil.move(shards_folder(sharded), shards_folder(folder / "other.h5"))
    return folder / "other.h5"


def test_file_and_folder_may_be_renamed_together(sharded, built, tmp_path):
    other = renamed_with_its_folder(sharded, tmp_path / "elsewhere")
    names = sorted(path.name for path in shards_folder(other).iterdir())
    with reading(other) as file:
        status = read_status(file)
    assert status.complete
    assert not status.missing
    with HyperCubeReader(built) as one, HyperCubeReader(other) as many:
        np.testing.assert_array_equal(one.plane(3), many.plane(3))
    build_hypercube(other, **TILES)
    assert sorted(path.name for path in shards_folder(other).iterdir()) == names


def test_a_copy_goes_by_its_own_folder(sharded, tmp_path):
    copy = sharded.with_name("copy.h5")
    shutil.copy(sharded, copy)
    shutil.copytree(shards_folder(sharded), shards_folder(copy))
    with reading(copy) as file:
        assert {shard.path.parent for shard in read_status(file).shards} == {shards_folder(copy)}
    gather_hypercube(copy, verbose=False)
    assert shards_folder(sharded).is_dir()
    assert not shards_folder(copy).exists()


def test_a_fit_from_shards_that_are_missing_says_so(sharded):
    shutil.move(shards_folder(sharded), sharded.with_name("away"))
    with pytest.raises(StoreError, match="shard files are missing, first"):
        PipelineRunner(sharded).solve_all(operator="stored", verbose=False)
    assert "shard files are missing" in status_rows(file_status(sharded))["built"]


def test_a_missing_shard_is_named_and_built_anew(sharded, built):
    gone = status_of(sharded).shards[1].path
    gone.unlink()
    with pytest.raises(MissingDataError, match=f"the shard file {gone} is missing: move the fold"):
        HyperCubeReader(sharded)
    report = check_file(sharded, verbose=False)
    assert not report.passed
    assert str(gone) in str(report)
    assert file_status(sharded).build.tiles_done == 18
    assert build_hypercube(sharded, **TILES).tiles_built == 9
    with HyperCubeReader(built) as one, HyperCubeReader(sharded) as many:
        np.testing.assert_array_equal(one.plane(4), many.plane(4))


def test_a_missing_folder_is_built_anew(sharded):
    shutil.rmtree(shards_folder(sharded))
    with pytest.raises(MissingDataError, match="3 shard files are missing, first "):
        HyperCubeReader(sharded)
    assert build_hypercube(sharded, **TILES).tiles_built == 27


def test_a_shard_that_goes_while_it_is_read_is_named(sharded):
    with reading(sharded) as file, stored_models(file) as models:
        status_of(sharded).shards[0].path.unlink()
        with pytest.raises(StoreError, match=r"Models cannot be read, the shard file .* missing"):
            models[0]


def test_a_shard_of_another_cube_is_refused(sharded):
    first, second, _ = status_of(sharded).shards
    shutil.copy(first.path, second.path)
    with pytest.raises(StoreError, match=f"{second.path} is no shard of the HyperCube"):
        HyperCubeReader(sharded)


def test_a_damaged_shard_is_named(sharded):
    shard = status_of(sharded).shards[2].path
    shard.write_bytes(shard.read_bytes()[:700])
    with pytest.raises(StoreError, match=f"The shard {shard} of {sharded} is damaged"):
        HyperCubeReader(sharded)


def test_damaged_tiles_are_found_and_made_anew(sharded, built):
    damage(sharded, 1)
    assert check_file(sharded, verbose=False).damaged_tiles == ((1, 0, 0),)
    assert forget_damaged(sharded, verbose=False) == 1
    assert build_hypercube(sharded, **TILES).tiles_built == 1
    assert check_file(sharded, verbose=False).passed


def test_a_shard_has_one_writer(sharded):
    with pytest.raises(StoreError, match="no uncompressed HyperCube"):
        TileWriter(sharded)


def test_another_cube_takes_the_place_of_all_shards(sharded, problem):
    before = set(shards_folder(sharded).iterdir())
    create(sharded, 2)
    now = set(shards_folder(sharded).iterdir())
    assert len(now) == 2
    assert not before & now
    build_hypercube(sharded, overwrite=True, **TILES)
    assert not status_of(sharded).shards
    assert not shards_folder(sharded).exists()


def test_populating_anew_removes_the_shards(sharded, problem):
    problem.manager(sharded).populate_from_arrays(
        losvd=problem.losvd * 2,
        templates=problem.templates,
        datacube=problem.datacube,
        overwrite=True,
    )
    assert not shards_folder(sharded).exists()


def test_what_is_not_ours_stays_in_the_folder(sharded):
    note = shards_folder(sharded) / "note.txt"
    note.touch()
    build_hypercube(sharded, overwrite=True, **TILES)
    assert list(shards_folder(sharded).iterdir()) == [note]


def test_shards_of_the_original_outlive_its_copy(sharded):
    copy = sharded.with_name("copy.h5")
    shutil.copy(sharded, copy)
    build_hypercube(copy, overwrite=True, **TILES)
    with HyperCubeReader(sharded) as reader:
        assert reader.plane(0).any()


def test_amendments_leave_the_shards_alone(sharded):
    before = {p: p.read_bytes() for p in shards_folder(sharded).iterdir()}
    with amending(sharded) as file:
        file["note"] = np.arange(3)
    assert before == {p: p.read_bytes() for p in shards_folder(sharded).iterdir()}
    with h5py.File(sharded) as file:
        assert file["/HyperCube/_done"][()].all()
        assert file["note"][2] == 2


def test_viewers_see_every_tile_though_the_file_does_not_change(begun, monkeypatch):
    live, seen, write = LiveFile(begun), [], TileWriter.write

    def watched(writer, index, values):
        write(writer, index, values)
        writer.sync()
        if live.refresh():
            seen.append(int(live.now.done.sum()))

    monkeypatch.setattr(TileWriter, "write", watched)
    build_hypercube(begun, **TILES)
    assert len(seen) > 13
    assert seen == sorted(seen)
    assert live.refresh()
    assert live.now.done.all()
