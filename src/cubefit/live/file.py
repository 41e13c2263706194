"""One file, looked at again only when it has changed."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cubefit.errors import CubeFitError, StoreError
from cubefit.live.galaxy import Galaxy, read_galaxy
from cubefit.store.file_status import FileStatus, facts_of, status_in
from cubefit.store.handle import looked_at, reading
from cubefit.store.history import History, history_of
from cubefit.store.lock import Owner, who_writes
from cubefit.store.tiles import CubeStatus, read_status
from cubefit.store.viewing import Weights, galaxy_stamp, newest_weights

Float = NDArray[np.float64]

UNKNOWN: Final = "unknown"
REST: Final = 100.0
"""Times the work of a look until the next one: looking takes 1 % of one core, or a little more
where a look is so much work that viewers would wait for long."""
LONGEST_REST_S: Final = 5.0
MISSING: Final = (
    "{path} does not exist yet: make it with `cubefit populate`, or with H5Manager in Python."
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Look:
    """A file at one moment."""

    path: Path
    number: int
    """Counts the looks that found something new."""
    problem: str = ""
    """Why there is nothing to see; empty where there is."""
    galaxy: Galaxy | None = None
    status: FileStatus | None = None
    history: History | None = None
    done: NDArray[np.bool_] | None = None
    """Finished tiles, shape (Sgrid, Cgrid, Pgrid)."""
    weights: Weights | None = None

    @property
    def orbit_weights(self) -> Float | None:
        """What the fit of the weights was given, shape (C,), any scale."""
        return None if self.weights is None else self.weights.orbit_weights


def rest_after(work_s: float) -> float:
    """Return how long to rest from some work for viewers, s."""
    return min(REST * work_s, LONGEST_REST_S)


class Fingerprint(NamedTuple):
    """What differs when a file was written to."""

    inode: int
    n_bytes: int
    changed_ns: int
    writer: str
    told: str
    """What the writer says of its work."""


def fingerprint(path: Path) -> Fingerprint | None:
    """Return the fingerprint of a file, None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    writer = who_writes(path)
    told = str(writer.facts) if isinstance(writer, Owner) else ""
    return Fingerprint(found.st_ino, found.st_size, found.st_mtime_ns, str(writer), told)


class LiveFile:
    """A file to be watched; any number of viewers share one.

    Parameters
    ----------
    path : Path
        The file, which need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now = Look(path=path, number=0, problem="Not looked at yet.")
        self._rested = 0.0
        """When it has rested from the last look."""
        self._seen: Fingerprint | str | None = UNKNOWN
        self._galaxy: Galaxy | None = None
        self._lock = Lock()

    def refresh(self, *, rested: bool = False) -> bool:
        """Look again if the file has changed; return whether there is something new.

        Parameters
        ----------
        rested : bool
            Leave it until a rest from the last look is over, unless another has begun or ended to
            write.
        """
        with self._lock:
            try:
                found = fingerprint(self.path)
            except OSError as error:
                return self._take(self._problem(str(error)), UNKNOWN)
            if found == self._seen or (rested and self._rests(found)):
                return False
            look = self._problem(MISSING.format(path=self.path)) if found is None else self._look()
            # What could not be read is tried again: a passing error leaves no mark on the file.
            return self._take(look, UNKNOWN if look.problem and found is not None else found)

    def _rests(self, found: Fingerprint | None) -> bool:
        """Return whether what was found may wait."""
        seen = self._seen
        same = isinstance(seen, Fingerprint) and found is not None and found.writer == seen.writer
        return same and time.monotonic() < self._rested

    def _take(self, look: Look, seen: Fingerprint | str | None) -> bool:
        """Keep a look; return whether it is news, which the same problem again is not."""
        self._seen = seen
        if look.problem and look.problem == self.now.problem:
            return False
        self.now = look
        return True

    def _problem(self, told: str) -> Look:
        return Look(path=self.path, number=self.now.number + 1, problem=told)

    def _look(self) -> Look:
        try:
            stamp = looked_at(self.path, read_stamp)
            if self._galaxy is None or self._galaxy.stamp != stamp:
                self._galaxy = looked_at(self.path, read_galaxy)
            started = time.thread_time()  # Not what it waits for the writer: that costs nobody.
            look = looked_at(self.path, self._look_inside)
            self._rested = time.monotonic() + rest_after(time.thread_time() - started)
        except CubeFitError as error:
            return self._problem(str(error))
        return look

    def _look_inside(self, path: Path) -> Look:
        galaxy = self._galaxy
        assert galaxy is not None  # noqa: S101 - read before
        writer = who_writes(path)
        with reading(path) as file:
            tiles, status = read_status(file), status_in(file, path, writer)
            history, fit = history_of(file), status.fit
            return Look(
                path=path,
                number=self.now.number + 1,
                galaxy=galaxy,
                status=status,
                history=history if fit is None else replace(history, method=fit.method),
                done=None if tiles is None else done_tiles(tiles, path),
                weights=newest_weights(file, galaxy.shape, fit, facts_of(writer, "fit")),
            )


def done_tiles(tiles: CubeStatus, path: Path) -> NDArray[np.bool_]:
    """Return which tiles are done, shape (Sgrid, Cgrid, Pgrid); or raise StoreError."""
    if tiles.done.ndim != 3:
        raise StoreError(
            f"{path} holds tiles of shape {tiles.done.shape}, which no CubeFit wrote: `cubefit "
            "check` tells more; restore a copy."
        )
    return tiles.done.astype(bool)


def read_stamp(path: Path) -> str:
    """Return the stamp of the inputs in a file."""
    with reading(path) as file:
        return galaxy_stamp(file)
