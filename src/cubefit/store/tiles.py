"""The HyperCube's tiles on disk: space for all of them first, then raw writes, done byte last."""

from __future__ import annotations

import json
import math
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import h5py
import numpy as np
from numpy.typing import NDArray

from cubefit.config import Normalization
from cubefit.errors import ConfigError, StaleError, StoreError
from cubefit.store import schema
from cubefit.store.access import path_of, read_apart
from cubefit.store.amend import sole_writer
from cubefit.store.files import require_whole, write_all
from cubefit.store.handle import READ_DAMAGE
from cubefit.store.lock import open_to_write
from cubefit.store.shards import Shard, shards_of

Shape4 = tuple[int, int, int, int]
MAX_CHUNK_BYTES = 2**32 - 1
"""HDF5's own limit."""


def even_chunk(size: int, most: int) -> int:
    """Return the chunk length of at most ``most`` that wastes least in the last chunk."""
    return math.ceil(size / math.ceil(size / most))


@dataclass(frozen=True, slots=True, kw_only=True)
class TileGrid:
    """How the HyperCube (S, C, P, L) is cut into tiles; a tile is one chunk of the file."""

    shape: Shape4
    tile: Shape4

    @classmethod
    def of(cls, shape: Shape4, s_chunk: int, c_chunk: int, p_chunk: int) -> TileGrid:
        """Return tiles of at most the given size, evened out.

        Raises
        ------
        ConfigError
            If a tile exceeds HDF5's 4 GiB.
        """
        S, C, P, L = shape
        tile = (even_chunk(S, s_chunk), even_chunk(C, c_chunk), even_chunk(P, p_chunk), L)
        n_bytes = 4 * math.prod(tile)
        if n_bytes > MAX_CHUNK_BYTES:
            raise ConfigError(
                f"A tile of {tile} takes {n_bytes / 2**30:.1f} GiB, HDF5 allows 4: lower S_chunk, "
                "C_chunk or P_chunk."
            )
        return cls(shape=shape, tile=tile)

    @property
    def counts(self) -> tuple[int, int, int]:
        """Number of tiles along S, C and P."""
        s, c, p = (math.ceil(n / t) for n, t in zip(self.shape[:3], self.tile[:3], strict=True))
        return s, c, p

    @property
    def disk_bytes(self) -> int:
        """Bytes of all tiles on disk."""
        return 4 * math.prod(self.counts) * math.prod(self.tile)

    def of_shard(self, shard: Shard) -> TileGrid:
        """Return how a shard is cut."""
        _, C, P, L = self.shape
        return TileGrid(shape=(shard.stop - shard.first, C, P, L), tile=self.tile)

    def slices(self, index: tuple[int, int, int]) -> tuple[slice, slice, slice]:
        """Return the spaxels, components and populations of a tile."""
        s, c, p = (
            slice(i * t, min((i + 1) * t, n))
            for i, t, n in zip(index, self.tile[:3], self.shape[:3], strict=True)
        )
        return s, c, p


@dataclass(frozen=True, slots=True, kw_only=True)
class CubeStatus:
    """What the file says of its HyperCube."""

    grid: TileGrid
    chunks: Shape4
    done: NDArray[np.bool_]
    """Shape ``grid.counts``."""
    normalization: Normalization
    digest: str
    """Digest of the inputs that it is made of."""
    compression: str
    checksums: NDArray[np.uint32]
    """Of each tile that is done, see `tile_checksum`; shape ``grid.counts``."""
    shards: tuple[Shard, ...] = ()
    """Files that it lies in, where it does not lie in the base file."""
    missing: tuple[Shard, ...] = ()
    """Those that are not there; none of their tiles is done."""

    def rows_of(self, shard: Shard) -> slice:
        """Return the rows of tiles in a shard."""
        tile = self.grid.tile[0]
        return slice(shard.first // tile, math.ceil(shard.stop / tile))

    @property
    def complete(self) -> bool:
        """Whether every tile is done."""
        return bool(self.done.all())


def tile_checksum(values: NDArray[np.float32], before: int = 0) -> int:
    """Return the CRC-32 of float32 values in C order, little-endian, padding left out.

    Parameters
    ----------
    values : ndarray
        Models of a tile, or of its next spaxels.
    before : int
        The checksum of its spaxels before them.
    """
    return zlib.crc32(np.ascontiguousarray(values, "<f4").data.cast("B"), before)


def read_status(file: h5py.File) -> CubeStatus | None:
    """Return the state of the HyperCube in a file, or None if there is none.

    Raises
    ------
    StoreError
        If a part of it is missing.
    """
    lacking = [e.path for e in (schema.MODELS, schema.DONE, schema.CHECKSUMS) if e.path not in file]
    if len(lacking) == 3:
        return None
    if lacking:
        raise StoreError(
            f"The HyperCube lacks {', '.join(lacking)}: build it anew with "
            "build_hypercube(..., overwrite=True)."
        )
    models, done = file[schema.MODELS.path], file[schema.DONE.path]
    tile: list[int] = json.loads(models.attrs[schema.ATTR_TILE_SHAPE])
    grid = TileGrid(shape=models.shape, tile=(tile[0], tile[1], tile[2], tile[3]))
    if models.is_virtual:
        return _status_of_shards(file, models, grid)
    done.id.refresh()
    return CubeStatus(
        grid=grid,
        chunks=models.chunks,
        done=done[()].astype(bool),
        normalization=models.attrs[schema.ATTR_NORMALIZATION],
        digest=models.attrs[schema.ATTR_DIGEST],
        compression=models.attrs.get(schema.ATTR_COMPRESSION, "none"),
        checksums=file[schema.CHECKSUMS.path][()],
    )


def _status_of_shards(file: h5py.File, models: h5py.Dataset, grid: TileGrid) -> CubeStatus:
    """Return the state of a HyperCube in shards, put together from theirs."""
    whole = CubeStatus(
        grid=grid,
        chunks=grid.tile,
        done=np.zeros(grid.counts, bool),
        normalization=models.attrs[schema.ATTR_NORMALIZATION],
        digest=models.attrs[schema.ATTR_DIGEST],
        compression="none",
        checksums=np.zeros(grid.counts, np.uint32),
        shards=tuple(shards_of(file)),
    )
    missing, labels, chunks = [], set(), grid.tile
    for shard in whole.shards:
        part = shard_status(shard, whole, path_of(file))
        if part is None:
            missing.append(shard)
            continue
        rows = whole.rows_of(shard)
        whole.done[rows], whole.checksums[rows] = part.done, part.checksums
        labels.add(part.compression)
        chunks = part.chunks
    label = " / ".join(sorted(labels - {"none"})) or "none"
    return replace(whole, compression=label, missing=tuple(missing), chunks=chunks)


def shard_status(shard: Shard, whole: CubeStatus, path: Path) -> CubeStatus | None:
    """Return the state of a shard, or None if it is missing.

    Raises
    ------
    StoreError
        If it is damaged, or no part of the HyperCube.
    """
    mend = "restore a copy, or remove it and run build_hypercube, which builds its tiles anew."
    try:
        with read_apart(shard.path) as file:
            status, first = read_status(file), -1
            if status is not None:
                first = int(file[schema.MODELS.path].attrs[schema.ATTR_FIRST_SPAXEL])
    except FileNotFoundError:
        return None
    except READ_DAMAGE as error:
        raise StoreError(
            f"The shard {shard.path} of {path} is damaged ({error}): {mend}"
        ) from error
    if status is None or (first, status.grid, status.normalization, status.digest) != (
        shard.first, whole.grid.of_shard(shard), whole.normalization, whole.digest,
    ):  # fmt: skip
        raise StoreError(f"{shard.path} is no shard of the HyperCube in {path}: {mend}")
    return status


def require_current(status: CubeStatus, digest: str, path: Path) -> None:
    """Raise StaleError if the HyperCube was built from other inputs than those now in the file."""
    if status.digest != digest:
        raise StaleError(
            f"The HyperCube in {path} was built from other inputs (LOSVD, templates or grids) than "
            "those now in the file: build it anew with build_hypercube(..., overwrite=True)."
        )


def require_normalization(status: CubeStatus, wanted: Normalization | None, path: Path) -> None:
    """Raise ConfigError if the HyperCube has another normalization than an explicit one."""
    if wanted not in (None, status.normalization):
        raise ConfigError(
            f"normalization={wanted!r}, but the HyperCube in {path} has "
            f"{status.normalization!r}: drop the argument, or build the HyperCube anew with it."
        )


def sync_values(fd: int) -> None:
    """Force written values to disk; some systems know the stronger form only."""
    (os.fdatasync if hasattr(os, "fdatasync") else os.fsync)(fd)


class TileWriter:
    """Writes tiles to their known places in the file, past HDF5.

    A tile is marked done only when its bytes are on disk. To spare the disk, tiles are synced in
    groups.

    Parameters
    ----------
    path : Path
        A file with a HyperCube, or a shard; the caller is its sole writer.
    group_bytes : int
        Bytes between two syncs.
    """

    def __init__(self, path: Path, *, group_bytes: int = 256 * 2**20) -> None:
        with read_apart(path) as file:
            status = read_status(file)
            if status is None or status.compression != "none" or status.shards:
                raise StoreError(f"{path} has no uncompressed HyperCube to write to: build one.")
            self.grid = status.grid
            self._done_offset = file[schema.DONE.path].id.get_offset()
            self._checksum_offset = file[schema.CHECKSUMS.path].id.get_offset()
            self._offsets: dict[tuple[int, ...], int] = {}
            file[schema.MODELS.path].id.chunk_iter(self._note_chunk)
        self._fd = open_to_write(path)
        self._path, self._n_bytes = path, os.fstat(self._fd).st_size
        self._group_bytes = group_bytes
        self._pending: list[tuple[tuple[int, int, int], int]] = []
        self._pending_bytes = 0
        self._checksums: dict[tuple[int, int, int], int] = {}

    def _note_chunk(self, info: h5py.h5d.StoreInfo) -> None:
        index = tuple(o // t for o, t in zip(info.chunk_offset, self.grid.tile, strict=True))
        self._offsets[index[:3]] = info.byte_offset

    def __enter__(self) -> Self:
        """Return the writer."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Sync what is written, mark it done, and close."""
        try:
            self.sync()
        finally:
            os.close(self._fd)

    def note_checksum(self, index: tuple[int, int, int], values: NDArray[np.float32]) -> None:
        """Take the checksum of a tile ahead of its writing: the disk does not wait for it."""
        _, components, populations = self.grid.slices(index)
        inside = values[
            :, : components.stop - components.start, : populations.stop - populations.start
        ]
        self._checksums[index] = tile_checksum(inside)

    def write(self, index: tuple[int, int, int], values: NDArray[np.float32]) -> None:
        """Write one tile.

        Parameters
        ----------
        index : tuple of int
            Its place in the grid.
        values : ndarray, shape (dS, tC, tP, L)
            C order; full tile lengths along C and P, spaxels of a last tile may be fewer.

        Raises
        ------
        StoreError
            If the file is not what it was.
        """
        require_whole(self._fd, self._n_bytes, self._path)
        write_all(self._fd, values.data.cast("B"), self._offsets[index])
        if index not in self._checksums:
            self.note_checksum(index, values)
        self._pending.append((index, self._checksums.pop(index)))
        self._pending_bytes += values.nbytes
        if self._pending_bytes >= self._group_bytes:
            self.sync()

    def sync(self) -> None:
        """Force written tiles to disk, then mark them done."""
        # Forgotten first: after a failed sync the next one succeeds, though the bytes are lost.
        written, self._pending, self._pending_bytes = self._pending, [], 0
        if not written:
            return
        sync_values(self._fd)
        require_whole(self._fd, self._n_bytes, self._path)
        for index, checksum in written:
            place = int(np.ravel_multi_index(index, self.grid.counts))
            crc = memoryview(checksum.to_bytes(4, "little"))
            write_all(self._fd, crc, self._checksum_offset + 4 * place)
            write_all(self._fd, memoryview(b"\x01"), self._done_offset + place)
        sync_values(self._fd)

    def forget(self, index: tuple[int, int, int]) -> None:
        """Mark a damaged tile as not done, so that the next build makes it anew."""
        place = int(np.ravel_multi_index(index, self.grid.counts))
        write_all(self._fd, memoryview(b"\x00"), self._done_offset + place)
        sync_values(self._fd)


def forget_tiles(path: Path, status: CubeStatus, tiles: Sequence[tuple[int, int, int]]) -> None:
    """Mark damaged tiles as not done, wherever they lie; by the sole writer of the file."""
    if not status.shards:
        with TileWriter(path) as writer:
            for index in tiles:
                writer.forget(index)
        return
    for shard in status.shards:
        rows = status.rows_of(shard)
        own = [(s - rows.start, c, p) for s, c, p in tiles if rows.start <= s < rows.stop]
        if own:
            with sole_writer(shard.path, "check"), TileWriter(shard.path) as writer:
                for index in own:
                    writer.forget(index)
