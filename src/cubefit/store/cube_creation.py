"""The place of a HyperCube: space for all of its tiles, in the file or in shards beside it."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np

from cubefit.store import schema
from cubefit.store.files import require_free
from cubefit.store.handle import new_file, reading
from cubefit.store.shards import (
    Shard,
    link_shards,
    planned_shards,
    remove_unused_shards,
    shards_folder,
)
from cubefit.store.tiles import CubeStatus, Shape4, TileGrid


def preallocated(
    file: h5py.File, entry: schema.Entry, shape: tuple[int, ...], chunks: Shape4 | None
) -> h5py.Dataset:
    """Create a dataset whose space is fixed at once and filled with nothing; its group exists."""
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    if chunks is not None:
        plist.set_chunk(chunks)
    plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    plist.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    # HDF5 wants chunks within the largest size to be; the one tile of a last shard may be longer.
    space = h5py.h5s.create_simple(shape, tuple(map(max, shape, chunks or shape)))
    kind = h5py.h5t.py_create(np.dtype(entry.dtype))
    dataset = h5py.Dataset(h5py.h5d.create(file.id, entry.path.encode(), kind, space, dcpl=plist))
    dataset.attrs.update(entry.labels())
    return dataset


def copy_all_but(source: h5py.File, target: h5py.File, dropped: str) -> None:
    """Copy every root object except ``dropped``, and the root attributes; keep links."""
    copied: dict[int, str] = {}
    for name in source:
        if f"/{name}" == dropped:
            continue
        link = source.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            target[name] = link
            continue
        address = h5py.h5o.get_info(source[name].id).addr
        if address in copied:
            target[name] = target[copied[address]]
        else:
            source.copy(name, target)
            copied[address] = name
    for key, value in source.attrs.items():
        target.attrs[key] = value


def shape_of_models(file: h5py.File) -> Shape4:
    """Return the sizes (S, C, P, L) of the models that the inputs in a file make."""
    S, _, C = file[schema.LOSVD.path].shape
    return S, C, file[schema.TEMPLATES.path].shape[0], file[schema.OBS_PIX.path].size


def bytes_besides_models(path: Path) -> int:
    """Return the size of a file without the values of its HyperCube."""
    with reading(path) as file:
        models = file.get(schema.MODELS.path)
        inside = models is not None and not models.is_virtual
        return path.stat().st_size - (int(models.id.get_storage_size()) if inside else 0)


def _label(models: h5py.Dataset, grid: TileGrid, normalization: str, digest: str) -> None:
    models.attrs[schema.ATTR_NORMALIZATION] = normalization
    models.attrs[schema.ATTR_DIGEST] = digest
    models.attrs[schema.ATTR_TILE_SHAPE] = json.dumps(grid.tile)


def _empty_cube(file: h5py.File, grid: TileGrid, normalization: str, digest: str) -> h5py.Dataset:
    """Create the datasets of a HyperCube of which no tile is done; return that of the models."""
    file.create_group(schema.HYPERCUBE_GROUP)
    preallocated(file, schema.DONE, grid.counts, None)[...] = 0
    preallocated(file, schema.CHECKSUMS, grid.counts, None)[...] = 0
    models = preallocated(file, schema.MODELS, grid.shape, grid.tile)
    _label(models, grid, normalization, digest)
    return models


def create_cube(path: Path, grid: TileGrid, normalization: str, digest: str) -> None:
    """Give a populated file an empty HyperCube, replacing one that it has.

    The caller is the sole writer.

    Raises
    ------
    StoreError
        If the disk cannot hold it; the file is then as it was.
    """
    needed = grid.disk_bytes + bytes_besides_models(path)
    require_free(path.resolve().parent, needed, f"The HyperCube of {path}")
    with new_file(path, reserve_blocks=True) as target:
        with reading(path) as source:
            copy_all_but(source, target, schema.HYPERCUBE_GROUP)
        _empty_cube(target, grid, normalization, digest)
    remove_unused_shards(path)


def create_shard(shard: Shard, grid: TileGrid, normalization: str, digest: str) -> None:
    """Create a shard of which no tile is done, and claim its space.

    Parameters
    ----------
    shard : Shard
        It.
    grid : TileGrid
        Of the whole HyperCube.
    normalization, digest : str
        Likewise.
    """
    with new_file(shard.path, reserve_blocks=True) as target:
        models = _empty_cube(target, grid.of_shard(shard), normalization, digest)
        models.attrs[schema.ATTR_FIRST_SPAXEL] = shard.first


def create_missing_shards(status: CubeStatus) -> None:
    """Create the shards of a HyperCube that are not there; by its sole writer."""
    for shard in status.missing:
        shard.path.parent.mkdir(exist_ok=True)
        create_shard(shard, status.grid, status.normalization, status.digest)


def create_sharded_cube(
    path: Path, grid: TileGrid, n_shards: int, normalization: str, digest: str
) -> None:
    """Give a populated file an empty HyperCube in shards beside it, replacing one that it has.

    The caller is the sole writer. Until all is there, the file stays as it was.

    Parameters
    ----------
    path : Path
        The file.
    grid : TileGrid
        How the HyperCube is cut.
    n_shards : int
        At most so many; a shard has whole rows of tiles along S.
    normalization, digest : str
        Of the HyperCube.

    Raises
    ------
    StoreError
        If the disk cannot hold it; the file is then as it was.
    """
    needed = grid.disk_bytes + bytes_besides_models(path)
    require_free(path.resolve().parent, needed, f"The HyperCube of {path}")
    shards = planned_shards(path, grid.shape[0], grid.tile[0], n_shards)
    shards_folder(path).mkdir(exist_ok=True)
    try:
        for shard in shards:
            create_shard(shard, grid, normalization, digest)
        with new_file(path) as target:
            with reading(path) as source:
                copy_all_but(source, target, schema.HYPERCUBE_GROUP)
            target.create_group(schema.HYPERCUBE_GROUP)
            models = link_shards(target, path, shards, grid.shape, grid.counts, grid.tile[0])
            _label(models, grid, normalization, digest)
    finally:
        remove_unused_shards(path)
