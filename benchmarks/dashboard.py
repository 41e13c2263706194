"""The dashboard: how soon it is there, what a change of the page takes, what it costs a fit."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import numpy as np
from bokeh.client import pull_session
from bokeh.document import Document

from benchmarks.cases import medium_mock
from cubefit import FitTracker, H5Manager, PipelineRunner, TrackerConfig
from cubefit.dashboard import Page
from cubefit.live import LiveFile
from cubefit.npz_inputs import populate
from cubefit.spectra.grids import SPEED_OF_LIGHT_KMS
from cubefit.threads import usable_cores

SIZES = {"S": 2854, "V": 201, "C": 207, "P": 360, "L": 724}
"""NGC 4365: 74,520 weights."""
TURNS = 8
EPOCHS = 6


def large_file(path: Path) -> None:
    """Write a file of NGC 4365's sizes, with a tracked fit under way in it."""
    S, V, C, P, L = SIZES.values()
    rng = np.random.default_rng(4365)
    dln = 60.0 / SPEED_OF_LIGHT_KMS
    obs_pix = np.log(4750.0) + dln * np.arange(L)
    tem_pix = obs_pix[0] + 0.5 * dln * np.arange(-300, 2 * L + 300)
    velocity = np.linspace(-1000.0, 1000.0, V)
    spread = np.exp(-0.5 * ((velocity[:, None] - rng.normal(0, 150, C)) / 150.0) ** 2)
    losvd = (rng.random((S, 1, C)) * spread).astype(np.float32)
    manager = H5Manager(path, tem_pix=tem_pix, obs_pix=obs_pix)
    manager.set_velocity_grid(velocity)
    side = 300
    y, x = np.divmod(np.arange(side * side), side)
    manager.populate_from_arrays(
        losvd=losvd,
        datacube=rng.random((S, L)) + 1.0,
        noise=np.full((S, L), 0.1),
        templates=1.0 + rng.random((tem_pix.size, 10, 36, 1)),
        template_axes={"metallicity": np.linspace(-2, 0.5, 10), "age": np.geomspace(0.1, 14, 36),
                       "alpha": [0.0]},
        xpix=0.2 * x, ypix=0.2 * y, binnum=rng.integers(0, S, side * side),
        orbit_weights=rng.random(C),
        component_properties={"radius [kpc]": rng.random(C), "circularity": rng.random(C)},
    )  # fmt: skip
    always = TrackerConfig(metrics_interval_sec=0, val_interval_sec=1e9, ckpt_interval_sec=1e9)
    with FitTracker(path, always) as tracker:
        tracker.begin(run={"method": "exact"}, fresh=True)
        tracker.finish(rng.random(C * P), 3, chi2=1e6, objective=5e5, gap_rel=1e-3)


class LargeFile:
    """A galaxy of NGC 4365's sizes."""

    timeout = 1200

    def setup(self) -> None:
        self.folder = tempfile.TemporaryDirectory(dir=Path.cwd())
        self.path = Path(self.folder.name) / "cube.h5"
        large_file(self.path)

    def teardown(self) -> None:
        self.folder.cleanup()

    def track_seconds_to_the_page(self) -> float:
        """From the command to the complete page at a viewer's, best of three."""
        return min(self.start() for _ in range(3))

    def start(self) -> float:
        began = time.perf_counter()
        with Served(self.path) as served:
            session = pull_session(url=served.url)
            assert session.document.roots
            took = time.perf_counter() - began
            session.close()
        return took

    def page(self) -> Page:
        self.live = LiveFile(self.path)
        self.live.refresh()
        page = Page(self.live)
        page.attach(Document())
        return page

    def track_ms_of_an_update(self) -> float:
        """A new row of metrics and new weights: reading them and changing every panel."""
        page, took = self.page(), []
        for _ in range(TURNS):
            self.path.touch()
            page._next = 0.0  # noqa: SLF001 - no rest here
            began = time.perf_counter()
            assert self.live.refresh()
            page.tick()
            took.append(time.perf_counter() - began)
        return 1e3 * float(np.median(took))

    def track_ms_of_a_pick(self) -> float:
        """Another spaxel."""
        page, took = self.page(), []
        for spaxel in range(100, 100 + 2 * TURNS):
            began = time.perf_counter()
            page.pick(spaxel)
            took.append(time.perf_counter() - began)
        return 1e3 * float(np.median(took))


class Served:
    """A dashboard in a process of its own, as users start it."""

    def __init__(self, path: Path) -> None:
        self._command = [sys.executable, "-m", "cubefit", "dashboard", str(path), "--port", "0"]

    def __enter__(self) -> Served:
        self._process = subprocess.Popen(  # noqa: S603
            self._command, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        self.url = next(word for word in line.split() if word.startswith("http"))
        with urllib.request.urlopen(self.url):  # noqa: S310
            pass
        return self

    def cpu_s(self) -> float:
        """CPU time of the process so far, from /proc."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def __exit__(self, *exc: object) -> None:
        self._process.terminate()
        self._process.wait()


class WatchedFit:
    """Kaczmarz epochs on the medium orbit library, with two viewers and without."""

    timeout = 1200

    def setup(self) -> None:
        self.folder = tempfile.TemporaryDirectory(dir=Path.cwd())
        self.path = Path(self.folder.name) / "cube.h5"
        populate(self.path, medium_mock().arrays)
        self.seconds(1)

    def teardown(self) -> None:
        self.folder.cleanup()

    def seconds(self, epochs: int = EPOCHS) -> float:
        began = time.perf_counter()
        config = TrackerConfig(metrics_interval_sec=1.0)
        PipelineRunner(self.path).solve_all(
            epochs=epochs, warm_start="zeros", tracker=config, verbose=False
        )
        return time.perf_counter() - began

    def track_extra_percent_with_two_viewers(self) -> float:
        """Both in turns, best of each: other work only ever makes a fit slower."""
        plain, watched = [], []
        for _ in range(TURNS):
            plain.append(self.seconds())
            with Served(self.path) as served:
                viewers = [pull_session(url=served.url) for _ in range(2)]
                watched.append(self.seconds())
                for viewer in viewers:
                    viewer.close()
        return 100.0 * (min(watched) / min(plain) - 1.0)

    def track_percent_of_the_cores_with_two_viewers(self) -> float:
        """CPU time of the dashboard over that of all cores: at worst the fit lacks all of it."""
        with Served(self.path) as served:
            viewers = [pull_session(url=served.url) for _ in range(2)]
            before = served.cpu_s()
            took = self.seconds()
            used = served.cpu_s() - before
            for viewer in viewers:
                viewer.close()
        return 100.0 * used / took / usable_cores()
