"""Many fits of one model: noise realisations, left-out spaxels, other smoothness, in one call."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cubefit.config import ExactCfg, PriorCfg, require_positive
from cubefit.errors import ConfigError, InputError
from cubefit.exact_priors import PriorPlan, require_smoothable, wanted_weights
from cubefit.exact_solver import Prepared, best_point, memory_plan, prepare
from cubefit.exact_watch import Watch
from cubefit.inverse.certificate import Certificate
from cubefit.inverse.exact import Exact
from cubefit.inverse.misfit import Misfit
from cubefit.inverse.objective import Objective
from cubefit.inverse.variations import Variation, jackknife, noise_realisations, strengths, varied
from cubefit.model_choice import ModelChoice, choose_model
from cubefit.progress import Progress, visible_log
from cubefit.store import schema
from cubefit.store.handle import reading
from cubefit.store.load import read_dims, read_orbit_weights, read_template_axes
from cubefit.store.results import (
    Solution,
    read_solution,
    require_solution,
    solution_normalization,
)
from cubefit.threads import blas_threads as limit_threads
from cubefit.threads import usable_memory

__all__ = [
    "Variation",
    "VariedFit",
    "fit_variations",
    "jackknife",
    "noise_realisations",
    "strengths",
]

logger = logging.getLogger(__name__)

Float = NDArray[np.float64]

AT_ONCE: Final = 2
"""Fits at a time on a cluster: while one is between two rounds, the workers serve the other."""


class VariedFit(NamedTuple):
    """The answer of one variation."""

    variation: Variation
    x: Float
    """Weights, shape (C, P)."""
    stats: dict[str, Any]
    """See `cubefit.exact_solver.solve_global_exact`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """What all variations share."""

    exact: Exact
    """The fit itself, without priors. Its compressed model serves the variations: it chooses
    columns, and decides nothing."""
    x: Float
    """Its answer, shape (C, P)."""
    sigma: float
    """Noise in units of the misfit."""
    priors: PriorPlan
    rough_total: float
    """What its ratio rows are measured in."""
    prepared: Prepared
    """Strength of its smoothness, and what that is measured in."""
    cfg: ExactCfg

    def fit(self, variation: Variation, should_stop: Callable[[], bool]) -> VariedFit:
        """Return the fit of a variation."""
        exact = self.exact
        if variation.changes_data:
            misfit = Misfit(
                exact.objective.misfit.shares.each(varied, variation, self.x, self.sigma)
            )
            exact = replace(exact, objective=Objective(misfit), certificate=Certificate(misfit))
        # Of components that no spaxel is left to show there is nothing to expect.
        exact = self.priors.with_ratio(exact, self.rough_total)
        strength, total = self.prepared
        if variation.regularization is not None:
            strength = variation.regularization
        if strength:
            exact = self.priors.with_smoothness(exact, strength, total)
        watch = Watch(exact.objective.misfit, self.cfg, should_stop, verbose=False)
        best = best_point(exact, self.x, self.cfg.gap_tolerance, watch)
        stats = watch.stats(best, strength, total if strength else float("nan"))
        return VariedFit(variation, best.x, stats)


def priors_of(solution: Solution, path: Path) -> tuple[PriorCfg, Prepared]:
    """Return the prior terms of a committed fit, and what its smoothness was measured in.

    Raises
    ------
    ConfigError
        If it was not made by the exact method.
    """
    if solution.run.get("method") != "exact":
        raise ConfigError(
            f"{path} holds no fit of method='exact' to vary: make one, then call again."
        )
    terms: Mapping[str, Any] = solution.run["priors"]
    priors = PriorCfg(**{k: v for k, v in terms.items() if k != "orbit_weights"})
    strength, total = (float(solution.facts[k]) for k in ("regularization", "total_weight"))
    if not strength:
        total = priors.total_weight or float(solution.x.sum())
    return priors, Prepared(strength, total)


def make_basis(
    path: Path, choice: ModelChoice, cfg: ExactCfg, variations: Sequence[Variation], at_once: int
) -> Basis:
    """Return what variations of the committed fit of a file share; memory is for all at once."""
    with reading(path) as file:
        require_solution(file, path)
        dims = read_dims(file)
        template_shape, _ = read_template_axes(file)
        normalization = solution_normalization(file)
        weights = read_orbit_weights(file, schema.X_ORBIT_WEIGHTS)
    for variation in variations:
        if variation.left_out is not None and variation.left_out[1] > dims["nSpat"]:
            raise InputError(
                f"{variation.name!r} leaves out spaxels up to {variation.left_out[1]}, but {path} "
                f"has {dims['nSpat']}: give jackknife the number of spaxels of this file."
            )
    with ExitStack() as stack:
        chosen = choose_model(path, replace(choice, normalization=normalization), stack)
    with reading(path) as file:
        solution = read_solution(file, path, chosen.digests.fit, (dims["nComp"], dims["nPop"]))
    cfg_of_priors, prepared = priors_of(solution, path)
    strongest = max([prepared.regularization, *(v.regularization or 0.0 for v in variations)])
    require_smoothable(template_shape, replace(cfg_of_priors, regularization=strongest))
    had_weights = solution.run["priors"].get("orbit_weights") is not None
    plan = PriorPlan(
        cfg_of_priors,
        template_shape,
        wanted_weights(weights if had_weights else None, dims["nComp"], cfg_of_priors),
    )
    misfit = chosen.misfit
    budget_gb = (
        usable_memory() / 2e9 if cfg.max_memory_gb is None else cfg.max_memory_gb
    ) / at_once
    plan_of_one = replace(cfg, max_memory_gb=budget_gb)
    exact = prepare(misfit, memory_plan(misfit, plan_of_one, is_smooth=strongest > 0))
    noise = 1.0 if misfit.has_noise else misfit.at(solution.x)[0] / misfit.n_voxels
    return Basis(
        exact=exact,
        x=solution.x,
        sigma=float(np.sqrt(noise)),
        priors=plan,
        rough_total=plan.rough_total(exact),
        prepared=prepared,
        cfg=cfg,
    )


def fit_variations(
    path: str | Path,
    variations: Iterable[Variation],
    *,
    client: object | None = None,
    n_shares: int | None = None,
    at_once: int | None = None,
    gap_tolerance: float = 1e-6,
    max_rounds: int = 200,
    max_memory_gb: float | None = None,
    blas_threads: int | None = None,
    verbose: bool = True,
) -> Generator[VariedFit, None, None]:
    """Fit variations of the committed exact fit of a file, and yield each answer when it is there.

    LOSVDs, templates and the compressed model are read and made once. Priors, their strength and
    the orbit weights are those of the committed fit, from whose answer each fit starts. Nothing is
    written: keep what comes.

    Parameters
    ----------
    path : str or Path
        The file.
    variations : iterable of Variation
        See `noise_realisations`, `jackknife`, `strengths`.
    client : distributed.Client, optional
        Fit on its cluster, see `cubefit.PipelineRunner.solve_all`.
    n_shares : int, optional
        Shares there.
    at_once : int, optional
        Fits at a time; default 2 on a cluster, else 1.
    gap_tolerance, max_rounds
        Of each fit, see `cubefit.config.ExactCfg`.
    max_memory_gb : float, optional
        Of the fits at a time together.
    blas_threads : int, optional
        Compute threads of this process, until the last fit has ended; default all usable cores.
    verbose : bool
        Tell progress.

    Returns
    -------
    generator of VariedFit
        In the order in which they end. To close it ends those under way after their round.

    Raises
    ------
    MissingDataError, StaleError, ConfigError
        If the file holds no exact fit of its inputs, or a setting is wrong.
    ClusterError
        See `cubefit.PipelineRunner.solve_all`.
    """
    path = Path(path)
    wanted = list(variations) if isinstance(variations, Iterable) else [variations]
    for variation in wanted:
        if not isinstance(variation, Variation):
            raise InputError(
                f"{variation!r} is no Variation: give a list of them, see noise_realisations, "
                "jackknife, strengths."
            )
    require_positive("at_once", at_once)
    choice = ModelChoice(method="exact", client=client, n_shares=n_shares)
    cfg = ExactCfg(gap_tolerance=gap_tolerance, max_rounds=max_rounds, max_memory_gb=max_memory_gb)
    require_positive("blas_threads", blas_threads)
    with reading(path) as file:
        require_solution(file, path)
    most = at_once or (1 if client is None else AT_ONCE)

    def fits() -> Generator[VariedFit, None, None]:
        with visible_log(verbose), limit_threads(blas_threads):
            basis = make_basis(path, choice, cfg, wanted, most)
            yield from _fits(basis, wanted, most, verbose=verbose)

    return fits()


def _fits(
    basis: Basis, variations: list[Variation], at_once: int, *, verbose: bool
) -> Generator[VariedFit, None, None]:
    """Yield the fits as they end; those under way end after their round if nobody wants more."""
    enough = threading.Event()
    with (
        Progress("Fits", len(variations), verbose=verbose) as progress,
        ThreadPoolExecutor(at_once, "cubefit-fit") as pool,
    ):
        futures = [pool.submit(basis.fit, one, enough.is_set) for one in variations]
        try:
            for future in as_completed(futures):
                done = future.result()
                progress.advance(1, done.variation.name)
                yield done
        finally:
            enough.set()
            for future in futures:
                future.cancel()
