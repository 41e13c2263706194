"""Building the HyperCube: one matrix product per tile, written while the next is computed."""

from __future__ import annotations

import logging
import math
import shutil
import time
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cubefit.config import BuildConfig, Normalization
from cubefit.errors import StaleError
from cubefit.interrupts import StopRequest, stop_requests
from cubefit.inverse.scaling import order_one
from cubefit.progress import Progress, visible_log
from cubefit.store.amend import sole_writer
from cubefit.store.compress import Codec, compress_visibly, filters_of
from cubefit.store.digests import digest_of_models
from cubefit.store.handle import reading
from cubefit.store.load import ModelInputs, read_model_inputs, require_rebin_products
from cubefit.store.tiles import (
    CubeStatus,
    TileGrid,
    TileWriter,
    create_cube,
    read_status,
    require_current,
)
from cubefit.threads import blas_threads

logger = logging.getLogger(__name__)

TYPICAL_BYTES_PER_S: Final = 0.8e9
"""Write rate behind the time estimate that is given before a build: a plain SSD."""
BUFFERS: Final = 2
"""Tiles in memory: one is written while the next is computed."""

TileIndex = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildReport:
    """What a call of `build_hypercube` did."""

    tiles_built: int
    tiles_total: int
    n_bytes: int
    """Bytes of models written."""
    elapsed_s: float


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


class TileMaker:
    """Computes tiles ``models[s,c,p,l] = sum_v LOSVD[s,v,c] D[v,p,l]``.

    Parameters
    ----------
    inputs : ModelInputs
        LOSVDs, templates and grids.
    grid : TileGrid
        How the HyperCube is cut.
    """

    def __init__(self, inputs: ModelInputs, grid: TileGrid) -> None:
        self._grid = grid
        shifted = inputs.shifted_templates()
        brightest = float(np.abs(shifted).max()) * float(inputs.losvd.max())
        self._losvd, scale = order_one(inputs.losvd, np.float32, model_floor(brightest))
        shifted *= np.float32(scale)
        width = grid.tile[2]
        self._blocks = [
            np.ascontiguousarray(shifted[:, p : p + width]).reshape(shifted.shape[0], -1)
            for p in range(0, grid.shape[2], width)
        ]

    def fill(self, index: TileIndex, buffer: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute a tile into ``buffer`` (a full tile) and return the part to write."""
        spaxels, components, populations = self._grid.slices(index)
        block = self._blocks[index[2]]
        n_spaxels = spaxels.stop - spaxels.start
        n_components = components.stop - components.start
        n_populations = populations.stop - populations.start
        tile = buffer[:n_spaxels]
        tile[:, n_components:] = 0.0
        tile[:, :, n_populations:] = 0.0
        for j in range(n_components):
            models = self._losvd[spaxels, :, components.start + j] @ block
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


def require_same_build(status: CubeStatus, path: Path, digest: str, config: BuildConfig) -> None:
    """Raise StaleError if the HyperCube in the file is not what the call asks for."""
    require_current(status, digest, path)
    if status.normalization != config.normalization:
        raise StaleError(
            f"The HyperCube in {path} has normalization={status.normalization!r}, not "
            f"{config.normalization!r}: pass overwrite=True to build it anew."
        )


def announce(path: Path, grid: TileGrid, done: NDArray[np.bool_]) -> None:
    """Say what is going to be built, how large it is, and how long it may take."""
    total = sum(tile_bytes(grid, index) for index in missing_tiles(done))
    logger.info(
        "HyperCube of %s (S, C, P, L) = %s: %d of %d tiles of %s to build, %.2f GB, at least "
        "%.0f s (on a disk that takes %.1f GB/s); %.0f GB free. Stop at any time: the next call "
        "goes on.",
        path, grid.shape, int((~done).sum()), done.size, grid.tile, total / 1e9,
        total / TYPICAL_BYTES_PER_S, TYPICAL_BYTES_PER_S / 1e9,
        shutil.disk_usage(path.resolve().parent).free / 1e9,
    )  # fmt: skip


def prepare_cube(
    path: Path, config: BuildConfig, *, overwrite: bool
) -> tuple[CubeStatus, ModelInputs]:
    """Return the HyperCube to fill, created if need be, and its inputs; by the sole writer."""
    with reading(path) as file:
        require_rebin_products(file)
        digest = digest_of_models(file)
        inputs = read_model_inputs(file, config.normalization)
        status = None if overwrite else read_status(file)
    if status is not None:
        require_same_build(status, path, digest, config)
        if not status.complete:
            announce(path, status.grid, status.done)
        return status, inputs
    grid = TileGrid.of(inputs.shape, config.S_chunk, config.C_chunk, config.P_chunk)
    announce(path, grid, np.zeros(grid.counts, bool))
    create_cube(path, grid, config.normalization, digest)
    with reading(path) as file:
        created = read_status(file)
    assert created is not None  # noqa: S101 - just made
    return created, inputs


def fill_cube(
    path: Path, status: CubeStatus, inputs: ModelInputs, request: StopRequest, *, verbose: bool
) -> int:
    """Compute and write every missing tile; return the bytes of models written."""
    grid, tiles = status.grid, missing_tiles(status.done)
    total = sum(tile_bytes(grid, index) for index in tiles)
    maker = TileMaker(inputs, grid)
    request.stop_when_safe()
    with (
        Progress("Building", total, verbose=verbose) as progress,
        TileWriter(path) as writer,
        closing(computed_tiles(maker, tiles, grid.tile, writer)) as written,
    ):
        for index in written:
            progress.advance(tile_bytes(grid, index))
            if request:
                break
    request.stop_at_once(tiles_done(path))
    return total


def tiles_done(path: Path) -> str:
    """Return how far the HyperCube is, for one who stops a build."""
    with reading(path) as file:
        status = read_status(file)
    if status is None:
        return f"no tile of {path} is done; the same call builds it."
    done, total = int(status.done.sum()), status.done.size
    return f"{done} of {total} tiles of {path} are done; the same call goes on."


def build_hypercube(
    path: str | Path,
    S_chunk: int = 128,
    C_chunk: int = 1,
    P_chunk: int = 360,
    n_workers: int | None = None,
    compression: Codec | None = None,
    normalization: Normalization = "losvd",
    *,
    overwrite: bool = False,
    verbose: bool = True,
) -> BuildReport:
    """Build ``/HyperCube/models``, or go on where an earlier call stopped.

    Killing it at any time costs the tiles under way and nothing else. Ctrl-C, SIGTERM, SIGUSR1 and
    SIGHUP end it after the tile under way.

    Parameters
    ----------
    path : str or Path
        A populated file, after ``ensure_rebin_and_resample``.
    S_chunk, C_chunk, P_chunk : int
        Most spaxels, components and populations per tile. Tiles are evened out: 293 spaxels make
        three tiles of 98, not two of 128 and one of 37.
    n_workers : int, optional
        Compute threads; default all usable cores. One thread more writes.
    compression : {"gzip", "lzf", "bitshuffle-lz4"}, optional
        Compress, losslessly, when all tiles are done; default none.
    normalization : {"losvd", "unit"}
        Keep the LOSVDs' amplitude, or scale each to unit sum.
    overwrite : bool
        Build anew, dropping a HyperCube that is there, instead of going on with it or refusing.
    verbose : bool
        Tell size, estimated time and progress.

    Returns
    -------
    BuildReport

    Raises
    ------
    StaleError
        If the file's HyperCube was built from other inputs or with another normalization.
    StoreError
        If the disk cannot hold it, or another process writes to the file.
    KeyboardInterrupt, StoppedError
        After Ctrl-C or another signal; the next call goes on. The second of them ends the program
        with exit code 75.
    """
    path = Path(path)
    config = BuildConfig(
        S_chunk=S_chunk,
        C_chunk=C_chunk,
        P_chunk=P_chunk,
        n_workers=n_workers,
        normalization=normalization,
    )
    if compression is not None:
        filters_of(compression, 2, shuffle=True)
    started = time.monotonic()
    with reading(path):
        pass
    with (
        visible_log(verbose),
        blas_threads(config.n_workers),
        stop_requests() as request,
    ):
        request.stop_at_once(tiles_done(path))
        with sole_writer(path, "build") as lock:
            status, inputs = prepare_cube(path, config, overwrite=overwrite)
            lock.guard(path)
            tiles_built, written = int((~status.done).sum()), 0
            lock.tell(filling_since=time.time(), tiles_before=status.done.size - tiles_built)
            if tiles_built:
                written = fill_cube(path, status, inputs, request, verbose=verbose)
        elapsed = time.monotonic() - started
        if not tiles_built:
            logger.info("The HyperCube of %s is complete: nothing to do.", path)
        else:
            logger.info("Built %.2f GB in %.1f s.", written / 1e9, elapsed)
        if compression is not None and status.compression == "none":
            compress_visibly(path, codec=compression, verbose=verbose)
    return BuildReport(
        tiles_built=tiles_built,
        tiles_total=status.done.size,
        n_bytes=written,
        elapsed_s=elapsed,
    )
