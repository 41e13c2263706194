"""Looking at a file that may be wrong: its layout, and its tiles against their checksums."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
from numpy.typing import NDArray

from cubefit.errors import CubeFitError, StoreError
from cubefit.store import schema
from cubefit.store.compress import slabs_of
from cubefit.store.handle import READ_DAMAGE, reading
from cubefit.store.shards import Models, stored_models
from cubefit.store.tiles import CubeStatus, TileGrid, tile_checksum

TileIndex = tuple[int, int, int]
Part = tuple[slice, slice, slice]
"""Spaxels, components and populations."""
Values = NDArray[np.float32]

PIECE_BYTES: Final = 32 * 2**20
"""Of a tile that is read at once: tiles may be 4 GiB, and larger pieces are not faster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What stands at a path of the schema."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    attributes: dict[str, Any]
    fault: str = ""
    """Why it is no readable dataset; all else is empty then."""


def _no_dataset(fault: str) -> Found:
    return Found(shape=(), dtype=np.dtype("V1"), attributes={}, fault=fault)


def found_at(file: h5py.File, name: str) -> Found:
    """Return what stands at a path that the file has."""
    try:
        node = file[name]
        if not isinstance(node, h5py.Dataset):
            return _no_dataset("is no dataset")
        return Found(shape=node.shape or (), dtype=node.dtype, attributes=dict(node.attrs))
    except READ_DAMAGE as error:
        return _no_dataset(f"cannot be read ({error})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """A file, open, and what was found in it."""

    file: h5py.File
    attributes: dict[str, Any]
    layout: dict[str, Found]
    """What the file has of `schema.TABLE`, by path."""
    reconstructions: dict[str, Found]
    """Model cubes in the file's root, by path: ``/ModelCube`` and those of other names."""


def survey_of(file: h5py.File) -> Survey:
    """Return what is found in an open file."""
    known = {e.path for e in schema.TABLE}
    layout = {path: found_at(file, path) for path in sorted(known) if path in file}
    standard = schema.MODEL_CUBE.path
    cubes = {standard: layout[standard]} if standard in layout else {}
    for path in (f"/{name}" for name in file if f"/{name}" not in known):
        found = found_at(file, path)
        if schema.ATTR_X_DIGEST in found.attributes:
            cubes[path] = found
    return Survey(file=file, attributes=dict(file.attrs), layout=layout, reconstructions=cubes)


@contextmanager
def surveying(path: Path) -> Iterator[Survey]:
    """Open a file that may be damaged, to read.

    Raises
    ------
    StoreError
        As `reading` does, and if not even its table of contents can be read.
    """
    with ExitStack() as stack:
        try:
            survey = survey_of(stack.enter_context(reading(path)))
        except CubeFitError:
            raise
        except READ_DAMAGE as error:
            raise StoreError(
                f"{path} is damaged, its contents cannot be read ({error}): restore a copy."
            ) from error
        yield survey


def read_part(models: Models, part: Part) -> Values | None:
    """Return a part of the models, or None if HDF5 cannot make sense of what is on disk."""
    try:
        return np.asarray(models[part])
    except READ_DAMAGE:
        return None


def pieces_of(grid: TileGrid, index: TileIndex) -> Iterator[Part]:
    """Yield the parts of a tile, of about `PIECE_BYTES` each, in C order."""
    spaxels, components, populations = grid.slices(index)
    row = 4 * (populations.stop - populations.start) * grid.shape[3]
    c_step = max(1, min(components.stop - components.start, PIECE_BYTES // row))
    whole = c_step == components.stop - components.start
    s_step = max(1, PIECE_BYTES // (row * c_step)) if whole else 1
    for s in range(spaxels.start, spaxels.stop, s_step):
        for c in range(components.start, components.stop, c_step):
            yield (
                slice(s, min(s + s_step, spaxels.stop)),
                slice(c, min(c + c_step, components.stop)),
                populations,
            )


def cut_by_tiles(grid: TileGrid, spaxels: slice, components: slice) -> Iterator[Part]:
    """Yield a slab in parts of one spaxel and one tile each, in C order within every tile."""
    _, c_tile, p_tile = grid.tile[:3]
    for s in range(spaxels.start, spaxels.stop):
        for c in range(components.start, components.stop, c_tile):
            for p in range(0, grid.shape[2], p_tile):
                yield (
                    slice(s, s + 1),
                    slice(c, min(c + c_tile, components.stop)),
                    slice(p, min(p + p_tile, grid.shape[2])),
                )


def read_ahead(models: Models, parts: Iterable[Part]) -> Iterator[tuple[Part, Values | None]]:
    """Yield parts with their values while a thread reads the next: the disk never waits."""
    with ThreadPoolExecutor(1, "cubefit-reader") as pool:
        before: tuple[Part, Callable[[], Values | None]] | None = None
        for part in parts:
            coming = pool.submit(partial(read_part, models, part))
            if before is not None:
                yield before[0], before[1]()
            before = part, coming.result
        if before is not None:
            yield before[0], before[1]()


class TileScan:
    """The tiles of a HyperCube, read and compared with their checksums.

    Parameters
    ----------
    file : h5py.File
        The file, open; the filter of a compressed HyperCube is known.
    status : CubeStatus
        Of its HyperCube.
    on_bytes : callable
        Called with the bytes of each piece when it is checked.
    """

    def __init__(
        self, file: h5py.File, status: CubeStatus, on_bytes: Callable[[int], None]
    ) -> None:
        self._file = file
        self._status = status
        self._on_bytes = on_bytes
        self._sums = np.zeros(status.grid.counts, np.uint32)
        self._unreadable = np.zeros(status.grid.counts, bool)

    def damaged(self, tiles: Sequence[TileIndex]) -> list[TileIndex]:
        """Return those of ``tiles``, which are done, whose values are not what was written."""
        with stored_models(self._file) as models:
            if self._status.compression == "none":
                self._read_tiles(models, tiles)
            else:
                self._read_slabs(models)
        bad = self._unreadable | (self._sums != self._status.checksums)
        return [index for index in tiles if bad[index]]

    def _take(self, part: Part, values: Values | None) -> None:
        """Go on with the checksum of the one tile that ``part`` lies in."""
        s, c, p = (cut.start // t for cut, t in zip(part, self._status.grid.tile, strict=False))
        if values is None:
            self._unreadable[s, c, p] = True
        else:
            self._sums[s, c, p] = tile_checksum(values, int(self._sums[s, c, p]))

    def _read_tiles(self, models: Models, tiles: Sequence[TileIndex]) -> None:
        """Read each tile at its place in the file."""
        grid = self._status.grid
        parts = (part for index in tiles for part in pieces_of(grid, index))
        for part, values in read_ahead(models, parts):
            self._take(part, values)
            self._on_bytes(n_bytes(grid, part))

    def _read_slabs(self, models: Models) -> None:
        """Read all models once: compressed chunks cut across the tiles."""
        grid = self._status.grid
        every = slice(0, grid.shape[2])
        slabs = ((*slab, every) for slab in slabs_of(grid))
        for slab, values in read_ahead(models, slabs):
            spaxels, components, _ = slab
            for part in cut_by_tiles(grid, spaxels, components):
                if values is None:  # one chunk of it is damaged: find out which tiles that hits
                    self._take(part, read_part(models, part))
                else:
                    s, c, p = part
                    inside = slice(c.start - components.start, c.stop - components.start)
                    self._take(part, values[s.start - spaxels.start, inside, p])
            self._on_bytes(n_bytes(grid, slab))


def n_bytes(grid: TileGrid, part: Part) -> int:
    """Return the bytes of the models in a part."""
    s, c, p = (cut.stop - cut.start for cut in part)
    return int(4 * s * c * p * grid.shape[3])


def read_spectrum(file: h5py.File, place: tuple[int, int, int]) -> Values | None:
    """Return the stored model of one (s, c, p), shape (L,), or None if it cannot be read."""
    s, c, p = place
    part = slice(s, s + 1), slice(c, c + 1), slice(p, p + 1)
    with stored_models(file) as models:
        values = read_part(models, part)
    return None if values is None else values[0, 0, 0]
