"""Tiles made by the workers of a cluster: each goes on with a shard for some seconds at a time.

A worker holds the lock of the shard that it writes to, so that no other does. What it has written
when it dies is kept, and its shard is handed to another one.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import reduce
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from distributed import Future
from numpy.typing import NDArray

from cubefit.config import Normalization
from cubefit.distributed.cluster import POLL_S
from cubefit.distributed.on_worker import all_threads, named_worker
from cubefit.distributed.session import Session
from cubefit.errors import LockedError
from cubefit.interrupts import StopRequest
from cubefit.spectra.losvd import normalized_losvd
from cubefit.spectra.shifted_templates import shifted_templates
from cubefit.store import schema
from cubefit.store.blocks import blocks_of_rows
from cubefit.store.handle import reading
from cubefit.store.load import read_grids
from cubefit.store.shards import Shard
from cubefit.store.tiles import CubeStatus
from cubefit.tile_maker import TemplateBlocks, tiles_of_shard

TURN_S: Final = 5.0
"""A worker goes on with one shard for so long; Ctrl-C waits for it, and so does one who resumes
after the client was killed."""
LOCK_PAUSE_S: Final = 0.5
"""Before another try at a shard that somebody writes to: a worker that the scheduler lost sight of,
or that of a client which was killed."""
LOCK_WAIT_S: Final = 120.0
LOOK_S: Final = 0.02


class Light(NamedTuple):
    """What is to be known of all LOSVDs before the first tile."""

    largest: float
    """Value."""
    used: NDArray[np.bool_]
    """Velocity bins that hold light, shape (V,)."""

    def with_that(self, other: Light) -> Light:
        """Return that of two ranges of spaxels together."""
        return Light(max(self.largest, other.largest), self.used | other.used)


class Turn(NamedTuple):
    """What a worker did in its turn."""

    n_bytes: int
    """Of models written."""
    finished: bool
    """Whether no tile of the shard is left."""
    locked: str = ""
    """Who else writes to the shard, if somebody does."""


def read_losvd(
    path: str, first: int, stop: int, normalization: Normalization
) -> NDArray[np.float32]:
    """Return the LOSVDs (spaxels, V, C) of a range of spaxels, as they act."""
    with reading(Path(path)) as file:
        return normalized_losvd(file[schema.LOSVD.path][first:stop], normalization)


def light_of(spaxels: tuple[int, int], path: str, normalization: Normalization) -> Light:
    """Return the light in a range of spaxels; on a worker."""
    first, stop = spaxels
    with reading(Path(path)) as file:
        stored = file[schema.LOSVD.path]
        _, V, C = stored.shape
        blocks = blocks_of_rows((stop - first, V, C), stored.dtype)
    light = Light(0.0, np.zeros(V, bool))
    with named_worker():
        for rows in blocks:
            losvd = read_losvd(path, first + rows.start, first + rows.stop, normalization)
            part = Light(float(losvd.max()), np.asarray(losvd.any(axis=(0, 2))))
            light = light.with_that(part)
    return light


def blocks_of(path: str, light: Light, width: int) -> TemplateBlocks:
    """Return the shifted templates as tiles are made with; on a worker."""
    with reading(Path(path)) as file:
        grids, templates = read_grids(file), file[schema.TEMPLATES.path][()]
    with all_threads(), named_worker():
        shifted = shifted_templates(
            templates,
            grids.tem_pix,
            grids.obs_pix,
            grids.vel_pix,
            used=light.used,
            dtype=np.float32,
        )
        return TemplateBlocks.of(np.asarray(shifted, np.float32), light.largest, width)


def take_turn(
    shard: Shard, templates: TemplateBlocks, path: str, normalization: Normalization, turn_s: float
) -> Turn:
    """Make tiles that a shard lacks for some seconds; on a worker."""

    def losvd_of(spaxels: slice) -> NDArray[np.float32]:
        first, stop = shard.first + spaxels.start, shard.first + spaxels.stop
        return read_losvd(path, first, stop, normalization)

    n_bytes, finished = 0, True
    with all_threads(), named_worker():
        deadline = time.monotonic() + turn_s
        try:
            with closing(tiles_of_shard(shard.path, losvd_of, templates)) as written:
                for tile in written:
                    n_bytes += tile
                    if time.monotonic() > deadline:
                        finished = False
                        break
        except LockedError as error:
            return Turn(n_bytes, finished=False, locked=str(error))
    return Turn(n_bytes, finished)


def unfinished_shards(status: CubeStatus) -> list[Shard]:
    """Return the shards that lack tiles."""
    return [shard for shard in status.shards if not status.done[status.rows_of(shard)].all()]


def light_of_all(session: Session, status: CubeStatus) -> Light:
    """Return the light in all spaxels, seen through by the workers."""
    ranges = [(shard.first, shard.stop) for shard in status.shards]
    given = str(session.cluster.path), status.normalization
    found: list[Light] = session.cluster.results(session.submit_each(light_of, ranges, *given))
    return reduce(Light.with_that, found)


class Crew:
    """The workers of a cluster, a shard each at a time.

    Parameters
    ----------
    session : Session
        Of a cluster whose workers see the file.
    status : CubeStatus
        Of the HyperCube in shards.
    light : Light
        Of all spaxels.
    """

    def __init__(self, session: Session, status: CubeStatus, light: Light) -> None:
        self._session, self._cluster = session, session.cluster
        self._status, self._light = status, light
        self._waiting = deque(unfinished_shards(status))
        self._running: dict[Future, tuple[Shard, str]] = {}
        self._templates: dict[str, Future] = {}
        self._rest_until: dict[Shard, float] = {}
        self._locked_since: float | None = None

    @property
    def n_left(self) -> int:
        """Shards that are not finished."""
        return len(self._waiting) + len(self._running)

    @property
    def is_at_work(self) -> bool:
        """Whether a worker has a shard."""
        return bool(self._running)

    def hand_out(self) -> None:
        """Give each worker that has none a shard."""
        busy = {address for _, address in self._running.values()}
        alive = self._cluster.addresses()
        for gone in self._templates.keys() - set(alive):
            # Else another worker would make them in its place.
            del self._templates[gone]
        for address in alive:
            shard = None if address in busy else self._next_shard()
            if shard is None:
                continue
            future = self._session.submit(
                take_turn,
                shard,
                self._templates_at(address),
                str(self._cluster.path),
                self._status.normalization,
                TURN_S,
                **self._at(address),
            )
            self._running[future] = shard, address

    def _next_shard(self) -> Shard | None:
        now = time.monotonic()
        for shard in self._waiting:
            if self._rest_until.get(shard, now) <= now:
                self._waiting.remove(shard)
                return shard
        return None

    def _templates_at(self, address: str) -> Future:
        """Return the templates on a worker, which makes them itself: they are hundreds of MB."""
        if address not in self._templates:
            self._templates[address] = self._session.submit(
                blocks_of,
                str(self._cluster.path),
                self._light,
                self._status.grid.tile[2],
                **self._at(address),
            )
        return self._templates[address]

    @staticmethod
    def _at(address: str) -> dict[str, Any]:
        # Should the worker die, the scheduler finds another.
        return {"workers": [address], "allow_other_workers": True}

    def collect(self) -> int | None:
        """Take the answers that are there; return the bytes of models written, None without one.

        Raises
        ------
        LockedError
            If somebody else writes to what is left, and does not end.
        ClusterError
            See `Cluster.result`.
        """
        ended = [future for future in self._running if future.done()]
        n_bytes = 0
        for future in ended:
            shard, _ = self._running.pop(future)
            turn: Turn = self._cluster.result(future)
            n_bytes += turn.n_bytes
            if not turn.finished:
                self._waiting.append(shard)
            if turn.locked:
                self._wait_for_lock(shard, turn.locked)
            else:
                self._locked_since = None
        return n_bytes if ended else None

    def _wait_for_lock(self, shard: Shard, message: str) -> None:
        now = time.monotonic()
        self._rest_until[shard] = now + LOCK_PAUSE_S
        self._locked_since = self._locked_since or now
        if now - self._locked_since > LOCK_WAIT_S:
            raise LockedError(message)

    def release(self) -> None:
        """Let any worker take what is under way, should all be lost at once."""
        self._session.release([*self._running, *self._templates.values()])

    def dismiss(self) -> None:
        """Let go of all that is under way."""
        self._cluster.client.cancel([*self._running, *self._templates.values()])


@contextmanager
def crew_of(session: Session, status: CubeStatus, light: Light) -> Iterator[Crew]:
    """Give the workers, who are let go in any case."""
    crew = Crew(session, status, light)
    try:
        yield crew
    finally:
        if session.cluster.client.status == "running":
            crew.dismiss()


def fill_by_workers(
    session: Session, status: CubeStatus, request: StopRequest, on_bytes: Callable[[float], None]
) -> None:
    """Have the workers of a cluster compute and write every missing tile of a HyperCube in shards.

    Parameters
    ----------
    session : Session
        Of a cluster whose workers see the file; the caller is its sole writer.
    status : CubeStatus
        Of its HyperCube; all shards are there.
    request : StopRequest
        Looked at between turns.
    on_bytes : callable
        Called with the bytes of models written in a turn.

    Raises
    ------
    ClusterError
        If the cluster is lost, or its workers die again and again.
    LockedError
        If somebody else writes to a shard, and does not end.
    StoreError
        If a shard cannot be written.
    """
    light = light_of_all(session, status)
    request.stop_when_safe()
    look, due = session.cluster.patience(), 0.0
    with crew_of(session, status, light) as crew:
        while crew.n_left if not request else crew.is_at_work:
            if time.monotonic() > due:
                due = time.monotonic() + POLL_S
                look()
                crew.release()
                if not request:
                    crew.hand_out()
            n_bytes = crew.collect()
            if n_bytes is None:
                time.sleep(LOOK_S)
            else:
                on_bytes(n_bytes)
                due = 0.0
