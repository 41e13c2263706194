"""One file, looked at again only when it has changed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cubefit.errors import CubeFitError
from cubefit.live.galaxy import Galaxy, read_galaxy
from cubefit.store.file_status import FileStatus, status_in
from cubefit.store.handle import READ_DAMAGE, reading, steadily
from cubefit.store.history import History, history_of
from cubefit.store.load import read_orbit_weights
from cubefit.store.lock import Owner, who_writes
from cubefit.store.tiles import read_status
from cubefit.store.viewing import Weights, newest_weights

Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
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
    orbit_weights: Float | None = None
    """Shape (C,), any scale."""


class Fingerprint(NamedTuple):
    """What differs when a file was written to."""

    inode: int
    n_bytes: int
    changed_ns: int
    writer: str


def fingerprint(path: Path) -> Fingerprint | None:
    """Return the fingerprint of a file, None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    writer = who_writes(path)
    name = f"{writer}" if not isinstance(writer, Owner) else f"{writer} {writer.facts}"
    return Fingerprint(found.st_ino, found.st_size, found.st_mtime_ns, name)


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
        self.cost_s = 0.0
        """What the last look took."""
        self._seen: Fingerprint | str | None = "nothing"
        self._inode: int | None = None
        self._galaxy: Galaxy | None = None
        self._lock = Lock()

    def refresh(self) -> bool:
        """Look again if the file has changed; return whether there is something new."""
        with self._lock:
            try:
                found = fingerprint(self.path)
            except OSError as error:
                self.now = Look(path=self.path, number=self.now.number + 1, problem=str(error))
                self._seen = "nothing"
                return True
            if found == self._seen:
                return False
            started = time.perf_counter()
            self.now = self._look(found)
            # What could not be read is tried again: a passing error leaves no mark on the file.
            self._seen = found if found is None or not self.now.problem else "nothing"
            self.cost_s = time.perf_counter() - started
            return True

    def _look(self, found: Fingerprint | None) -> Look:
        number = self.now.number + 1
        if found is None:
            self._galaxy = None
            return Look(
                path=self.path,
                number=number,
                problem=f"{self.path} does not exist yet: this page waits for it. "
                "`cubefit populate`, or H5Manager in Python, makes it.",
            )
        try:
            if found.inode != self._inode or self._galaxy is None:
                self._galaxy = steadily(self.path, read_galaxy)
                self._inode = found.inode
            return steadily(self.path, lambda path: self._look_inside(path, number))
        except (CubeFitError, *READ_DAMAGE) as error:
            return Look(path=self.path, number=number, problem=str(error))

    def _look_inside(self, path: Path, number: int) -> Look:
        assert self._galaxy is not None  # noqa: S101 - read before
        writer = who_writes(path)
        with reading(path) as file:
            tiles, status = read_status(file), status_in(file, path, writer)
            runs = status.fit is not None and status.fit.running
            return Look(
                path=path,
                number=number,
                galaxy=self._galaxy,
                status=status,
                history=history_of(file),
                done=None if tiles is None else tiles.done.astype(bool),
                weights=newest_weights(file, self._galaxy.shape, runs=runs),
                orbit_weights=read_orbit_weights(file),
            )
