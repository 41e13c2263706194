"""Writes down a running fit: figures, checkpoints, validation; in a process of its own.

`main` is that process. It takes `Moment` after `Moment` from the solver over a pipe, and ends when
the pipe does. Nothing that happens here reaches the solver, but for a sentence over the same pipe.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from cubefit.config import Normalization
from cubefit.errors import CubeFitError, StoreError
from cubefit.inverse.matrix_free import MatrixFreeOperator
from cubefit.inverse.observed import Observed
from cubefit.inverse.validation import Sample, observed_sample, rms_misfit, solution_figures
from cubefit.store import schema
from cubefit.store.amend import complete_amendment
from cubefit.store.checkpoints import Checkpoint, read_checkpoint
from cubefit.store.fit_file import FitFile
from cubefit.store.handle import reading
from cubefit.store.load import read_dims, read_model_inputs, read_observed
from cubefit.threads import blas_threads

Float = NDArray[np.float64]

COMPARABLE: Final = ("digest", "normalization", "sample")
"""What two fits must share for the lower validation RMSE to be the better fit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What a recorder must know of its fit."""

    path: Path
    run: Mapping[str, Any]
    """Goes into every checkpoint."""
    normalization: Normalization
    since: float
    """A best checkpoint written before, in seconds since 1970, does not count. It is looked up by
    every recorder of a fit: one that died may have written a better one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A moment of a fit, as the solver tells it."""

    x: Float
    """Weights, shape (C*P,)."""
    epoch: int
    elapsed_s: float
    train_rmse: float
    """Moving average."""
    validate: bool
    """Whether to compute the validation RMSE."""
    keep: bool
    """Whether to write a checkpoint."""
    state: Mapping[str, float] = field(default_factory=dict)
    chi2: float = float("nan")
    gap_rel: float = float("nan")
    objective: float = float("nan")
    orbit_weights: Float | None = None
    before: tuple[Moment, ...] = ()
    """Earlier ones that were not due, whose rows come first."""


class Validation:
    """The misfit of a solution on the fixed sample in a file.

    Parameters
    ----------
    path : Path
        The file.
    normalization : str
        Of the LOSVDs.
    """

    def __init__(self, path: Path, normalization: Normalization) -> None:
        with reading(path) as file:
            sample = Sample(
                file[schema.SAMPLE_SPAXELS.path][()], file[schema.SAMPLE_PIXELS.path][()]
            )
            inputs = read_model_inputs(file, normalization, sample.spaxels)
            spectra = (read_observed(file, slice(s, s + 1)) for s in sample.spaxels.tolist())
            self._observed: Observed = observed_sample(spectra, sample.pixels)
        shifted = inputs.shifted_templates(pixels=sample.pixels)
        self._operator = MatrixFreeOperator(inputs.losvd, shifted)

    def rmse(self, x: Float) -> float:
        """Return the rms misfit of ``x`` (C, P) in sigma."""
        return rms_misfit(self._observed, self._operator.matvec(x))


class Recorder:
    """Writes moments of a fit into its file.

    Parameters
    ----------
    recording : Recording
        Of which fit. The caller, or the process it works for, is the sole writer of the file.
    """

    def __init__(self, recording: Recording) -> None:
        complete_amendment(recording.path)
        self._recording = recording
        self._best = best_val_rmse(recording.path, recording.run, recording.since)
        self._before: Float | None = None
        self._validation: Validation | None = None
        with reading(recording.path) as file:
            dims = read_dims(file)
        self._shape = dims["nComp"], dims["nPop"]
        self._file = FitFile(recording.path)

    def __enter__(self) -> Self:
        """Return the recorder."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close the file."""
        self._file.__exit__(*exc)

    def _validate(self, x: Float) -> float:
        if self._validation is None:
            self._validation = Validation(self._recording.path, self._recording.normalization)
        return self._validation.rmse(x)

    def record(self, moment: Moment) -> None:
        """Write all that is due of a moment."""
        self.keep(moment)
        self.describe(moment)

    def keep(self, moment: Moment) -> None:
        """Write a checkpoint if one is due: first of all, because all else can be done without."""
        if moment.keep:
            self._file.save(self._checkpoint(moment, float("nan")), best=False)

    def describe(self, moment: Moment) -> None:
        """Write a row of metrics, and the moment as the best checkpoint where it is."""
        for earlier in moment.before:
            self.describe(earlier)
        x = moment.x.reshape(self._shape)
        val_rmse = self._validate(x) if moment.validate else float("nan")
        best = val_rmse < self._best
        if best:
            self._file.save(self._checkpoint(moment, val_rmse), best=True)
            self._best = val_rmse
        row = self._file.add_row(
            {
                "epoch": moment.epoch,
                "time_sec": moment.elapsed_s,
                "train_rmse_ewma": moment.train_rmse,
                "val_rmse": val_rmse,
                "chi2": moment.chi2,
                "gap_rel": moment.gap_rel,
                "objective": moment.objective,
                **solution_figures(x, self._before, moment.orbit_weights),
            }
        )
        self._before = x
        self._file.put_in_ring("vis", moment.x, row)
        if moment.keep or best:
            self._file.put_in_ring("x", moment.x, row)

    def _checkpoint(self, moment: Moment, val_rmse: float) -> Checkpoint:
        return Checkpoint(
            x=moment.x,
            epoch=moment.epoch,
            elapsed_s=moment.elapsed_s,
            written=time.time(),
            state=moment.state,
            run=self._recording.run,
            val_rmse=val_rmse,
            chi2=moment.chi2,
        )


def best_val_rmse(path: Path, run: Mapping[str, Any], since: float) -> float:
    """Return the validation RMSE of the best checkpoint; infinity if there is none to compare with.

    Parameters
    ----------
    path : Path
        The file.
    run : mapping
        What identifies the fit. Other settings are no obstacle; other inputs or priors, another
        normalization or another sample are.
    since : float
        An older one does not count.
    """
    try:
        with reading(path) as file:
            best = read_checkpoint(file, "best")
    except StoreError:
        # Damaged: the next takes its place.
        return float("inf")
    if best is None or best.written < since or np.isnan(best.val_rmse):
        return float("inf")
    same = all(best.run.get(key) == run.get(key) for key in COMPARABLE)
    # With orbit weights the misfit is higher than without, and is meant to be. A solver of the
    # user's own says nothing of its priors.
    same &= "priors" not in best.run or "priors" not in run or best.run["priors"] == run["priors"]
    return best.val_rmse if same else float("inf")


def attempt(recorder: Recorder, moment: Moment) -> tuple[bool, str]:
    """Record a moment as far as possible.

    Returns
    -------
    kept : bool
        Whether its checkpoint is on disk, if one was due.
    complaint : str
        What could not be written, and why; empty where all was.
    """
    kept = False
    try:
        recorder.keep(moment)
        kept = True
        recorder.describe(moment)
    except Exception as error:  # noqa: BLE001 - nothing that goes wrong here may cost the fit
        lost = "metrics" if kept else "a checkpoint"
        return kept, f"{lost} could not be written: {error or type(error).__name__}"
    return kept, ""


def serve(connection: Connection, recording: Recording) -> None:
    """Record every moment that comes, until the other side has gone or says that it was the last.

    What cannot be written, the disk being full say, is told to the other side; the next is tried.
    The last word is whether the last moment is safe.
    """
    kept = True
    with blas_threads(1), Recorder(recording) as recorder:
        while True:
            try:
                moment = connection.recv()
            except (EOFError, OSError):
                return
            if moment is not None:
                kept, answer = attempt(recorder, moment)
            with suppress(OSError):
                # The solver may have gone; what it sent before is written all the same.
                if moment is None:
                    connection.send(kept)
                elif answer:
                    connection.send(answer)
            if moment is None:
                return


def main(descriptor: int) -> None:
    """Be the process that records; it is spoken to over ``descriptor`` and ends when that does."""
    with Connection(descriptor) as connection:
        try:
            serve(connection, connection.recv())
        except (EOFError, BrokenPipeError, ConnectionResetError):
            sys.exit(0)
        except (CubeFitError, OSError) as error:
            # The file itself is of no use: one sentence, and no traceback for each attempt.
            with suppress(OSError):
                connection.send(f"nothing could be written: {error}")
            sys.exit(1)
