"""Compression of a finished HyperCube: into a new file, verified, then swapped in."""

from __future__ import annotations

import importlib.util
import logging
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from cubefit.config import require_choice
from cubefit.errors import ConfigError, DependencyError, MissingDataError, StoreError
from cubefit.interrupts import stopping_between_steps
from cubefit.progress import Progress, visible_log
from cubefit.store import schema
from cubefit.store.access import read_apart
from cubefit.store.amend import sole_writer
from cubefit.store.cube_creation import copy_all_but
from cubefit.store.handle import new_file, reading
from cubefit.store.shards import missing_words, stored_bytes
from cubefit.store.tiles import CubeStatus, TileGrid, read_status, tile_checksum

logger = logging.getLogger(__name__)

Codec = Literal["gzip", "lzf", "bitshuffle-lz4"]
CHUNK_BYTES = 4 * 2**20
"""Compressed chunks hold whole spectra of one spaxel and about this many bytes."""
SLAB_BYTES = 256 * 2**20
MANTISSA_BITS = 23
"""Of a float32, the leading one not counted."""
INFINITY_BITS = 0x7F800000


def round_mantissa(values: NDArray[np.float32], keep_bits: int) -> NDArray[np.float32]:
    """Return float32 values rounded to ``keep_bits`` explicit mantissa bits, ties to even.

    The relative error is at most ``2**-(keep_bits + 1)`` (1.2e-4 for 12 bits); for subnormals
    (below 1.2e-38) the absolute error is that share of 1.2e-38. Infinities and NaN stay what they
    are, and nothing finite becomes infinite.
    """
    if keep_bits == MANTISSA_BITS:
        return values
    dropped = MANTISSA_BITS - keep_bits
    bits = np.ascontiguousarray(values).view(np.uint32)
    lowest_kept = (bits >> np.uint32(dropped)) & np.uint32(1)
    rounded = bits + (np.uint32((1 << (dropped - 1)) - 1) + lowest_kept)
    mask = np.uint32((0xFFFFFFFF << dropped) & 0xFFFFFFFF)
    rounded &= mask
    # Rounding up there would overflow; cutting off obeys the same bound.
    top = (bits & np.uint32(0x7FFFFFFF)) >= np.uint32(INFINITY_BITS - (1 << (dropped - 1)))
    if top.any():
        rounded[top] = np.where(np.isfinite(values[top]), bits[top] & mask, bits[top])
    return rounded.view(np.float32)


def filters_of(codec: Codec, level: int, *, shuffle: bool) -> Mapping[str, Any]:
    """Return the h5py arguments of a codec.

    Raises
    ------
    ConfigError
        If the codec or level is unknown.
    DependencyError
        If its plugin is not installed.
    """
    require_choice("codec", codec, Codec)
    if codec == "gzip":
        if not isinstance(level, int) or not 0 <= level <= 9:
            raise ConfigError(f"level={level!r}: gzip takes a whole number from 0 to 9.")
        return {"compression": "gzip", "compression_opts": level, "shuffle": shuffle}
    if codec == "lzf":
        return {"compression": "lzf", "shuffle": shuffle}
    return dict(load_plugins().Bitshuffle(cname="lz4"))


def load_plugins() -> Any:
    """Import hdf5plugin, which registers its filters with HDF5."""
    if importlib.util.find_spec("hdf5plugin") is None:
        raise DependencyError(
            'This HyperCube needs the package hdf5plugin: pip install "cubefit[compress]".'
        )
    return importlib.import_module("hdf5plugin")


def require_filters(status: CubeStatus) -> None:
    """Make the filter of a compressed HyperCube known to HDF5.

    Raises
    ------
    DependencyError
        If its plugin is not installed.
    """
    if "bitshuffle" in status.compression:
        load_plugins()


def compressed_chunks(shape: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """Return chunks that suit reading one spaxel plane."""
    _, C, P, L = shape
    populations = min(P, max(1, CHUNK_BYTES // (4 * L)))
    components = min(C, max(1, CHUNK_BYTES // (4 * L * populations)))
    return 1, components, populations, L


def slabs_of(grid: TileGrid) -> Iterator[tuple[slice, slice]]:
    """Yield ranges of spaxels and components of about `SLAB_BYTES`, components in whole tiles."""
    S, C, P, L = grid.shape
    tiles = max(1, SLAB_BYTES // (4 * P * L * grid.tile[1]))
    components = min(C, tiles * grid.tile[1])
    spaxels = min(S, max(1, SLAB_BYTES // (4 * P * L * C))) if components == C else 1
    for s in range(0, S, spaxels):
        for c in range(0, C, components):
            yield slice(s, min(s + spaxels, S)), slice(c, min(c + components, C))


class RunningChecksums:
    """The checksums of all tiles of a HyperCube that comes slab by slab, spaxels in order."""

    def __init__(self, grid: TileGrid) -> None:
        self._grid = grid
        self.found = np.zeros(grid.counts, np.uint32)

    def take(self, first_spaxel: int, first_component: int, slab: NDArray[np.float32]) -> None:
        """Go on with the models of some spaxels and components, all populations."""
        s_tile, c_tile, p_tile = self._grid.tile[:3]
        for offset, plane in enumerate(slab):
            s = (first_spaxel + offset) // s_tile
            for c in range(0, plane.shape[0], c_tile):
                for p in range(0, plane.shape[1], p_tile):
                    index = s, (first_component + c) // c_tile, p // p_tile
                    part = plane[c : c + c_tile, p : p + p_tile]
                    self.found[index] = tile_checksum(part, int(self.found[index]))


def require_checksums(
    found: NDArray[np.uint32], expected: NDArray[np.uint32], path: Path, mend: str
) -> None:
    """Raise StoreError if tiles are not what was written.

    Raises
    ------
    StoreError
        With the first of them.
    """
    damaged = np.argwhere(found != expected)
    if len(damaged):
        first = tuple(int(i) for i in damaged[0])
        raise StoreError(
            f"{len(damaged)} tiles of the HyperCube in {path} are damaged, first {first}: {mend}"
        )


def compress_hypercube(
    path: Path,
    *,
    codec: Codec = "gzip",
    level: int = 2,
    shuffle: bool = True,
    keep_bits: int | None = None,
    on_bytes: Callable[[int], None] | None = None,
) -> tuple[int, int]:
    """Compress a finished HyperCube; the file is replaced only when the copy is verified.

    One in shards is compressed shard by shard. Where that was stopped, the same call goes on with
    the others.

    Parameters
    ----------
    path : Path
        The file.
    codec, level, shuffle
        The filter.
    keep_bits : int, optional
        Mantissa bits to keep, 1 to 23; None keeps all, which is lossless.
    on_bytes : callable, optional
        Called with the bytes of each slab copied and of each slab verified.

    Returns
    -------
    before, after : int
        Bytes of the stored models.

    Raises
    ------
    MissingDataError
        If there is no finished HyperCube.
    StoreError
        If the copy does not read back as written; the file, or shard, is then as it was.
    """
    bits = MANTISSA_BITS if keep_bits is None else keep_bits
    if not isinstance(bits, int) or not 1 <= bits <= MANTISSA_BITS:
        raise ConfigError(f"keep_bits={keep_bits!r}: float32 has 1 to {MANTISSA_BITS}.")
    way = _Way(codec, filters_of(codec, level, shuffle=shuffle), bits, on_bytes)
    with reading(path):
        pass
    with sole_writer(path, "compress"), reading(path) as source:
        status = require_finished(source, path, "compress")
        require_filters(status)
        if not status.shards:
            return _compress_file(path, source, status, way)
        before = stored_bytes(source)
        for shard in status.shards:
            with sole_writer(shard.path, "compress"), read_apart(shard.path) as part:
                of_part = read_status(part)
                assert of_part is not None  # noqa: S101 - it was counted in the whole
                _compress_shard(shard.path, part, of_part, way)
        return before, stored_bytes(source)


def require_finished(file: h5py.File, path: Path, verb: str) -> CubeStatus:
    """Return the state of the HyperCube in an open file, which is complete.

    Parameters
    ----------
    file : h5py.File
        The file, open.
    path : Path
        Its name.
    verb : str
        What for.

    Raises
    ------
    MissingDataError
        If it is not.
    """
    status = read_status(file)
    if status is not None and status.missing:
        raise MissingDataError(f"Of the HyperCube in {path} {missing_words(status.missing)}.")
    if status is None or not status.complete:
        raise MissingDataError(
            f"{path} has no finished HyperCube to {verb}: run build_hypercube first."
        )
    return status


class _Way(NamedTuple):
    """How to compress."""

    codec: str
    filters: Mapping[str, Any]
    bits: int
    on_bytes: Callable[[int], None] | None

    def label(self, left: int) -> str:
        """Return what a compressed HyperCube with so many bits left is called."""
        return self.codec if left == MANTISSA_BITS else f"{self.codec}, {left} mantissa bits"


def _bits_left(models: h5py.Dataset, way: _Way) -> int:
    return min(way.bits, int(models.attrs.get(schema.ATTR_MANTISSA_BITS, MANTISSA_BITS)))


def _compress_shard(path: Path, source: h5py.File, status: CubeStatus, way: _Way) -> None:
    """Compress a shard, unless that is done."""
    if status.compression != way.label(_bits_left(source[schema.MODELS.path], way)):
        _compress_file(path, source, status, way)
    elif way.on_bytes is not None:
        way.on_bytes(8 * math.prod(status.grid.shape))


def _compress_file(path: Path, source: h5py.File, status: CubeStatus, way: _Way) -> tuple[int, int]:
    """Replace a file by one with a compressed HyperCube; return its bytes before and after."""
    with new_file(path) as target:
        copy_all_but(source, target, schema.HYPERCUBE_GROUP)
        before, after = _copy_models(source, target, path, status, way)
        attributes = target[schema.MODELS.path].attrs
        left = _bits_left(source[schema.MODELS.path], way)
        attributes[schema.ATTR_COMPRESSION] = way.label(left)
        attributes[schema.ATTR_MANTISSA_BITS] = left
        verify_copy(target, path, way.on_bytes)
    return before, after


def _copy_models(
    source: h5py.File,
    target: h5py.File,
    path: Path,
    status: CubeStatus,
    way: _Way,
) -> tuple[int, int]:
    models = source[schema.MODELS.path]
    target.create_group(schema.HYPERCUBE_GROUP)
    for entry in (schema.DONE, schema.CHECKSUMS):
        source.copy(entry.path, target, name=entry.path)
    copy = target.create_dataset(
        schema.MODELS.path,
        models.shape,
        models.dtype,
        chunks=compressed_chunks(models.shape),
        **way.filters,
    )
    copy.attrs.update(models.attrs)
    read, written = RunningChecksums(status.grid), RunningChecksums(status.grid)
    for s, c in slabs_of(status.grid):
        slab = models[s, c]
        read.take(s.start, c.start, slab)
        rounded = round_mantissa(slab, way.bits)
        if way.bits < MANTISSA_BITS:
            written.take(s.start, c.start, rounded)
        copy[s, c] = rounded
        if way.on_bytes is not None:
            way.on_bytes(slab.nbytes)
    mend = "build them anew after `cubefit check --forget-damaged`. Nothing was changed."
    require_checksums(read.found, status.checksums, path, mend)
    if way.bits < MANTISSA_BITS:
        target[schema.CHECKSUMS.path][...] = written.found
    target.flush()
    return models.id.get_storage_size(), copy.id.get_storage_size()


def verify_copy(target: h5py.File, path: Path, on_bytes: Callable[[int], None] | None) -> None:
    """Read a copy of a HyperCube back and compare checksums.

    Raises
    ------
    StoreError
        If it is not what was written.
    """
    status = read_status(target)
    assert status is not None  # noqa: S101 - just made
    models, read = target[schema.MODELS.path], RunningChecksums(status.grid)
    for s, c in slabs_of(status.grid):
        slab = models[s, c]
        read.take(s.start, c.start, slab)
        if on_bytes is not None:
            on_bytes(slab.nbytes)
    mend = "the copy reads back differently, and the file was left as it is. Check the disk."
    require_checksums(read.found, status.checksums, path, mend)


def compress_visibly(
    path: Path,
    *,
    codec: Codec = "gzip",
    level: int = 2,
    shuffle: bool = True,
    keep_bits: int | None = None,
    verbose: bool = True,
) -> tuple[int, int]:
    """Run `compress_hypercube` with progress, and say what it saved."""
    with reading(path) as file:
        status = read_status(file)
    # Every byte is copied once and verified once.
    total = 1 if status is None else 8 * math.prod(status.grid.shape)
    what_is_left = f"{path} is as it was"
    if status is not None and status.shards:
        what_is_left = f"the shards of {path} so far are compressed, the others as they were"
    with (
        visible_log(verbose),
        Progress("Compressing", total, verbose=verbose) as progress,
        stopping_between_steps(
            f"{what_is_left}; the same call compresses it.", f"{path} is compressed."
        ) as look,
    ):

        def step(n_bytes: int) -> None:
            progress.advance(n_bytes)
            look()

        before, after = compress_hypercube(
            path,
            codec=codec,
            level=level,
            shuffle=shuffle,
            keep_bits=keep_bits,
            on_bytes=step,
        )
        logger.info("Models: %.3f GB before, %.3f GB now.", before / 1e9, after / 1e9)
    return before, after
