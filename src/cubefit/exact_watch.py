"""Watches an exact fit: progress, limits, the best point, and words for how it ended."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np

from cubefit.config import ExactCfg
from cubefit.inverse.certificate import Gap
from cubefit.inverse.exact import ExactState
from cubefit.inverse.misfit import Misfit
from cubefit.progress import Progress

logger = logging.getLogger(__name__)

End = Literal["converged", "rounds", "time", "stopped", "rounding"]

MEND: dict[End, str] = {
    "converged": "the optimum is found: no x lowers the objective by more than {gap:.1e} of it.",
    "rounds": "stopped after {rounds} rounds, {gap:.1e} of the objective above the optimum at "
    "most: {call} goes on from here, or raise max_rounds.",
    "time": "stopped by time_limit_s after {rounds} rounds, {gap:.1e} of the objective above the "
    "optimum at most: {call} goes on from here, or raise the limit.",
    "stopped": "stopped by request after {rounds} rounds, {gap:.1e} of the objective above the "
    "optimum at most: {call} goes on from here.",
    "rounding": "rounding ends the fit after {rounds} rounds, {gap:.1e} of the objective above the "
    "optimum at most: if you need less, start from zero (warm_start='zeros', --fresh), or scale "
    "the templates to like brightness.",
}
"""What each end means, and what to do next."""

UNPREPARED = (
    "stopped after {rounds} rounds while the fit was being prepared ({stage}): nothing is written, "
    "and the same call begins again"
)


class Watch:
    """Follows the rounds of all stages of a fit and decides when it is over.

    Parameters
    ----------
    misfit : Misfit
        Of the fit.
    cfg : ExactCfg
        Its time limit holds for all stages together, that of rounds for each.
    should_stop : callable, optional
        Asked after every round.
    same_call : str, optional
        The call that goes on with the fit, in words.
    verbose : bool
        Tell progress.
    """

    def __init__(
        self,
        misfit: Misfit,
        cfg: ExactCfg,
        should_stop: Callable[[], bool] | None,
        *,
        same_call: str = "the same call",
        verbose: bool,
    ) -> None:
        self._misfit = misfit
        self._cfg = cfg
        self._should_stop = should_stop
        self._same_call = same_call
        self._verbose = verbose
        self._started = time.monotonic()
        self._best: ExactState | None = None
        self._stage = ""
        self._is_proper = False
        self.rounds = 0
        self.end: End | None = None

    @property
    def elapsed_s(self) -> float:
        """Seconds since the work began."""
        return time.monotonic() - self._started

    @property
    def is_over(self) -> bool:
        """Whether a limit or a wish has ended the fit before its optimum."""
        return self.end in ("rounds", "time", "stopped")

    @property
    def best(self) -> ExactState:
        """The state of lowest objective in the present stage."""
        assert self._best is not None  # noqa: S101 - a stage yields its start at least
        return self._best

    def told(self, state: ExactState) -> str:
        """Return a state in a few words."""
        misfit = f"chi2 {state.chi2:.6g}"
        if not self._misfit.has_noise:
            misfit = f"RMSE {np.sqrt(state.chi2 / self._misfit.n_voxels):.6g}"
        return f"gap {state.gap.relative:.1e}, {misfit}, {state.n_nonzero:,} nonzeros"

    def _limit(self, stage_round: int) -> End | None:
        if self._should_stop is not None and self._should_stop():
            return "stopped"
        if stage_round >= self._cfg.max_rounds:
            return "rounds"
        limit = self._cfg.time_limit_s
        return "time" if limit is not None and self.elapsed_s >= limit else None

    @contextmanager
    def stage(
        self,
        name: str,
        gap_tolerance: float,
        on_state: Callable[[ExactState], None] | None = None,
    ) -> Iterator[Callable[[ExactState], bool]]:
        """Give what takes each state of a stage, and returns True where the fit is to end.

        The stage with ``on_state`` is the fit proper, those before it are its preparation.
        """
        self._best, self.end, self._stage = None, None, name
        self._is_proper = on_state is not None
        first = self.rounds
        span = -math.log10(gap_tolerance)
        with Progress(name, span, verbose=self._verbose) as progress:
            done = 0.0

            def follow(state: ExactState) -> bool:
                nonlocal done
                self.rounds = first + state.round
                if self._best is None or state.converged or state.value <= self._best.value:
                    self._best = state
                reached = min(max(-math.log10(max(state.gap.relative, 1e-300)), 0.0), span)
                progress.advance(max(reached - done, 0.0), self.told(state))
                done = max(done, reached)
                logger.debug("%s, round %d: %s", name, state.round, self.told(state))
                if on_state is not None:
                    on_state(state)
                self.end = "converged" if state.converged else self._limit(state.round)
                return self.is_over

            yield follow
        if self.end is None:
            self.end = "rounding"
        logger.info("%s: %s", name, self.told(self.best))

    def stats(self, state: ExactState, regularization: float, total: float) -> dict[str, Any]:
        """Return what is said of the outcome; its keys stand in `solve_global_exact`."""
        end, n_voxels = self.end or "rounding", self._misfit.n_voxels
        gap = state.gap
        outcome = MEND[end].format(gap=gap.relative, rounds=self.rounds, call=self._same_call)
        if not self._is_proper:
            # Its gap is that of another objective.
            gap = Gap(float("nan"), float("nan"), gap.slope)
            outcome = UNPREPARED.format(stage=self._stage.lower(), rounds=self.rounds)
            outcome += "." if end == "stopped" else ", so give it more time or rounds."
        return {
            "method": "exact",
            "objective": state.value,
            "chi2": state.chi2,
            "n_voxels": n_voxels,
            "has_noise": self._misfit.has_noise,
            "chi2_per_voxel": state.chi2 / n_voxels,
            "rmse": float(np.sqrt(state.chi2 / n_voxels)),
            "gap_abs": gap.absolute,
            "gap_rel": gap.relative,
            "nnz": state.n_nonzero,
            "rounds": self.rounds,
            "regularization": regularization,
            "total_weight": total,
            "converged": end == "converged",
            "interrupted": end == "stopped",
            "prepared": self._is_proper,
            "outcome": outcome,
            "elapsed_sec": self.elapsed_s,
        }
