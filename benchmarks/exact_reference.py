"""The exact solver and ten Kaczmarz epochs, in figures.

``python -m benchmarks.exact_reference reference_medium.npz`` fits a brute-force reference file,
``python -m benchmarks.exact_reference ngc4365`` a mock of that size. Each line says: misfit,
certified gap, passes, time and time over that of one pass (``A x`` and ``A^T r`` in float64),
memory so far, and errors against the truth (total; sum over the shares of the components; rms of
the components' means).
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.exact_cases import Case, Float, large_case, reference_case
from benchmarks.machine import peak_memory_gb
from cubefit.config import ExactCfg, PriorCfg, SolverCfg
from cubefit.inverse.misfit import Misfit
from cubefit.inverse.observed import Observed
from cubefit.inverse.operators import Operator
from cubefit.inverse.seeds import jacobi_seed
from cubefit.inverse.shares import one_share
from cubefit.kaczmarz_solver import solve_global_kaczmarz
from cubefit.threads import blas_threads

SMOOTH = PriorCfg(regularization=0.1)
FINE = ExactCfg(gap_tolerance=1e-9)


def tell(name: str, case: Case, x: Float, stats: dict[str, Any], pass_s: float) -> None:
    """Print one fit."""
    text = f"{name:<32} chi2/N {stats['chi2_per_voxel']:.9f}"
    if "gap_rel" in stats:
        text += f", gap {stats['gap_rel']:.1e}, {stats['rounds']} rounds, {stats['pairs']} passes"
    seconds = stats["elapsed_sec"]
    text += f", {stats['nnz']} nonzeros, {seconds:.1f} s = {seconds / pass_s:.0f} passes' time"
    errors = {key: f"{value:+.4g}" for key, value in case.recovery(x).items()}
    print(f"{text}, {peak_memory_gb():.2f} GB; errors {errors}", flush=True)


def one_weight_per_spaxel(noise: Float) -> Float:
    """Return the mean noise of each spaxel, in all its pixels."""
    return np.repeat(noise.mean(axis=1, keepdims=True), noise.shape[1], axis=1)


def run_reference(path: Path) -> None:
    """Fit a reference file in every way."""
    case, narrow = reference_case(path)
    pass_s, mean = begin(case), one_weight_per_spaxel(case.noise)
    tell("exact, one weight per spaxel", case, *case.solve(noise=mean, cfg=FINE), pass_s)
    tell("exact, noise cube", case, *case.solve(cfg=FINE), pass_s)
    weighted = case.solve(noise=mean, cfg=FINE, with_weights=True)
    tell("orbit weights", case, *weighted, pass_s)
    smooth = case.solve(noise=mean, with_weights=True, priors=SMOOTH)
    tell("orbit weights, smoothness 0.1", case, *smooth, pass_s)
    tell("Kaczmarz, 10 epochs", case, *ten_epochs(narrow, case, mean), pass_s)


def ten_epochs(operator: Operator, case: Case, noise: Float) -> tuple[Float, dict[str, Any]]:
    """Return ten Kaczmarz epochs from the Jacobi seed, which counts in their time."""
    observed = Observed.of(case.data, noise=noise)
    start = time.perf_counter()
    seed = jacobi_seed(Misfit(one_share(operator, observed)))
    x, stats = solve_global_kaczmarz(operator, observed, seed, SolverCfg(epochs=10), verbose=False)
    return x, stats | {"elapsed_sec": time.perf_counter() - start}


def run_large() -> None:
    """Fit the large mock."""
    case = large_case()
    pass_s = begin(case)
    tell("exact", case, *case.solve(), pass_s)
    tell("orbit weights", case, *case.solve(with_weights=True), pass_s)
    tell("smoothness 0.1", case, *case.solve(with_weights=True, priors=SMOOTH), pass_s)


def begin(case: Case) -> float:
    """Print and return the time of one pass."""
    pass_s = case.seconds_of_pair()
    S, C, P, L = case.operator.shape
    print(
        f"S={S}, C={C}, P={P}, L={L}: one A x and A^T r in float64 takes {pass_s:.3f} s", flush=True
    )
    return pass_s


if __name__ == "__main__":
    with blas_threads(None):
        for argument in sys.argv[1:]:
            if argument == "ngc4365":
                run_large()
            else:
                run_reference(Path(argument))
