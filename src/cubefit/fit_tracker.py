"""Follows a fit: metrics, checkpoints and a validation RMSE in its file, readable at any time.

All writing is done by a process of its own, which the solver never waits for.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cubefit.config import Normalization, TrackerConfig, require_choice
from cubefit.errors import ConfigError, CubeFitError, InputError
from cubefit.fit_recorder import Moment, Recorder, Recording, attempt
from cubefit.gate import Gate
from cubefit.inputs import numeric, real_number
from cubefit.inverse.ratio import checked_orbit_weights
from cubefit.inverse.validation import choose_sample
from cubefit.store.amend import amended, sole_writer
from cubefit.store.digests import digest_of_fit
from cubefit.store.files import writing_to
from cubefit.store.fit_group import FitSizes, cut_columns, is_prepared, last_time, prepare_fit_group
from cubefit.store.handle import READ_DAMAGE, reading
from cubefit.store.load import read_dims, read_spaxels_in_use, read_used
from cubefit.store.results import own_normalization
from cubefit.writer_process import WriterProcess

__all__ = ["FitTracker", "TrackerConfig"]

logger = logging.getLogger(__name__)

Float = NDArray[np.float64]

EWMA_SPAN: Final = 100
"""Batches that the moving average of the training RMSE looks back on."""
MOST_WAITING_BYTES: Final = 64e6
"""Of moments whose rows wait; of more than that every other one is dropped."""
CLOSE_WAIT_S: Final = 10.0
"""A writer that needs longer for its last message hangs; Slurm's grace is 30 s."""


class FitTracker:
    """Follows one fit.

    While it lives it is the sole writer of the file. It closes itself at the end of the program.

    Parameters
    ----------
    h5_path : str or Path
        A populated file.
    cfg : TrackerConfig, optional
        Intervals and sizes.

    Raises
    ------
    LockedError
        If another process writes to the file.
    StoreError
        If the file is missing, foreign, or cannot be written.
    """

    def __init__(self, h5_path: str | Path, cfg: TrackerConfig | None = None) -> None:
        self.path = Path(h5_path)
        self.cfg = TrackerConfig() if cfg is None else cfg
        if not isinstance(self.cfg, TrackerConfig):
            raise ConfigError(f"cfg={cfg!r}: give a TrackerConfig.")
        with reading(self.path) as file:
            dims = read_dims(file)
        self._shape = dims["nComp"], dims["nPop"]
        self._x = np.empty(self._shape[0] * self._shape[1])
        self._stack = ExitStack()
        self._stack.callback(atexit.unregister, self.close)
        self._lock = self._stack.enter_context(sole_writer(self.path, "fit"))
        atexit.register(self.close)
        self._orbit_weights: Float | None = None
        self._recording: Recording | None = None
        self._writer: WriterProcess | None = None
        self._finished = False
        self._is_alone = False
        self._owner = os.getpid()
        self._ewma = float("nan")
        self._last: dict[str, Any] | None = None
        self._waiting: list[Moment] = []
        self._set_clocks(0.0)

    def __enter__(self) -> Self:
        """Return the tracker."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        """Close it; after an error ``x`` may be half-way through a step and is not saved."""
        if kind is not None:
            self._last = None
        self.close()

    def _set_clocks(self, elapsed_s: float) -> None:
        self._zero = time.monotonic() - elapsed_s
        self._gates = {
            "metrics": Gate(self.cfg.metrics_interval_sec),
            "val": Gate(self.cfg.val_interval_sec),
            "ckpt": Gate(self.cfg.ckpt_interval_sec),
        }

    @property
    def elapsed_s(self) -> float:
        """Time of the fit so far, over all of its calls."""
        return time.monotonic() - self._zero

    def begin(
        self,
        *,
        run: Mapping[str, Any] | None = None,
        normalization: Normalization | None = None,
        fresh: bool = False,
        elapsed_s: float | None = None,
    ) -> None:
        """Say which fit begins; without it the first message begins one that goes on.

        Parameters
        ----------
        run : mapping, optional
            What identifies the fit, as JSON: method, settings, digest of the inputs.
        normalization : {"losvd", "unit"}, optional
            Of the LOSVDs; default that of the file.
        fresh : bool
            Drop the history in the file. Checkpoints stay until the first new one.
        elapsed_s : float, optional
            Time of the fit in earlier calls; rows of metrics written after it are dropped. Default
            that of the last row.
        """
        if self._recording is not None or self._finished:
            raise ConfigError("This tracker follows a fit already, or is closed: make a new one.")
        if normalization is not None:
            require_choice("normalization", normalization, Normalization)
        with reading(self.path) as file:
            sample = choose_sample(
                read_spaxels_in_use(file),
                partial(read_used, file),
                self.cfg.Ns,
                self.cfg.Kval,
                self.cfg.diag_seed,
            )
            own = normalization or own_normalization(file)
            facts = {"digest": digest_of_fit(file)} if run is None else dict(run)
            sizes = FitSizes(
                n_weights=self._shape[0] * self._shape[1],
                ring_size=self.cfg.ring_size,
                spaxels=sample.spaxels,
                pixels=sample.pixels,
                orbit_weights=self._orbit_weights,
            )
            behind = 0.0 if fresh else last_time(file) if elapsed_s is None else elapsed_s
            prepared = not fresh and is_prepared(file, sizes, behind)
        if not prepared:
            with writing_to(self.path), amended(self.path, growth=sizes.n_bytes) as clone:
                prepare_fit_group(clone, sizes, fresh=fresh, elapsed_s=behind)
        facts |= {"normalization": own, "sample": [len(s) for s in sample] + [self.cfg.diag_seed]}
        plain = json.loads(json.dumps(facts))
        self._recording = Recording(
            path=self.path,
            run=plain,
            normalization=own,
            since=time.time() if fresh else 0.0,
        )
        self._set_clocks(behind)
        self.tell()

    def tell(self, **facts: object) -> None:
        """Let others know something of the fit as long as it runs, see `cubefit status`."""
        run = {} if self._recording is None else self._recording.run
        known = {name: run[name] for name in ("method", "normalization") if name in run}
        with suppress(OSError):
            self._lock.tell(**(known | facts))

    def set_orbit_weights(self, orbit_weights: ArrayLike | None) -> None:
        """Compare the components' shares with these weights (C,), any scale.

        Raises
        ------
        InputError
            If they are no weights of the file's components.
        """
        self._orbit_weights = (
            None if orbit_weights is None else checked_orbit_weights(orbit_weights, self._shape[0])
        )

    def on_batch(self, rmse: float, n_spaxels: int = 1) -> None:
        """Take the training RMSE of one spaxel, or of some together, into the moving average.

        Raises
        ------
        InputError
            If it is no number; one that is not finite is left out.
        """
        rmse = real_number("rmse", rmse)
        if np.isfinite(rmse):
            before = rmse if np.isnan(self._ewma) else self._ewma
            kept = (1.0 - 2.0 / (EWMA_SPAN + 1.0)) ** n_spaxels
            self._ewma = rmse + kept * (before - rmse)

    def row_is_due(self) -> bool:
        """Return whether `maybe_save` would write a row of metrics now."""
        if self._finished or not self._gates["metrics"].is_due():
            return False
        return self._writer is None or self._writer.can_take()

    def maybe_save(
        self,
        x: ArrayLike,
        epoch: int,
        *,
        state: Mapping[str, float] | None = None,
        chi2: float = float("nan"),
        gap_rel: float = float("nan"),
        objective: float = float("nan"),
        keep: bool = False,
        row: bool = False,
    ) -> None:
        """Hand over a moment of the fit if something is due; never wait.

        What cannot be written is logged once, and is no error.

        Parameters
        ----------
        x : array_like, shape (C*P,) or (C, P)
            The weights now.
        epoch : int
            Epochs finished.
        state : mapping, optional
            Numbers that the solver needs to go on from here with the same bits.
        chi2 : float
            Of ``x``, where it is known.
        gap_rel : float
            Duality gap relative to the objective, where it is known.
        objective : float
            What the solver minimises, priors included, where it is known.
        keep : bool
            Write a checkpoint though it is not due, unless the fit is too young for anything.
        row : bool
            Write a row of metrics for this moment in any case, when the next one is due at latest:
            for solvers whose steps are few.

        Raises
        ------
        InputError
            If ``x`` has another shape than the file's, or something is no number.
        """
        self._last = self._told(x, epoch, state, chi2=chi2, gap_rel=gap_rel, objective=objective)
        due = {kind for kind, gate in self._gates.items() if gate.is_due()}
        if self._writer is not None:
            if keep:
                due.add("ckpt")
            if self._writer.has_lost():
                self._gates["ckpt"].hasten()
        if not (due or row) or self._finished:
            return
        if os.getpid() != self._owner or not self._has_begun():
            # A copy of the tracker in a forked process would be a second writer.
            return
        if not due:
            self._let_wait(self._moment(self._last, validate=False, keep=False))
            return
        moment = self._moment(self._last, validate="val" in due, keep="ckpt" in due)
        if self._writer is None:
            self._writer = self._start_writer()
        if self._writer.offer(self._with_waiting(moment)):
            self._waiting.clear()
            for kind in due:
                self._gates[kind].pass_on()

    def _let_wait(self, moment: Moment) -> None:
        """Keep a moment until the next that is due; of too many, only every other one."""
        if sum(earlier.x.nbytes for earlier in self._waiting) > MOST_WAITING_BYTES:
            del self._waiting[::2]
        self._waiting.append(moment)

    def _has_begun(self) -> bool:
        """Begin a fit that nobody announced; if that fails, say so and follow no further."""
        if self._recording is None:
            try:
                self.begin()
                self._is_alone = True
            except (CubeFitError, OSError) as error:
                logger.error("The fit is not tracked: %s", error)  # noqa: TRY400
                self._finished = True
        return self._recording is not None

    def _start_writer(self) -> WriterProcess:
        return WriterProcess(
            "cubefit.fit_recorder:main", self._recording, inherited=(self._lock.fd,)
        )

    def _told(
        self,
        x: ArrayLike,
        epoch: int,
        state: Mapping[str, float] | None,
        **figures: float,
    ) -> dict[str, Any]:
        """Return what the solver said, in plain numbers, which a checkpoint can hold."""
        weights, (C, P) = numeric("x", x), self._shape
        if weights.shape not in ((C * P,), (C, P)):
            raise InputError(
                f"x has shape {weights.shape}, {self.path} needs {C} * {P} weights: give the whole "
                "x, (C*P,) or (C, P)."
            )
        if not isinstance(state, Mapping | None):
            raise InputError(f"state={state!r}: give numbers by name.")
        numbers = {name: real_number(f"state[{name!r}]", n) for name, n in (state or {}).items()}
        if type(real_number("epoch", epoch)) is float and not float(epoch).is_integer():
            raise InputError(f"epoch={epoch!r}: give the number of epochs finished.")
        # A copy: the solver may be half-way through its next step when the tracker is closed.
        self._x[...] = weights.ravel()
        return {
            "x": self._x,
            "epoch": int(epoch),
            "state": numbers,
            **{name: float(real_number(name, figure)) for name, figure in figures.items()},
        }

    def _moment(self, last: Mapping[str, Any], *, validate: bool, keep: bool) -> Moment:
        x = np.array(last["x"], np.float64).ravel()
        return Moment(
            **(dict(last) | {"x": x}),
            elapsed_s=self.elapsed_s,
            train_rmse=self._ewma,
            validate=validate,
            keep=keep,
            orbit_weights=self._orbit_weights,
        )

    def _with_waiting(self, moment: Moment) -> Moment:
        """Return a moment with those that wait, but for its own round."""
        return replace(moment, before=tuple(m for m in self._waiting if m.epoch != moment.epoch))

    def finish(
        self,
        x: ArrayLike,
        epoch: int,
        *,
        state: Mapping[str, float] | None = None,
        chi2: float = float("nan"),
        gap_rel: float = float("nan"),
        objective: float = float("nan"),
    ) -> bool:
        """Write the last moment of a fit and wait until it is on disk.

        What the writing process cannot do, having died or hanging, is done here.

        Parameters
        ----------
        x, epoch, state, chi2, gap_rel, objective
            See `maybe_save`.

        Returns
        -------
        bool
            Whether it is safe; otherwise the reason is logged.
        """
        if self._finished or os.getpid() != self._owner or not self._has_begun():
            return False
        assert self._recording is not None  # noqa: S101 - it has begun
        last = self._told(x, epoch, state, chi2=chi2, gap_rel=gap_rel, objective=objective)
        moment = self._with_waiting(self._moment(last, validate=True, keep=True))
        self._finished, self._last = True, None
        if self._writer is not None:
            taken = self._writer.offer(moment)
            if self._writer.close(CLOSE_WAIT_S) and taken:
                return True
            if not self._writer.is_gone:
                logger.error("The last checkpoint was not written: the disk does not answer.")
                return False
        try:
            with Recorder(self._recording) as recorder:
                kept, complaint = attempt(recorder, moment)
        except (CubeFitError, *READ_DAMAGE) as error:
            kept, complaint = False, f"the last checkpoint could not be written: {error}"
        if complaint:
            logger.error("The tracker: %s", complaint)
        return kept

    def close(self) -> None:
        """Write the last moment that `maybe_save` was told of, and release the file."""
        if os.getpid() != self._owner:
            # A copy of the tracker, in a process that was forked from the fit's.
            return
        last, self._last = self._last, None
        try:
            if last is not None and not self._finished:
                self.finish(**last)
            elif self._writer is not None and not self._finished:
                self._writer.close(CLOSE_WAIT_S)
        finally:
            self._finished = True
            if self._writer is not None:
                # Where a second Ctrl-C cut the end short: it must not outlive the lock.
                self._writer.close(0.0)
            self._cut_metrics()
            self._stack.close()

    def _cut_metrics(self) -> None:
        """End the columns where their values end, unless the fit is committed by others."""
        if not self._is_alone:
            return
        self._is_alone = False
        try:
            with writing_to(self.path), amended(self.path) as file:
                cut_columns(file)
        except OSError as error:
            logger.error("The metrics were not cut to their length: %s", error)  # noqa: TRY400
