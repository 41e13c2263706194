"""The exact solver and ten Kaczmarz epochs on a brute-force reference file.

``python -m benchmarks.exact_reference reference_medium.npz`` prints each fit: misfit, certified
gap, time, time over that of one float64 ``A x`` and ``A^T r``, passes, memory, errors against truth.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.exact_cases import Case, large_case, reference_case
from benchmarks.machine import peak_memory_gb
from cubefit.config import PriorCfg, SolverCfg
from cubefit.inverse.matrix_free import MatrixFreeOperator
from cubefit.inverse.objective import Objective
from cubefit.inverse.seeds import jacobi_seed
from cubefit.kaczmarz_solver import solve_global_kaczmarz
from cubefit.threads import blas_threads

SMOOTH = 0.1


def tell(name: str, case: Case, x: Any, stats: dict[str, Any], pair: float) -> None:
    """Print one fit."""
    text = f"{name:<34} chi2/N {stats['chi2_per_voxel']:.9f}"
    if "gap_rel" in stats:
        text += f", gap {stats['gap_rel']:.1e}, {stats['rounds']} rounds, {stats['pairs']} pairs"
    seconds = stats["elapsed_sec"]
    text += f", {stats['nnz']} nonzeros, {seconds:.1f} s = {seconds / pair:.0f} pairs' time"
    if case.truth is not None:
        text += "; total {total:+.4f}, shares {shares:.1e}, log age {log_age:.4f}, [M/H] {metal:.4f}".format(
            **case.recovery(x)
        )
    print(f"{text}; peak {peak_memory_gb():.2f} GB", flush=True)


def run(case: Case, *, everything: bool) -> None:
    """Fit a case in several ways."""
    pair = case.seconds_of_pair()
    print(f"{case.operator.shape}: one A x and A^T r in float64 takes {pair:.3f} s", flush=True)
    mean = np.broadcast_to(case.noise.mean(axis=1, keepdims=True), case.noise.shape)
    if everything:
        for name, noise in (("one weight per spaxel", mean), ("noise cube", case.noise)):
            tell(f"exact, {name}", case, *case.solve(noise=noise, gap=1e-9), pair)
    else:
        tell("exact", case, *case.solve(), pair)
    tell("orbit weights", case, *case.solve(noise=mean, with_weights=True), pair)
    smooth = PriorCfg(regularization=SMOOTH)
    name = f"orbit weights, smoothness {SMOOTH}"
    tell(name, case, *case.solve(noise=mean, with_weights=True, priors=smooth), pair)


def run_kaczmarz(case: Case, path: Path) -> None:
    """Sweep ten times over the same data, in float32 as the solver does."""
    narrow = MatrixFreeOperator(*_inputs(path))
    objective = Objective.of(case.data, noise=case.noise.mean(axis=1, keepdims=True) * np.ones_like(case.noise))
    start = time.perf_counter()
    x, stats = solve_global_kaczmarz(
        narrow, objective, jacobi_seed(narrow, objective), SolverCfg(epochs=10), verbose=False
    )
    stats["elapsed_sec"] = time.perf_counter() - start
    tell("Kaczmarz, 10 epochs", case, x, stats, case.seconds_of_pair())


def _inputs(path: Path) -> tuple[Any, Any]:
    from cubefit.spectra.shifted_templates import shifted_templates

    with np.load(path) as ref:
        templates = ref["templates"].reshape(ref["templates"].shape[0], -1).T
        grids = (ref["tem_loglam"], ref["obs_loglam"], ref["vel"])
        return ref["losvd"], shifted_templates(templates, *grids)


if __name__ == "__main__":
    with blas_threads(None):
        for argument in sys.argv[1:]:
            if argument == "ngc4365":
                run(large_case(), everything=False)
                continue
            reference = reference_case(Path(argument))
            run(reference, everything=True)
            run_kaczmarz(reference, Path(argument))
