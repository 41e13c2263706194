"""What each choice in the exact solver is worth.

``python -m benchmarks.exact_ablation reference_medium.npz`` fits the file without priors to a gap
of 1e-9, and with orbit weights and smoothness 0.1 to 1e-6, one choice changed at a time.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.exact_cases import Case, Float, reference_case
from benchmarks.exact_reference import begin, one_weight_per_spaxel
from cubefit.config import PriorCfg
from cubefit.exact_priors import PriorPlan
from cubefit.inverse import exact as exact_module
from cubefit.inverse import working_set
from cubefit.inverse.certificate import Certificate
from cubefit.inverse.compressed import CompressedModel
from cubefit.inverse.exact import Exact
from cubefit.inverse.matrix_free import MatrixFreeOperator
from cubefit.inverse.misfit import Misfit
from cubefit.inverse.objective import Objective
from cubefit.inverse.observed import Observed
from cubefit.inverse.operators import Members
from cubefit.inverse.separable import SeparableWeights
from cubefit.inverse.shares import OneShare, Share, one_share
from cubefit.threads import blas_threads

MOST_ROUNDS = 60
TOTAL = 1.0
"""What the weights of a reference file sum to, so that all smooth fits have one objective."""


@contextmanager
def changed(module: Any, name: str, value: object) -> Iterator[None]:
    """Set a constant of a module for a while."""
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


class Ablation:
    """One case, prepared once."""

    def __init__(self, case: Case, narrow: MatrixFreeOperator) -> None:
        self.case, self.narrow = case, narrow
        noise = one_weight_per_spaxel(case.noise)
        self.observed = Observed.of(case.data, noise=noise)
        self.shares = one_share(case.operator, self.observed)
        self.misfit = Misfit(self.shares)
        self.certificate = Certificate(self.misfit)
        self.pass_s = begin(case)

    def exact(self, tolerance: float = 1e-4, **changes: Any) -> tuple[Exact, float]:
        """Return the fit, and the seconds that its compressed model took."""
        start = time.perf_counter()
        model = CompressedModel.of(self.shares, template_tolerance=tolerance)
        made = Exact(
            objective=Objective(self.misfit),
            certificate=self.certificate,
            model=model,
            batch_bytes=30e6,
        )
        return replace(made, **changes), time.perf_counter() - start

    def tell(self, name: str, exact: Exact, gap: float, before: float = 0.0) -> None:
        """Fit and print."""
        self.case.operator.pairs = 0
        start, state = time.perf_counter(), None
        for state in exact.solve(np.zeros(self.misfit.shape[1:3]), gap):
            if state.round == MOST_ROUNDS:
                break
        seconds = before + time.perf_counter() - start
        assert state is not None
        print(
            f"{name:<46} K={exact.model.n_compressed:<4} {state.round:3d} rounds, "
            f"{self.case.operator.pairs:4d} passes, gap {state.gap.relative:.1e}, {seconds:6.1f} s "
            f"= {seconds / self.pass_s:4.0f} passes' time, chi2/N "
            f"{state.chi2 / self.misfit.n_voxels:.9f}",
            flush=True,
        )

    def sparse(self) -> None:
        """Vary what the working sets choose by."""
        for tolerance in (1e-3, 3e-4, 1e-4, 3e-5, 1e-5):
            exact, before = self.exact(tolerance)
            self.tell(f"templates compressed to {tolerance:.0e}", exact, 1e-9, before)
        exact, before = self.exact()
        for count in (1, 2, 4, 8):
            fewer = replace(exact, columns_per_round=count)
            self.tell(f"{count} columns a component and step", fewer, 1e-9, before)
        for share in (1e-1, 1e9):
            with changed(working_set, "LARGE", share):
                self.tell(f"compressed minimum taken above {share:.0e}", exact, 1e-9, before)
        with changed(working_set, "MOST_STEPS", 1):
            self.tell("one compressed step a round", exact, 1e-9, before)
        misfit = Misfit(one_share(self.narrow, self.observed))
        narrow = replace(exact, objective=Objective(misfit), certificate=Certificate(misfit))
        self.tell("model in float32 (its own gap)", narrow, 1e-9, before)

    def smooth(self) -> None:
        """Vary the preconditioner."""
        priors = PriorCfg(regularization=0.1, total_weight=TOTAL)
        plan = PriorPlan(priors, self.case.template_shape, self.case.weights)
        exact, before = self.exact()
        exact = plan.with_smoothness(plan.with_ratio(exact, TOTAL), 0.1, TOTAL)
        for tolerance in (3e-3, 1e-3, 3e-4, 1e-4):
            with changed(exact_module, "PRECONDITIONER_TOLERANCE", tolerance):
                name = f"smooth, preconditioner to {tolerance:.0e}"
                kept = exact.model.coarser(tolerance).n_compressed
                self.tell(f"{name} (K={kept})", exact, 1e-6, before)

    def grams(self) -> None:
        """Time the Gram matrix of 400 columns by streaming and from its structure."""
        _, C, P, _ = self.case.operator.shape
        numbers = np.random.default_rng(0).choice(C * P, 400, replace=False)
        members = Members(numbers // P, numbers % P)
        start = time.perf_counter()
        streamed = self.misfit.gram(members, members, 30e6)
        middle = time.perf_counter()
        structured = gram_by_structure(self.shares, members)
        end = time.perf_counter()
        scale = np.sqrt(np.diagonal(streamed))
        error = np.abs((structured - streamed) / scale / scale[:, None]).max()
        print(
            f"Gram matrix of 400 columns: {middle - start:.1f} s streamed, {end - middle:.1f} s by "
            f"structure (separable weights only), which agree to {error:.0e}"
        )


def gram_by_structure(shares: OneShare[Share], members: Members) -> Float:
    """Return the Gram matrix from moments of LOSVDs and of templates; separable weights only."""
    weights, factors = SeparableWeights.of(shares), shares.held.operator.factors
    by_spaxel = weights.by_spaxel(shares.held.observed.inverse_noise)
    shifted = factors.shifted * weights.by_pixel[:, None, None]
    L, V, _ = shifted.shape
    used, place = np.unique(members.populations, return_inverse=True)
    flat = shifted[:, :, used].reshape(L, V * used.size)
    templates = (flat.T @ flat).reshape(V, used.size, V, used.size)
    kernels = factors.kernels(slice(None)) * by_spaxel[:, None, None]
    S, C, _ = kernels.shape
    light = kernels.reshape(S, C * V)
    moments = (light.T @ light).reshape(C, V, C, V)
    result = np.empty((members.size, members.size))
    for i, (c, p) in enumerate(zip(members.components, place, strict=True)):
        own = moments[c][:, members.components]
        pairs = templates[:, p][:, :, place]
        result[i] = np.einsum("vjw,vwj->j", own, pairs, optimize=True)
    return result * factors.scale**2


if __name__ == "__main__":
    with blas_threads(None):
        ablation = Ablation(*reference_case(Path(sys.argv[1])))
        ablation.grams()
        ablation.sparse()
        ablation.smooth()
