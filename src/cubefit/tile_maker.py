"""Making tiles of the HyperCube: one matrix product each, written while the next is computed."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cubefit.inverse.scaling import power_of_two
from cubefit.store.access import read_apart
from cubefit.store.amend import sole_writer
from cubefit.store.load import ModelInputs
from cubefit.store.tiles import TileGrid, TileWriter, read_status

BUFFERS: Final = 2
"""Tiles in memory: one is written while the next is computed."""

TileIndex = tuple[int, int, int]


def model_floor(brightest: float) -> float:
    """Return the share of the largest LOSVD value below which one counts as zero.

    Faint pairs keep exact models (1e-30 of the brightest pair's light), but models of the brightest
    template never get so small that float32 turns subnormal, which slows the product.

    Parameters
    ----------
    brightest : float
        Largest shifted template times the largest LOSVD value.
    """
    return max(1e-30, 1e-36 / brightest) if brightest > 0 else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateBlocks:
    """Shifted templates as tiles are made with: on the scale of the LOSVDs, and cut by tiles."""

    blocks: tuple[NDArray[np.float32], ...]
    """Shape (V, populations * L) each."""
    scale: float
    """LOSVDs are divided by it."""
    floor: float
    """Scaled LOSVD values below it count as zero."""

    @classmethod
    def of(cls, shifted: NDArray[np.float32], largest: float, width: int) -> TemplateBlocks:
        """Return the blocks of shifted templates (V, P, L), which are scaled in place.

        Parameters
        ----------
        shifted : ndarray, shape (V, P, L)
            Flux density.
        largest : float
            Of all LOSVD values of the HyperCube.
        width : int
            Populations of a tile.
        """
        brightest = float(np.abs(shifted).max()) * largest
        scale = power_of_two(np.array([largest]))
        shifted *= np.float32(scale)
        blocks = [
            np.ascontiguousarray(shifted[:, p : p + width]).reshape(shifted.shape[0], -1)
            for p in range(0, shifted.shape[1], width)
        ]
        return cls(blocks=tuple(blocks), scale=scale, floor=model_floor(brightest))


class TileMaker:
    """Computes tiles ``models[s,c,p,l] = sum_v LOSVD[s,v,c] D[v,p,l]``.

    Parameters
    ----------
    losvd_of : callable
        Gives the LOSVDs (spaxels, V, C) of a range of spaxels of the grid, as they act; asked for
        one row of tiles at a time.
    templates : TemplateBlocks
        Of the whole HyperCube.
    grid : TileGrid
        How the HyperCube, or a shard of it, is cut.
    """

    def __init__(
        self,
        losvd_of: Callable[[slice], NDArray[np.float32]],
        templates: TemplateBlocks,
        grid: TileGrid,
    ) -> None:
        self._grid, self._losvd_of, self._templates = grid, losvd_of, templates
        self._row = slice(0, 0)
        self._losvd = np.empty((0, 0, 0), np.float32)

    @classmethod
    def of(cls, inputs: ModelInputs, grid: TileGrid) -> TileMaker:
        """Return the maker of a whole HyperCube.

        Parameters
        ----------
        inputs : ModelInputs
            LOSVDs, templates and grids.
        grid : TileGrid
            How it is cut.
        """
        largest = float(inputs.losvd.max())
        templates = TemplateBlocks.of(inputs.shifted_templates(), largest, grid.tile[2])
        return cls(inputs.losvd.__getitem__, templates, grid)

    def _scaled_losvd(self, spaxels: slice) -> NDArray[np.float32]:
        """Return the LOSVDs of a row of tiles as they are multiplied; kept for its next tile."""
        if spaxels != self._row:
            self._losvd = self._losvd_of(spaxels) / np.float32(self._templates.scale)
            self._losvd[np.abs(self._losvd) < self._templates.floor] = 0.0
            self._row = spaxels
        return self._losvd

    def fill(self, index: TileIndex, buffer: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute a tile into ``buffer`` (a full tile) and return the part to write."""
        spaxels, components, populations = self._grid.slices(index)
        block, losvd = self._templates.blocks[index[2]], self._scaled_losvd(spaxels)
        n_spaxels = spaxels.stop - spaxels.start
        n_components = components.stop - components.start
        n_populations = populations.stop - populations.start
        tile = buffer[:n_spaxels]
        tile[:, n_components:] = 0.0
        tile[:, :, n_populations:] = 0.0
        for j in range(n_components):
            models = losvd[:, :, components.start + j] @ block
            tile[:, j, :n_populations] = models.reshape(n_spaxels, n_populations, -1)
        return tile


def missing_tiles(done: NDArray[np.bool_]) -> list[TileIndex]:
    """Return the tiles that are not done, in the order of the file."""
    return [(int(s), int(c), int(p)) for s, c, p in np.argwhere(~done)]


def tile_bytes(grid: TileGrid, index: TileIndex) -> int:
    """Return the bytes of models in a tile, padding left out."""
    s, c, p = grid.slices(index)
    lengths = (int(part.stop - part.start) for part in (s, c, p))
    return 4 * math.prod(lengths) * grid.shape[3]


def computed_tiles(
    maker: TileMaker, tiles: list[TileIndex], shape: tuple[int, ...], writer: TileWriter
) -> Generator[TileIndex, None, None]:
    """Compute tile after tile while a thread writes the one before; yield each when written."""
    buffers = [np.empty(shape, np.float32) for _ in range(BUFFERS)]
    with ThreadPoolExecutor(1, "cubefit-writer") as pool:
        previous: tuple[TileIndex, Future[None]] | None = None
        for number, index in enumerate(tiles):
            tile = maker.fill(index, buffers[number % BUFFERS])
            writer.note_checksum(index, tile)
            if previous is not None:
                previous[1].result()
                yield previous[0]
            previous = index, pool.submit(writer.write, index, tile)
        if previous is not None:
            previous[1].result()
            yield previous[0]


def tiles_of_shard(
    path: Path, losvd_of: Callable[[slice], NDArray[np.float32]], templates: TemplateBlocks
) -> Generator[int, None, None]:
    """Make the tiles that a shard lacks, as its sole writer; yield the bytes of each when written.

    Parameters
    ----------
    path : Path
        The shard.
    losvd_of : callable
        Gives the LOSVDs (spaxels, V, C) of a range of spaxels of the shard, as they act.
    templates : TemplateBlocks
        Of the whole HyperCube.

    Raises
    ------
    LockedError
        If another process writes to the shard.
    """
    with sole_writer(path, "build"):
        with read_apart(path) as file:
            status = read_status(file)
        if status is None or status.complete:
            return
        grid, maker = status.grid, TileMaker(losvd_of, templates, status.grid)
        with (
            TileWriter(path) as writer,
            closing(
                computed_tiles(maker, missing_tiles(status.done), grid.tile, writer)
            ) as written,
        ):
            for index in written:
                yield tile_bytes(grid, index)
