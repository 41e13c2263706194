"""Stands between a Kaczmarz fit and all who follow it: tracker, user's hooks, the wish to stop."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from cubefit.fit_tracker import FitTracker
from cubefit.interrupts import StopRequest
from cubefit.inverse.kaczmarz import KaczmarzState
from cubefit.inverse.operators import Float
from cubefit.kaczmarz_solver import BatchHook, EpochHook


def numbers_of(state: KaczmarzState, first_epoch: int, last_epoch: int) -> dict[str, float]:
    """Return what a checkpoint keeps of a state besides ``x``."""
    return {
        "first_epoch": first_epoch,
        "last_epoch": last_epoch,
        "epoch": state.epoch,
        "position": state.position,
        "squares": state.squares,
        "n_lit": state.n_lit,
    }


def state_of(x: Float, numbers: Mapping[str, float]) -> KaczmarzState:
    """Return the state of a checkpoint; ``x`` has shape (C, P)."""
    return KaczmarzState(
        x=x,
        epoch=int(numbers["epoch"]),
        position=int(numbers["position"]),
        squares=numbers["squares"],
        n_lit=int(numbers["n_lit"]),
    )


class Follower:
    """Takes every state of a fit, and brings it to safety when the fit is stopped.

    Parameters
    ----------
    path : Path
        The file of the fit.
    tracker : FitTracker or None
        Writes it down.
    request : StopRequest
        Looked at after every spaxel.
    start : KaczmarzState
        Where the fit begins.
    n_spaxels : int
        In an epoch.
    first_epoch : int
        Epochs behind the fit.
    last_epoch : int
        Epochs behind its end.
    same_call : str
        The call that goes on with the fit, in words.
    chi2_of : callable, optional
        Returns the chi2 of weights (C, P); it is asked when a row of metrics is due.
    has_priors : bool
        Whether the sweeps follow more than the data, so that half of chi2 is not their objective.
    on_epoch_end, on_batch : callable, optional
        The user's hooks, see `cubefit.kaczmarz_solver.solve_global_kaczmarz`.
    """

    def __init__(
        self,
        path: Path,
        tracker: FitTracker | None,
        request: StopRequest,
        start: KaczmarzState,
        *,
        n_spaxels: int,
        first_epoch: int,
        last_epoch: int,
        same_call: str,
        chi2_of: Callable[[Float], float] | None = None,
        has_priors: bool = False,
        on_epoch_end: EpochHook | None = None,
        on_batch: BatchHook | None = None,
    ) -> None:
        self._path = path
        self._tracker = tracker
        self._request = request
        self._n_spaxels = n_spaxels
        self._first_epoch = first_epoch
        self._last_epoch = last_epoch
        self._same_call = same_call
        self._chi2_of = chi2_of
        self._weight_of_chi2 = math.nan if has_priors else 0.5
        self._on_epoch_end = on_epoch_end
        self._on_batch = on_batch
        self._state = start

    def epochs_finished(self, state: KaczmarzState) -> int:
        """Return the epochs behind a state."""
        return state.epoch + (state.position == self._n_spaxels)

    def follow(self, state: KaczmarzState) -> None:
        """Take a state; whatever ends the fit here, an error in a hook too, saves it first."""
        self._state = state
        try:
            self._call_hooks(state)
        except BaseException:
            self.save()
            raise
        finished = self.epochs_finished(state)
        if self._tracker is not None:
            self._tracker.on_batch(state.rmse)
            known = self._chi2_of is not None and self._tracker.row_is_due()
            chi2 = self._chi2_of(state.x) if self._chi2_of and known else math.nan
            self._tracker.maybe_save(
                state.x,
                finished,
                state=numbers_of(state, self._first_epoch, self._last_epoch),
                chi2=chi2,
                objective=self._weight_of_chi2 * chi2,
                keep=finished == self._last_epoch,
            )
        if self._request:
            self._request.stop(self.how_to_go_on(saved=self.save()))
        if finished == self._last_epoch:
            self._request.stop_at_once(self.how_to_go_on(saved=True))

    def _call_hooks(self, state: KaczmarzState) -> None:
        if self._on_batch is not None:
            self._on_batch(state.rmse)
        if self._on_epoch_end is not None and state.position == self._n_spaxels:
            self._on_epoch_end(state.epoch + 1, state.x)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Be the time of the sweeps, and of what follows the last one, which saves it first."""
        self._request.stop_when_safe()
        if self.epochs_finished(self._state) >= self._last_epoch:
            self._request.stop_at_once(self.how_to_go_on(saved=True))
        try:
            yield
        except BaseException:
            swept = self._request.is_at_once
            # Another signal, SIGTERM after SIGUSR1 say, does not interrupt this.
            self._request.stop_when_safe()
            if swept:
                self.save()
            raise
        finally:
            self._request.stop_when_safe()

    def save(self, chi2: float = float("nan")) -> bool:
        """Write a last checkpoint, and wait; return whether it is on disk."""
        state = self._state
        return self._tracker is not None and self._tracker.finish(
            state.x,
            self.epochs_finished(state),
            state=numbers_of(state, self._first_epoch, self._last_epoch),
            chi2=chi2,
            objective=self._weight_of_chi2 * chi2,
        )

    def how_to_go_on(self, *, saved: bool) -> str:
        """Return the sentence that a stopped fit ends with."""
        if self._tracker is None:
            return f"the fit of {self._path} is lost, because it was not tracked (tracker=False)."
        state = self._state
        where = "there" if saved else "the last checkpoint that could be written"
        return (
            f"the fit of {self._path} stands at spaxel {state.position} of {self._n_spaxels} in "
            f"epoch {state.epoch + 1}; {self._same_call} goes on from {where}."
        )
