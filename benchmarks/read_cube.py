"""Reading an IFU cube against plain astropy access to the same bytes."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
from astropy.io import fits

from benchmarks.machine import peak_memory_gb
from cubefit.io.cubes import read_cube
from cubefit.prepare.binning import binned
from cubefit.prepare.selection import white_light

SHAPE = (938, 200, 400)
"""Flux and variance: 600 MB."""
LARGE = (4688, 200, 400)
"""Likewise 3 GB."""
REPEATS = 3


def write_cube(path: Path, shape: tuple[int, int, int] = SHAPE) -> None:
    """Write a MUSE-like cube plane by plane, in little memory."""
    rng = np.random.default_rng(0)
    header = fits.Header(
        {"CRVAL3": 4750.0, "CD3_3": 1.25, "CRPIX3": 1.0, "CTYPE3": "AWAV", "CUNIT3": "Angstrom"}
        | {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CUNIT1": "deg", "CUNIT2": "deg"}
        | {"CD1_1": -0.2 / 3600, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 0.2 / 3600}
    )
    plane = (rng.random(shape[1:], dtype=np.float32) + 1.0).astype(">f4").tobytes()
    padding = bytes(-len(plane) * shape[0] % 2880)
    with path.open("wb") as file:
        file.write(fits.PrimaryHDU().header.tostring().encode())
        for name, cards in (("DATA", header), ("STAT", fits.Header())):
            hdu = fits.ImageHDU(np.broadcast_to(np.float32(0), shape), cards, name=name)
            file.write(hdu.header.tostring().encode())
            for _ in range(shape[0]):
                file.write(plane)
            file.write(padding)


def plain(path: Path, *names: str) -> None:
    """Touch every value of some HDUs through astropy, mapped into memory as by default."""
    with fits.open(path) as hdus:
        for name in names:
            np.sum(hdus[name].data)


class ReadCube:
    """A cube of 600 MB, read from the page cache."""

    timeout = 600

    def setup(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "cube.fits"
        write_cube(self.path)

    def teardown(self) -> None:
        self.folder.cleanup()

    def _speed(self, ours: Callable[[], object], *names: str) -> float:
        """Return how many times as fast as plain access; both in turns, medians compared."""
        times: list[tuple[float, float]] = []
        for _ in range(REPEATS + 1):
            start = time.perf_counter()
            plain(self.path, *names)
            middle = time.perf_counter()
            ours()
            times.append((middle - start, time.perf_counter() - middle))
        yardstick, found = (median(column) for column in zip(*times[1:], strict=True))
        return float(yardstick / found)

    def track_blocks_over_astropy(self) -> float:
        """Flux, noise and mask of every voxel, streamed."""
        cube = read_cube(self.path)
        return self._speed(lambda: [block.wave for block in cube.blocks()], "DATA", "STAT")

    def track_flux_over_astropy(self) -> float:
        """The flux as one array."""
        cube = read_cube(self.path)
        return self._speed(lambda: cube.flux, "DATA")

    def track_peak_memory_gb_of_blocks(self) -> float:
        for _ in read_cube(self.path).blocks():
            pass
        return peak_memory_gb()


class LargeCube:
    """A cube of 3 GB, summed into 2000 bins as `cubefit run` does."""

    timeout = 600

    def setup(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name) / "cube.fits"
        write_cube(path, LARGE)
        started = time.perf_counter()
        cube = read_cube(path)
        light = white_light(cube.blocks(), cube.wave)
        bins = (np.arange(LARGE[1] * LARGE[2]) // 40).astype(np.int32)
        binned(cube.blocks(), bins, cube.wave_edges, cube.medium, light=light.signal)
        self.elapsed_s = time.perf_counter() - started

    def teardown(self) -> None:
        self.folder.cleanup()

    def track_seconds(self) -> float:
        """White light, and the sums."""
        return self.elapsed_s

    def track_peak_memory_gb(self) -> float:
        return peak_memory_gb()
