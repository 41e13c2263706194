"""The exact solver on the medium orbit library: its time in passes over the model."""

from __future__ import annotations

import numpy as np

from benchmarks.cases import medium_mock
from benchmarks.exact_cases import Case, Counted
from benchmarks.machine import peak_memory_gb
from cubefit.config import ExactCfg, PriorCfg
from cubefit.spectra.shifted_templates import shifted_templates


class MediumExact:
    """18,000 unknowns, S/N 60, the optimum to a relative gap of 1e-9; with priors to 1e-6."""

    timeout = 600

    def setup(self) -> None:
        mock = medium_mock()
        arrays = mock.arrays
        templates = arrays["templates"].reshape(arrays["templates"].shape[0], -1).T
        shifted = shifted_templates(
            templates,
            arrays["tem_pix"],
            arrays["obs_pix"],
            arrays["vel_pix"],
            dtype=np.float64,
        )
        self.case = Case(
            operator=Counted(arrays["losvd"], shifted, dtype=np.float64),
            data=arrays["datacube"],
            noise=arrays["noise"],
            template_shape=arrays["templates"].shape[1:],
            weights=arrays["orbit_weights"],
        )

    def track_seconds_over_a_pass(self) -> float:
        _, stats = self.case.solve(cfg=ExactCfg(gap_tolerance=1e-9))
        return float(stats["elapsed_sec"] / self.case.seconds_of_pair())

    def track_passes(self) -> float:
        return float(self.case.solve(cfg=ExactCfg(gap_tolerance=1e-9))[1]["pairs"])

    def track_smooth_seconds_over_a_pass(self) -> float:
        smooth = PriorCfg(regularization=0.1)
        _, stats = self.case.solve(with_weights=True, priors=smooth)
        return float(stats["elapsed_sec"] / self.case.seconds_of_pair())

    def track_smooth_peak_memory_gb(self) -> float:
        self.case.solve(with_weights=True, priors=PriorCfg(regularization=0.1))
        return peak_memory_gb()
