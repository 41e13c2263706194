"""Every tile against its checksum, and damaged ones marked to be built anew."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from cubefit.errors import MissingDataError, StoreError
from cubefit.file_check.findings import Verdict, some
from cubefit.file_check.structure import REBUILD
from cubefit.file_check.subject import Subject
from cubefit.interrupts import stopping_between_steps
from cubefit.progress import Progress, visible_log
from cubefit.store.amend import sole_writer
from cubefit.store.handle import reading
from cubefit.store.shards import missing_words
from cubefit.store.tiles import CubeStatus, forget_tiles
from cubefit.store.verify import TileIndex, TileScan, n_bytes, surveying

logger = logging.getLogger(__name__)

CHECK_AGAIN: Final = "nothing was changed; the same call checks again."
"""How to go on with a check that a signal stopped."""


def done_tiles(status: CubeStatus) -> list[TileIndex]:
    """Return the tiles that are done, in the order of the file."""
    return [(int(s), int(c), int(p)) for s, c, p in np.argwhere(status.done)]


def scan_tiles(
    file: Any, status: CubeStatus, tiles: Sequence[TileIndex], *, verbose: bool
) -> tuple[TileIndex, ...]:
    """Return those of ``tiles``, which are done, that are damaged.

    Parameters
    ----------
    file : h5py.File
        Open to read.
    """
    if not tiles:
        return ()
    grid = status.grid
    if status.compression == "none":
        total = sum(n_bytes(grid, grid.slices(index)) for index in tiles)
    else:
        total = 4 * math.prod(grid.shape)
    with (
        Progress("Checking tiles", total, verbose=verbose) as progress,
        stopping_between_steps(CHECK_AGAIN, CHECK_AGAIN) as look,
    ):

        def step(n_read: float) -> None:
            progress.advance(n_read)
            look()

        return tuple(TileScan(file, status, step).damaged(tiles))


def judge_tiles(status: CubeStatus, damaged: Sequence[TileIndex]) -> Verdict:
    """Say what the scan of the tiles found."""
    n_done = int(status.done.sum())
    if status.missing:
        return Verdict("failed", f"Of the HyperCube {missing_words(status.missing)}.")
    if damaged:
        mend = REBUILD
        if status.compression == "none":
            mend = "`cubefit check --forget-damaged`, then run build_hypercube: it makes them anew"
        return Verdict(
            "failed",
            f"{len(damaged)} of {n_done} done tiles are not what was written, tiles (s, c, p) = "
            f"{some(damaged)}: {mend}.",
        )
    if not status.complete:
        return Verdict(
            "ok",
            f"The {n_done} done tiles are what was written, {status.done.size - n_done} are not "
            "built: run build_hypercube, it goes on.",
        )
    return Verdict("ok", f"All {n_done} tiles are what was written (CRC-32).")


def forget_damaged(
    path: str | Path, tiles: Sequence[TileIndex] | None = None, *, verbose: bool = True
) -> int:
    """Mark damaged tiles as not done, so that the next build makes exactly those anew.

    Parameters
    ----------
    path : str or Path
        A file with an uncompressed HyperCube, finished or not.
    tiles : sequence of tuple of int, optional
        Tiles to look at, ``CheckReport.damaged_tiles`` say; default all that are done. Only those
        that turn out damaged are marked.
    verbose : bool
        Tell progress.

    Returns
    -------
    int
        Tiles marked.

    Raises
    ------
    MissingDataError
        If there is no HyperCube.
    StoreError
        If it is compressed, or another process writes to the file.
    """
    path = Path(path)
    with reading(path):
        pass
    with visible_log(verbose), sole_writer(path, "check"):
        with surveying(path) as survey:
            status = Subject(survey).status
            if status is None:
                raise MissingDataError(f"{path} has no HyperCube whose tiles could be forgotten.")
            if status.compression != "none":
                raise StoreError(
                    f"The HyperCube of {path} is compressed, so tiles cannot be made anew one by "
                    f"one: {REBUILD}."
                )
            wanted = [t for t in done_tiles(status) if tiles is None or t in set(tiles)]
            damaged = scan_tiles(survey.file, status, wanted, verbose=verbose)
        if damaged:
            forget_tiles(path, status, damaged)
            logger.info("%d tiles of %s are marked as not done.", len(damaged), path)
    return len(damaged)
