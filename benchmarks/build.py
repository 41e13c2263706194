"""Building a HyperCube against plain sequential writes of as many bytes."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.cases import medium_mock
from benchmarks.machine import peak_memory_gb, sequential_write_bytes_per_s
from cubefit.hypercube_builder import build_hypercube
from cubefit.npz_inputs import populate

N_SPAXELS = 98
"""Spaxels of the medium case that are built: 5.0 GB."""


class Build:
    """The medium orbit library with E-MILES templates, first spaxels."""

    timeout = 600

    def setup(self) -> None:
        self.folder = tempfile.TemporaryDirectory(dir=Path.cwd())
        arrays = dict(medium_mock().arrays)
        for key in ("losvd", "datacube", "noise"):
            arrays[key] = arrays[key][:N_SPAXELS]
        for key in ("xpix", "ypix", "binnum"):
            del arrays[key]
        self.path = Path(self.folder.name) / "cube.h5"
        populate(self.path, arrays)

    def teardown(self) -> None:
        self.folder.cleanup()

    def track_fraction_of_sequential_write(self) -> float:
        """Median of three builds, each beside a plain write on the same disk."""
        ratios = []
        for _ in range(3):
            report = build_hypercube(self.path, overwrite=True, verbose=False)
            plain = sequential_write_bytes_per_s(Path(self.folder.name), report.n_bytes)
            ratios.append(report.n_bytes / report.elapsed_s / plain)
        return sorted(ratios)[1]

    def track_peak_memory_gb(self) -> float:
        build_hypercube(self.path, overwrite=True, verbose=False)
        return peak_memory_gb()
