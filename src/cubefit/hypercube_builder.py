"""Building the HyperCube, in one file by this process or in shards by the workers of a cluster."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from cubefit.config import BuildConfig, Normalization
from cubefit.distributed.door import session_of
from cubefit.errors import StaleError, StoreError
from cubefit.gate import Gate
from cubefit.interrupts import StopRequest, stop_requests
from cubefit.progress import Progress, visible_log
from cubefit.store.amend import sole_writer
from cubefit.store.compress import Codec, compress_visibly, filters_of
from cubefit.store.cube_creation import (
    create_cube,
    create_missing_shards,
    create_sharded_cube,
    shape_of_models,
)
from cubefit.store.digests import BlockDigests, digest_of_models
from cubefit.store.handle import reading
from cubefit.store.load import read_model_inputs, require_rebin_products
from cubefit.store.shards import missing_words, remove_unused_shards, tidy_shards
from cubefit.store.tiles import CubeStatus, TileGrid, TileWriter, read_status, require_current
from cubefit.threads import blas_threads
from cubefit.tile_maker import (
    TemplateBlocks,
    TileMaker,
    computed_tiles,
    missing_tiles,
    tile_bytes,
    tiles_of_shard,
)

if TYPE_CHECKING:
    from cubefit.distributed.session import Session

logger = logging.getLogger(__name__)

TELL_EVERY_S: Final = 5.0
"""All workers are asked for it."""

TYPICAL_BYTES_PER_S: Final = 0.8e9
"""Write rate behind the time estimate that is given before a build: a plain SSD."""
SHARDS_PER_WORKER: Final = 4
"""So that workers of unlike speed, and any number of them later, end at about the same time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildReport:
    """What a call of `build_hypercube` did."""

    tiles_built: int
    tiles_total: int
    n_bytes: int
    """Bytes of models written."""
    elapsed_s: float


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


def digests_by(session: Session | None) -> BlockDigests | None:
    """Return who computes digests of the inputs: the workers, or None for this process."""
    if session is None:
        return None
    from cubefit.distributed.digests import WorkerDigests  # noqa: PLC0415 - an optional extra

    return WorkerDigests(session)


def prepare_cube(
    path: Path, config: BuildConfig, session: Session | None, *, overwrite: bool
) -> CubeStatus:
    """Return the HyperCube to fill, created if need be; by the sole writer.

    Parameters
    ----------
    path : Path
        The file.
    config : BuildConfig
        How it is cut.
    session : Session or None
        With workers a new one is made in shards, else in one file.
    overwrite : bool
        Make a new one in any case.
    """
    with reading(path) as file:
        require_rebin_products(file)
        digest = digest_of_models(file, digests_by(session))
        shape = shape_of_models(file)
        status = None if overwrite else read_status(file)
    remove_unused_shards(path)
    if status is not None:
        require_same_build(status, path, digest, config)
        if status.missing:
            logger.warning("Of the HyperCube of %s %s.", path, missing_words(status.missing))
            create_missing_shards(status)
        if not status.complete:
            announce(path, status.grid, status.done)
        return status
    grid = TileGrid.of(shape, config.S_chunk, config.C_chunk, config.P_chunk)
    announce(path, grid, np.zeros(grid.counts, bool))
    if session is None:
        create_cube(path, grid, config.normalization, digest)
    else:
        n_shards = SHARDS_PER_WORKER * len(session.cluster.workers)
        create_sharded_cube(path, grid, n_shards, config.normalization, digest)
    with reading(path) as file:
        created = read_status(file)
    assert created is not None  # noqa: S101 - just made
    return created


def fill_cube(path: Path, status: CubeStatus, request: StopRequest, progress: Progress) -> None:
    """Compute and write every missing tile of a HyperCube in one file."""
    grid = status.grid
    with reading(path) as file:
        inputs = read_model_inputs(file, status.normalization)
    maker = TileMaker.of(inputs, grid)
    request.stop_when_safe()
    with (
        TileWriter(path) as writer,
        closing(computed_tiles(maker, missing_tiles(status.done), grid.tile, writer)) as written,
    ):
        for index in written:
            progress.advance(tile_bytes(grid, index))
            if request:
                break


def fill_shards(
    path: Path, status: CubeStatus, request: StopRequest, on_bytes: Callable[[float], None]
) -> None:
    """Compute and write every missing tile of a HyperCube in shards, one after the other."""
    with reading(path) as file:
        inputs = read_model_inputs(file, status.normalization)
    shifted, largest = inputs.shifted_templates(), float(inputs.losvd.max())
    templates = TemplateBlocks.of(shifted, largest, status.grid.tile[2])
    request.stop_when_safe()
    for shard in status.shards:
        losvd = inputs.losvd[shard.first : shard.stop]
        with closing(tiles_of_shard(shard.path, losvd.__getitem__, templates)) as written:
            for n_bytes in written:
                on_bytes(n_bytes)
                if request:
                    return


def fill(
    path: Path,
    status: CubeStatus,
    session: Session | None,
    request: StopRequest,
    tell: Callable[..., None],
    *,
    overwrite: bool,
    verbose: bool,
) -> int:
    """Compute and write every missing tile; return the bytes of models written.

    ``tell`` is called with what has been done so far: viewers look again when the lock's record, or
    the file, has changed, and the file does not where shards are written.
    """
    total = sum(tile_bytes(status.grid, index) for index in missing_tiles(status.done))
    gate, where = Gate(TELL_EVERY_S), dict[str, Any]()
    with Progress("Building", total, verbose=verbose) as progress:

        def advance(n_bytes: float) -> None:
            progress.advance(n_bytes)
            if session is not None and gate.is_due():
                where["cluster"] = session.facts(len(status.shards))
                gate.pass_on()
            tell(bytes_built=progress.done, **where)

        if session is not None:
            from cubefit.distributed.building import fill_by_workers  # noqa: PLC0415 - optional

            fill_by_workers(session, status, request, advance)
        elif status.shards:
            fill_shards(path, status, request, advance)
        else:
            fill_cube(path, status, request, progress)
    request.stop_at_once(tiles_done(path, overwrite=overwrite))
    return total


def tiles_done(path: Path, *, overwrite: bool) -> str:
    """Return how far the HyperCube is, for one who stops a build."""
    with reading(path) as file:
        status = read_status(file)
    if status is None:
        return f"no tile of {path} is done; the same call builds it."
    done, total = int(status.done.sum()), status.done.size
    call = "the same call without overwrite=True (--overwrite)" if overwrite else "the same call"
    return f"{done} of {total} tiles of {path} are done; {call} goes on."


def require_shards(status: CubeStatus, path: Path, session: Session | None) -> None:
    """Raise StoreError where several processes would have to write to one file."""
    if session is not None and not status.shards:
        raise StoreError(
            f"The HyperCube in {path} was begun in one file, which one process writes: go on "
            "without a cluster, or pass overwrite=True to build it anew in shards."
        )


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
    client: Any = None,
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
    client : distributed.Client, optional
        Of a Dask cluster whose workers see the file. Each writes shard files of its own into the
        folder ``<file>.shards``, and ``/HyperCube/models`` is a virtual dataset over them. Without
        a client, a HyperCube in shards is gone on with in this process.

    Returns
    -------
    BuildReport

    Raises
    ------
    StaleError
        If the file's HyperCube was built from other inputs or with another normalization.
    StoreError
        If the disk cannot hold it, or another process writes to the file.
    ClusterError
        If the cluster has no workers, they do not see the file, or it is lost; finished tiles are
        kept.
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
        request.stop_at_once(
            f"nothing of the new HyperCube of {path} is done; the same call builds it."
            if overwrite
            else tiles_done(path, overwrite=False)
        )
        session = None if client is None else session_of(client, path)
        with sole_writer(path, "build") as lock:
            status = prepare_cube(path, config, session, overwrite=overwrite)
            lock.guard(path)
            tiles_built, written = int((~status.done).sum()), 0
            tell = partial(
                lock.tell, filling_since=time.time(), tiles_before=status.done.size - tiles_built
            )
            tell()
            if tiles_built:
                require_shards(status, path, session)
                written = fill(
                    path, status, session, request, tell, overwrite=overwrite, verbose=verbose
                )
            tidy_shards(status.shards)
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
