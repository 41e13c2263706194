"""What the processes do that are killed: each takes a file, ``tell`` for its parent, settings."""

import functools
import logging
import os
import pickle
import signal
import threading
import time
from pathlib import Path

import numpy as np

from cubefit import fit_recorder, hypercube_builder, tile_maker
from cubefit.config import TrackerConfig
from cubefit.fit_tracker import FitTracker
from cubefit.pipeline_runner import PipelineRunner
from cubefit.store.checkpoints import read_checkpoint
from cubefit.store.compress import compress_hypercube
from cubefit.store.gather import gather_hypercube
from cubefit.store.handle import open_h5
from cubefit.store.tiles import TileWriter
from cubefit.writer_process import WriterProcess

TILES = {"S_chunk": 3, "C_chunk": 2, "P_chunk": 5}
FIT = {"epochs": 6, "pixels_per_aperture": 24, "blas_threads": 1}
AT_EVERY_STATE = TrackerConfig(
    metrics_interval_sec=0, val_interval_sec=0, ckpt_interval_sec=0, Ns=4, Kval=8, ring_size=5
)
N_TRACKED = 40
"""Steps of the loop that `track` follows."""
FRAIL = "CUBEFIT_TEST_FRAIL_RECORDER"
"""Names the file with the fault of the writer process."""


def build(path, tell, *, group_bytes=1, pace_s=0.0, compression=None):
    """Build, syncing after ``group_bytes``; tell every tile that is written."""

    class Told(TileWriter):
        def write(self, index, values):
            tell("tile", index)
            super().write(index, values)
            time.sleep(pace_s)

    hypercube_builder.TileWriter = functools.partial(Told, group_bytes=group_bytes)
    hypercube_builder.build_hypercube(
        path, **TILES, n_workers=1, verbose=False, compression=compression
    )


def compress(path, tell, *, codec="gzip"):
    compress_hypercube(path, codec=codec)


def gather(path, tell):
    gather_hypercube(path, verbose=False)


def slow_down(pace_s):
    """Make a worker take its time for each tile, and sync each."""

    class Slow(TileWriter):
        def write(self, index, values):
            super().write(index, values)
            time.sleep(pace_s)

    tile_maker.TileWriter = functools.partial(Slow, group_bytes=1)


def at_full_speed():
    """Undo `slow_down`."""
    tile_maker.TileWriter = TileWriter


def strike_worker(client, after_s, tell):
    """Kill a worker process after a while; the cluster starts another one in its place."""
    pids = list(client.run(os.getpid).values())

    def strike():
        tell("struck")
        os.kill(pids[0], signal.SIGKILL)

    timer = threading.Timer(after_s, strike)
    timer.daemon = True
    timer.start()
    return timer


def build_on_cluster(path, tell, *, n_workers=2, pace_s=0.05, worker_dies_after_s=None):
    """Build by workers, one of which may be killed meanwhile; tell when they are there."""
    import dask  # noqa: PLC0415

    from cubefit.distributed import building  # noqa: PLC0415 - takes half a second
    from cubefit.distributed.connection import connected  # noqa: PLC0415

    building.TURN_S = 4 * pace_s
    # What workers say whose scheduler was killed would drown the table, too.
    dask.config.set({"logging.distributed": "critical"})
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with connected(n_workers=n_workers, threads=n_workers) as client:
        client.run(slow_down, pace_s)
        tell("connected")
        timer = None
        if worker_dies_after_s is not None:
            timer = strike_worker(client, worker_dies_after_s, tell)
        hypercube_builder.build_hypercube(path, **TILES, verbose=False, client=client)
        if timer is not None:
            timer.cancel()


class InPlace:
    """Takes the place of the writer process: the same recorder, in the process of the solver."""

    is_gone = True

    def __init__(self, recording):
        self._recorder = fit_recorder.Recorder(recording)
        self._closed = False

    def can_take(self):
        return True

    def offer(self, moment):
        self._recorder.record(moment)
        return True

    def has_lost(self):
        return False

    def close(self, wait_s):
        if not self._closed:
            self._closed = True
            self._recorder.__exit__()
        return True


class Watched(FitTracker):
    """Tells the first state, and records in place if wanted; may kill its writer process."""

    def __init__(self, path, tell, *, in_place=False, frail=None, writer_dies_at=None):
        super().__init__(path, AT_EVERY_STATE)
        self._tell, self._in_place, self._frail = tell, in_place, frail
        self._writer_dies_at = writer_dies_at
        self._n_states = 0

    def maybe_save(self, x, epoch, *, state=None, **rest):
        self._n_states += 1
        if self._n_states == 1:
            self._tell("first", key_of(state))
        super().maybe_save(x, epoch, state=state, **rest)
        if self._n_states == self._writer_dies_at and self._writer is not None:
            process = self._writer._process
            if process is not None and process.poll() is None:
                process.kill()
                self._tell("struck")

    def _start_writer(self):
        if self._in_place:
            return InPlace(self._recording)
        if self._frail is None:
            return super()._start_writer()
        os.environ[FRAIL] = str(self._frail)
        return WriterProcess(
            "tests.faults.victims:frail_recorder", self._recording, inherited=(self._lock.fd,)
        )


def frail_recorder(descriptor):
    """Be a writer process with a fault; one that takes its place is sound."""
    note = Path(os.environ[FRAIL])
    if note.exists():
        fault = pickle.loads(note.read_bytes())  # noqa: S301
        note.unlink()
        fault.arm()
    fit_recorder.main(descriptor)


def key_of(state):
    """Return what names a state of a fit."""
    return int(state["epoch"]), int(state["position"])


def fit(path, tell, *, pace_s=0.0, operator="auto", committed=True, **watched):
    """Fit; the solver takes ``pace_s`` for a spaxel."""
    x, stats = PipelineRunner(path).solve_all(
        **FIT,
        operator=operator,
        verbose=False,
        tracker=Watched(path, tell, **watched),
        on_batch=lambda _rmse: time.sleep(pace_s),
    )
    assert stats["committed"] == committed
    return x.tobytes()


def tracked_x(step, size):
    """Return the weights of a step of the loop that `track` follows."""
    return np.random.default_rng(step).random(size)


def track(path, tell, *, pace_s=0.0, **watched):
    """Be a user's own solver with a tracker, which goes on from the latest checkpoint."""
    with open_h5(path, "reader") as file:
        latest = read_checkpoint(file, "latest")
        size = file["/LOSVD"].shape[2] * file["/Templates"].shape[0]
    done = 0 if latest is None else key_of(latest.state)[0]
    with Watched(path, tell, **watched) as tracker:
        for step in range(done + 1, N_TRACKED + 1):
            tracker.maybe_save(tracked_x(step, size), step, state={"epoch": step, "position": 0})
            time.sleep(pace_s)
