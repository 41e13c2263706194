"""The place of a HyperCube: space for its tiles, and everything else of the file as it was."""

import h5py
import numpy as np
import pytest

from cubefit.store import cube_creation
from cubefit.store.amend import sole_writer
from cubefit.store.cube_creation import copy_all_but, create_cube, create_sharded_cube
from cubefit.store.handle import new_file, reading
from cubefit.store.shards import shards_folder
from cubefit.store.tiles import TileGrid, read_status


@pytest.fixture
def cube(populated):
    """A populated file with an empty HyperCube of ragged tiles."""
    create_cube(populated, TileGrid.of((7, 5, 12, 40), 3, 2, 5), "losvd", "digest")
    return populated


def test_copies_keep_links_of_every_kind(populated, tmp_path):
    with h5py.File(populated, "r+") as file:
        file["soft"] = h5py.SoftLink("/DataCube")
        file["dangling"] = h5py.SoftLink("/nowhere")
        file["outside"] = h5py.ExternalLink("other.h5", "/x")
        file["group/deep"] = np.arange(3)
        file["group/again"] = file["group/deep"]
        file["group"].attrs["a"] = 1
    with reading(populated) as source, new_file(tmp_path / "copy.h5") as target:
        copy_all_but(source, target, "/LOSVD")
    with h5py.File(tmp_path / "copy.h5") as copy, h5py.File(populated) as source:
        assert set(copy) == set(source) - {"LOSVD"}
        for name in ("soft", "dangling", "outside"):
            kinds = [type(f.get(name, getlink=True)) for f in (copy, source)]
            assert kinds[0] is kinds[1]
        assert copy.get("soft", getlink=True).path == "/DataCube"
        assert copy.get("outside", getlink=True).filename == "other.h5"
        assert copy["TemplatesFFT"] == copy["TemplatesFFT_R"]
        assert copy["group/deep"] == copy["group/again"]
        assert copy["group"].attrs["a"] == 1


def test_a_replaced_cube_counts_for_nothing(cube, monkeypatch):
    """Only what is new must fit beside what is there."""
    grid = TileGrid.of((7, 5, 12, 40), 3, 2, 5)
    rest = cube.stat().st_size - grid.disk_bytes
    monkeypatch.setattr(cube_creation, "require_free", lambda _folder, n, _what: needed.append(n))
    needed = []
    create_cube(cube, grid, "losvd", "d")
    assert needed == [grid.disk_bytes + rest]


def test_space_that_a_killed_build_left_reserved_is_freed_first(populated, monkeypatch):
    left = populated.with_name("cube.h5.tmp")
    left.write_bytes(b"x" * 1000)
    seen = []
    monkeypatch.setattr(cube_creation, "require_free", lambda *_: seen.append(left.exists()))
    with sole_writer(populated):
        create_cube(populated, TileGrid.of((7, 5, 12, 40), 3, 2, 5), "losvd", "d")
    assert seen == [False]
    assert not left.exists()


GRID = TileGrid.of((7, 5, 12, 40), 3, 2, 5)


def test_shards_claim_their_space_and_no_tile_is_done(populated):
    with sole_writer(populated):
        create_sharded_cube(populated, GRID, 2, "unit", "digest")
    with reading(populated) as file:
        status = read_status(file)
    assert (status.normalization, status.digest, status.grid) == ("unit", "digest", GRID)
    assert not status.done.any()
    assert sum(shard.path.stat().st_size for shard in status.shards) > GRID.disk_bytes
    sizes = []
    for shard in status.shards:
        with h5py.File(shard.path) as file:
            assert file["/HyperCube/models"].attrs["first_spaxel"] == shard.first
            sizes.append(file["/HyperCube/models"].id.get_storage_size())
            assert file.id.get_create_plist().get_version()[0] == 0
    assert sum(sizes) == GRID.disk_bytes


@pytest.mark.parametrize("name", ["create_shard", "link_shards"])
def test_shards_that_could_not_be_made_are_not_left(cube, monkeypatch, name):
    before, made = cube.read_bytes(), []
    make = getattr(cube_creation, name)

    def failing(*arguments):
        made.append(make(*arguments))
        if len(made) == (2 if name == "create_shard" else 1):
            raise KeyboardInterrupt

    monkeypatch.setattr(cube_creation, name, failing)
    with sole_writer(cube), pytest.raises(KeyboardInterrupt):
        create_sharded_cube(cube, GRID, 3, "losvd", "digest")
    assert cube.read_bytes() == before
    assert not shards_folder(cube).exists()


def test_shards_need_the_space_of_all_tiles_and_of_the_file(populated, monkeypatch):
    needed = []
    monkeypatch.setattr(cube_creation, "require_free", lambda _folder, n, _what: needed.append(n))
    size = populated.stat().st_size
    with sole_writer(populated):
        create_sharded_cube(populated, GRID, 3, "losvd", "digest")
    assert needed == [GRID.disk_bytes + size]
