"""An exact fit of a file: its start, its follower, its rounds."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cubefit.config import ExactCfg, PriorCfg, WarmStart
from cubefit.exact_priors import require_smoothable, wanted_weights
from cubefit.exact_solver import Prepared, solve_global_exact
from cubefit.fit_parts import FitParts
from cubefit.fit_start import call_that_goes_on, identity_of_exact
from cubefit.fit_tracker import FitTracker
from cubefit.gate import Gate
from cubefit.interrupts import StopRequest
from cubefit.inverse.exact import ExactState
from cubefit.inverse.seeds import jacobi_seed

logger = logging.getLogger(__name__)

Float = NDArray[np.float64]
RoundHook = Callable[[int, Float], None]

TELL_EVERY_S: Final = 2.0
"""Once the fit has run for a while."""


class ExactFollower:
    """Takes every state of an exact fit to its tracker, and sees to a stop.

    Parameters
    ----------
    parts : FitParts
        The fit.
    tracker : FitTracker or None
        Writes it down.
    request : StopRequest
        Looked at after every round.
    same_call : str
        The call that goes on with the fit, in words.
    on_round_end : callable, optional
        The user's: called with the number of rounds and ``x`` (C, P); copy it to keep it.
    """

    def __init__(
        self,
        parts: FitParts,
        tracker: FitTracker | None,
        request: StopRequest,
        same_call: str,
        on_round_end: RoundHook | None = None,
    ) -> None:
        self._parts = parts
        self._on_round_end = on_round_end
        self._tracker = tracker
        self._request = request
        self._same_call = same_call
        self._telling = Gate(TELL_EVERY_S)
        self._state: ExactState | None = None
        self._numbers: dict[str, float] = {}

    def tell(self) -> None:
        """Let those who watch know since when the fit runs, and where."""
        if self._tracker is not None:
            facts = self._parts.misfit.shares.facts()
            since = time.time() - self._tracker.elapsed_s
            self._tracker.tell(fitting_since=since, **({"cluster": facts} if facts else {}))

    def take(self, prepared: Prepared) -> None:
        """Keep what belongs to the objective."""
        self._numbers |= prepared._asdict()

    def follow(self, state: ExactState) -> None:
        """Take a state; an error in the user's hook saves it first."""
        self._state = state
        if self._on_round_end is not None:
            try:
                self._on_round_end(state.round, read_only(state.x))
            except BaseException:
                self._save_state()
                raise
        if self._tracker is not None:
            misfit = self._parts.misfit
            if self._telling.is_due():
                self._telling.pass_on()
                self.tell()
            self._tracker.on_batch(float(np.sqrt(state.chi2 / misfit.n_voxels)), misfit.n_spaxels)
            self._tracker.maybe_save(
                state.x,
                state.round,
                state=self._numbers | {"round": state.round},
                chi2=state.chi2,
                gap_rel=state.gap.relative,
                objective=state.value,
                keep=state.converged,
                row=True,
            )

    def should_stop(self) -> bool:
        """Whether to end the rounds: after Ctrl-C with the best point, else with a checkpoint."""
        if self._request and not self._request.is_interrupt:
            self._request.stop(self._how_to_go_on())
        return bool(self._request)

    def _how_to_go_on(self) -> str:
        path = self._parts.path
        if self._tracker is None:
            return f"the fit of {path} is lost, because it was not tracked (tracker=False)."
        if self._state is None:
            return f"the fit of {path} was being prepared; the same call begins it again."
        self._save_state()
        return (
            f"the fit of {path} stands at a gap of {self._state.gap.relative:.1e} of the objective "
            f"after {self._state.round} rounds; {self._same_call} goes on from there."
        )

    def _save_state(self) -> None:
        state = self._state
        if state is not None:
            self.save(
                state.x,
                {
                    "chi2": state.chi2,
                    "gap_rel": state.gap.relative,
                    "objective": state.value,
                },
            )

    def save(self, x: Float, stats: Mapping[str, Any]) -> None:
        """Write a last checkpoint, and wait until it is on disk."""
        if self._tracker is not None and self._state is not None:
            self._tracker.finish(
                x,
                self._state.round,
                state=self._numbers | {"round": self._state.round},
                chi2=stats["chi2"],
                gap_rel=stats["gap_rel"],
                objective=stats["objective"],
            )


def read_only(x: Float) -> Float:
    """Return a view that a hook cannot change."""
    view = x.view()
    view.flags.writeable = False
    return view


def beginning(parts: FitParts, warm_start: WarmStart) -> tuple[Float, str, Mapping[str, float]]:
    """Return where to start (C, P), where that came from, and what its solver knew."""
    if parts.earlier is not None:
        return parts.earlier.x, parts.earlier.path, parts.earlier.state
    if parts.x0 is not None:
        return parts.x0, "x0", {}
    if warm_start == "jacobi":
        return jacobi_seed(parts.misfit), "jacobi", {}
    return np.zeros(parts.misfit.shape[1:3]), "zeros", {}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactFit:
    """The exact solver as a method of `cubefit.pipeline_runner.PipelineRunner`."""

    cfg: ExactCfg
    priors: PriorCfg
    orbit_weights: ArrayLike | None
    on_round_end: RoundHook | None

    def check(self, n_components: int, template_shape: tuple[int, ...]) -> None:
        """Raise ConfigError or InputError if the settings do not fit the file."""
        wanted_weights(self.orbit_weights, n_components, self.priors)
        require_smoothable(template_shape, self.priors)

    def identity(self, digest: str) -> dict[str, Any]:
        """Return what identifies the fit, of inputs with this digest: its objective."""
        return identity_of_exact(self.priors, self.orbit_weights, digest)

    def run(
        self,
        parts: FitParts,
        tracker: FitTracker | None,
        request: StopRequest,
        warm_start: WarmStart,
        *,
        verbose: bool,
    ) -> tuple[Float, dict[str, Any]]:
        """Find the optimum, followed by the tracker, until a limit or a wish ends the rounds."""
        start, origin, known = beginning(parts, warm_start)
        logger.info(
            "Fitting %s (%s), starting from %s.", parts.path, parts.operator, parts.told(origin)
        )
        same_call = call_that_goes_on(warm_start, has_x0=parts.x0 is not None)
        follower = ExactFollower(parts, tracker, request, same_call, self.on_round_end)
        follower.tell()
        request.stop_when_safe()
        x, stats = solve_global_exact(
            parts.misfit,
            start,
            self.cfg,
            self.priors,
            orbit_weights=self.orbit_weights,
            template_shape=parts.template_shape,
            known=Prepared(known["regularization"], known["total"]) if "total" in known else None,
            on_state=follower.follow,
            on_prepared=follower.take,
            should_stop=follower.should_stop,
            same_call=same_call,
            verbose=verbose,
        )
        if stats["prepared"]:
            follower.save(x, stats)
        logger.info("%s: %s", parts.path, stats["outcome"])
        return x, stats | {"warm_start": origin}
