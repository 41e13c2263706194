"""What following a fit costs: the same fit with its tracker and without it."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from benchmarks.cases import medium_mock
from cubefit import PipelineRunner, TrackerConfig
from cubefit.kz_fitSpec import populate

EPOCHS = 8
BUSY = TrackerConfig(metrics_interval_sec=1.0, val_interval_sec=5.0, ckpt_interval_sec=2.0)
"""Hundreds of times busier than the defaults."""


class MediumFit:
    """Kaczmarz epochs on the medium orbit library, matrix-free; the commit included."""

    timeout = 1200

    def setup(self) -> None:
        self.folder = tempfile.TemporaryDirectory(dir=Path.cwd())
        self.path = Path(self.folder.name) / "cube.h5"
        populate(self.path, medium_mock().arrays)
        self.seconds(False, epochs=1)

    def teardown(self) -> None:
        self.folder.cleanup()

    def seconds(self, tracker: TrackerConfig | bool, epochs: int = EPOCHS) -> float:
        start = time.perf_counter()
        PipelineRunner(self.path).solve_all(
            epochs=epochs, warm_start="zeros", tracker=tracker, verbose=False
        )
        return time.perf_counter() - start

    def extra_percent(self, tracker: TrackerConfig | bool) -> float:
        """Median of five: how much longer the tracked fit takes than the one before it."""
        ratios = []
        for _ in range(5):
            plain = self.seconds(False)
            ratios.append(100.0 * (self.seconds(tracker) / plain - 1.0))
        return sorted(ratios)[2]

    def track_extra_percent_of_default_tracker(self) -> float:
        return self.extra_percent(True)

    def track_extra_percent_of_busy_tracker(self) -> float:
        return self.extra_percent(BUSY)

    def track_seconds_of_untracked_fit(self) -> float:
        return self.seconds(False)
