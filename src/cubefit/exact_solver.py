"""The exact solver put to work: plan, prior terms, rounds, and words for how it ended."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cubefit.auto_regularization import choose_regularization
from cubefit.config import ExactCfg, PriorCfg
from cubefit.errors import InputError
from cubefit.exact_priors import (
    TOTAL_ACCURACY,
    PriorPlan,
    require_smoothable,
    unsmoothed,
    wanted_weights,
)
from cubefit.exact_watch import Watch
from cubefit.inverse.certificate import Certificate
from cubefit.inverse.compressed import CompressedModel
from cubefit.inverse.exact import Exact, ExactState
from cubefit.inverse.memory import MemoryPlan, plan_memory
from cubefit.inverse.misfit import Misfit
from cubefit.inverse.objective import Objective
from cubefit.threads import usable_memory

__all__ = ["ExactCfg", "PriorCfg", "solve_global_exact"]

logger = logging.getLogger(__name__)

Float = NDArray[np.float64]
ExactHook = Callable[[ExactState], None]

STALLED: Final = 0.1
"""A fit that rounding ends at a larger relative gap is none."""
AUTO_ACCURACY: Final = 1e-4
"""Relative gap of the fits between which ``regularization="auto"`` chooses."""


def memory_plan(misfit: Misfit, cfg: ExactCfg, *, is_smooth: bool) -> MemoryPlan:
    """Return how a fit fits into its memory budget.

    Raises
    ------
    ConfigError
        If it does not.
    """
    budget = usable_memory() / 2 if cfg.max_memory_gb is None else cfg.max_memory_gb * 1e9
    n_pairs = misfit.n_pairs() if misfit.shares.are_here else None
    return plan_memory(misfit.sizes(), n_pairs, budget, is_smooth=is_smooth)


def prepare(misfit: Misfit, plan: MemoryPlan) -> Exact:
    """Return the fit without priors: its certificate and its compressed model."""
    return Exact(
        objective=Objective(misfit),
        certificate=Certificate(misfit),
        model=CompressedModel.of(misfit.shares, most=plan.most_compressed),
        batch_bytes=plan.batch_bytes,
    )


class Prepared(NamedTuple):
    """What the preparation of smoothness found: it belongs to the objective."""

    regularization: float
    total: float
    """What the expected weights sum to."""


@dataclass(frozen=True, slots=True)
class Aim:
    """The objective that is minimised, and what was found on the way to it."""

    exact: Exact
    regularization: float
    total: float
    """What the expected weights sum to; NaN without smoothness."""
    start: Float | None
    """The fit that it was prepared by, shape (C, P)."""

    def better_start(self, start: Float) -> Float:
        """Return the user's start, or the fit that prepared this one where that is better."""
        if self.start is None:
            return start
        value = self.exact.objective.at(start).value
        prepared = self.exact.objective.at(self.start).value
        return start if value < prepared else self.start


def require_sense(best: ExactState, end: str | None) -> None:
    """Raise InputError if a fit ended at no answer at all."""
    gap = best.gap.relative
    if not (np.isfinite(best.value) and np.isfinite(gap)) or (end == "rounding" and gap > STALLED):
        raise InputError(
            f"The fit stalls {gap:.1e} of its objective ({best.value:.3g}) above the optimum: its "
            "numbers span more than float64 holds. Take ratio_weight, regularization and "
            "total_weight nearer to their defaults, noise and templates in units of the data."
        )


def ignore(state: ExactState) -> None:
    """Take a state that nobody asks for."""


def aim_at(
    exact: Exact, priors: PriorPlan, watch: Watch, known: Prepared | None
) -> Aim | ExactState:
    """Return the objective with all its prior terms; or where the work for it was stopped."""
    exact = priors.with_ratio(exact, priors.rough_total(exact))
    if not priors.wants_smooth:
        return Aim(exact, 0.0, float("nan"), None)
    strength, total = priors.config.regularization, priors.config.total_weight
    if known is not None:
        strength, total = known.regularization, known.total
    if total is not None and strength != "auto":
        return Aim(priors.with_smoothness(exact, strength, total), strength, total, None)
    accuracy = AUTO_ACCURACY if strength == "auto" else TOTAL_ACCURACY
    with watch.stage("Fit without smoothness", accuracy) as follow:
        plain = unsmoothed(exact, accuracy, follow)
    if watch.is_over:
        return plain
    total = priors.config.total_weight or float(plain.x.sum())
    if strength == "auto":
        chosen = choose_regularization(
            plain, lambda s: priors.with_smoothness(exact, s, total), AUTO_ACCURACY, watch
        )
        if watch.is_over:
            return chosen.state
        strength, plain = chosen.strength, chosen.state
    return Aim(priors.with_smoothness(exact, strength, total), strength, total, plain.x)


def best_point(
    exact: Exact,
    start: Float,
    gap_tolerance: float,
    watch: Watch,
    on_state: ExactHook | None = None,
) -> ExactState:
    """Return the best point that a fit reaches before something ends it.

    Raises
    ------
    InputError
        If it ends at no answer at all.
    """
    with watch.stage("Exact fit", gap_tolerance, on_state or ignore) as follow:
        for state in exact.solve(start, gap_tolerance):
            if follow(state):
                break
    require_sense(watch.best, watch.end)
    return watch.best


def solve_global_exact(
    misfit: Misfit,
    start: Float,
    cfg: ExactCfg,
    priors: PriorCfg,
    *,
    orbit_weights: ArrayLike | None = None,
    template_shape: Sequence[int] | None = None,
    known: Prepared | None = None,
    on_state: ExactHook | None = None,
    on_prepared: Callable[[Prepared], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    same_call: str = "the same call",
    verbose: bool = True,
) -> tuple[Float, dict[str, Any]]:
    """Find the global minimum of the objective, and say how far from it the answer is at most.

    Parameters
    ----------
    misfit : Misfit
        Model, data, noise and masks; on one machine ``Misfit(one_share(operator, observed))``, see
        `cubefit.inverse.shares`. The model, stored or matrix-free, is to be of float64.
    start : ndarray, shape (C, P)
        Weights to start from, physical units. Not changed.
    cfg : ExactCfg
        When to stop, and the memory.
    priors : PriorCfg
        Ratios and smoothness.
    orbit_weights : array_like, shape (C,), optional
        Expected ratios of the components, any scale.
    template_shape : sequence of int, optional
        Sizes of the template axes, along which populations are smoothed; default one axis.
    known : Prepared, optional
        What an earlier call told ``on_prepared``: saves finding it again.
    on_state : callable, optional
        Called with every state of the fit proper.
    on_prepared : callable, optional
        Called with what the preparation of smoothness found.
    should_stop : callable, optional
        Asked after every round; True ends the fit there.
    same_call : str
        The call that goes on from the point that is found, in words, for ``outcome``.
    verbose : bool
        Tell progress.

    Returns
    -------
    x : ndarray, shape (C, P)
        The best point found.
    stats : dict
        ``objective``, ``chi2``, ``n_voxels``, ``chi2_per_voxel``, ``rmse``, ``gap_abs``,
        ``gap_rel``, ``nnz``, ``rounds``, ``elapsed_sec``, ``outcome`` (words), ``converged``,
        ``interrupted``, ``prepared`` (False where the fit ended in its preparation),
        ``has_noise``, ``regularization``, ``total_weight`` (NaN without smoothness), ``method``.

    Raises
    ------
    ConfigError, InputError
        If the settings do not fit the data or the memory: before any work.
    """
    _, C, P, _ = misfit.shape
    shape = tuple(template_shape or (P,))
    require_smoothable(shape, priors)
    wanted = PriorPlan(priors, shape, wanted_weights(orbit_weights, C, priors))
    plan = memory_plan(misfit, cfg, is_smooth=wanted.wants_smooth)
    logger.info("Exact fit: %s.", plan.told())
    watch = Watch(misfit, cfg, should_stop, same_call=same_call, verbose=verbose)
    exact = prepare(misfit, plan)
    logger.info(
        "Exact fit: %d templates compressed to %d, %.1f s.",
        P, exact.model.n_compressed, watch.elapsed_s,
    )  # fmt: skip
    aim = aim_at(exact, wanted, watch, known)
    if isinstance(aim, ExactState):
        return aim.x, watch.stats(aim, 0.0, float("nan"))
    if on_prepared is not None and wanted.wants_smooth:
        on_prepared(Prepared(aim.regularization, aim.total))
    best = best_point(aim.exact, aim.better_start(start), cfg.gap_tolerance, watch, on_state)
    return best.x, watch.stats(best, aim.regularization, aim.total)
