"""What following a fit costs: the same fit with its tracker and without it."""

from __future__ import annotations

import resource
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.cases import medium_mock
from cubefit import FitTracker, PipelineRunner, TrackerConfig
from cubefit.npz_inputs import populate
from cubefit.threads import usable_cores

EPOCHS = 6
TURNS = 5
BUSY = TrackerConfig(metrics_interval_sec=1.0, val_interval_sec=5.0, ckpt_interval_sec=2.0)
"""Hundreds of times busier than the defaults."""


class Timed(FitTracker):
    """Counts the seconds that it keeps the solver."""

    seconds = 0.0

    def __getattribute__(self, name: str) -> Any:
        method = super().__getattribute__(name)
        if name not in ("begin", "on_batch", "maybe_save", "finish", "close"):
            return method

        def timed(*args: Any, **settings: Any) -> Any:
            start = time.perf_counter()
            try:
                return method(*args, **settings)
            finally:
                self.seconds += time.perf_counter() - start

        return timed


class MediumFit:
    """Kaczmarz epochs on the medium orbit library, matrix-free; the commit included."""

    timeout = 1200

    def setup(self) -> None:
        self.folder = tempfile.TemporaryDirectory(dir=Path.cwd())
        self.path = Path(self.folder.name) / "cube.h5"
        populate(self.path, medium_mock().arrays)
        self.seconds(True, epochs=1)

    def teardown(self) -> None:
        self.folder.cleanup()

    def seconds(self, tracker: FitTracker | TrackerConfig | bool, epochs: int = EPOCHS) -> float:
        start = time.perf_counter()
        PipelineRunner(self.path).solve_all(
            epochs=epochs, warm_start="zeros", tracker=tracker, verbose=False
        )
        return time.perf_counter() - start

    def extra_percent(self, tracker: TrackerConfig | bool) -> float:
        """Return how much longer the fit takes with its tracker than without, best of each.

        Both are timed in turns. Other work on the machine only ever makes a fit slower, by up to
        a half where this was written: the best of five is the least disturbed one.
        """
        plain, followed = [], []
        for _ in range(TURNS):
            plain.append(self.seconds(False))
            followed.append(self.seconds(tracker))
        return 100.0 * (min(followed) / min(plain) - 1.0)

    def accounted_percent(self, config: TrackerConfig) -> float:
        """Return what the tracker takes: the solver's time in its calls, and its process's share.

        The process runs beside the solver; at worst all of its CPU time is taken from it.
        """
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        tracker = Timed(self.path, config)
        elapsed = self.seconds(tracker)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return 100.0 * (tracker.seconds + cpu / usable_cores()) / elapsed

    def track_extra_percent_of_default_tracker(self) -> float:
        return self.extra_percent(True)

    def track_extra_percent_of_busy_tracker(self) -> float:
        return self.extra_percent(BUSY)

    def track_accounted_percent_of_default_tracker(self) -> float:
        return self.accounted_percent(TrackerConfig())

    def track_accounted_percent_of_busy_tracker(self) -> float:
        return self.accounted_percent(BUSY)

    def track_seconds_of_untracked_fit(self) -> float:
        return self.seconds(False)
