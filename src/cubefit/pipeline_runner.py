"""The fit of a file: operator, starting point, solver and result put together."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cubefit import threads
from cubefit.config import (
    Normalization,
    OperatorKind,
    RowOrder,
    SolverCfg,
    WarmStart,
    require_choice,
    require_positive,
)
from cubefit.errors import ConfigError, MissingDataError
from cubefit.fit_follower import Follower
from cubefit.fit_start import identity_of, require_use, starting_point
from cubefit.fit_tracker import FitTracker, TrackerConfig
from cubefit.hypercube_reader import HyperCubeReader
from cubefit.inputs import checked_solution
from cubefit.interrupts import stop_requests
from cubefit.inverse.kaczmarz import KaczmarzState
from cubefit.inverse.matrix_free import MatrixFreeOperator
from cubefit.inverse.objective import Objective
from cubefit.inverse.operators import Operator, StoredOperator
from cubefit.inverse.ratio import ratio_rows
from cubefit.kaczmarz_solver import BatchHook, EpochHook, solve_global_kaczmarz
from cubefit.progress import visible_log
from cubefit.store.amend import amended
from cubefit.store.digests import digest_inputs
from cubefit.store.files import writing_to
from cubefit.store.fit_group import finish_fit_group
from cubefit.store.handle import READ_DAMAGE, amending, reading, require_writable
from cubefit.store.load import read_dims, read_model_inputs, read_objective
from cubefit.store.results import acting_cube, own_normalization, write_solution
from cubefit.store.resume import Earlier, Wanted, read_earlier

logger = logging.getLogger(__name__)

Float = NDArray[np.float64]

COMMITTED_STATS = (
    "method", "epochs_total", "seed", "chi2", "n_voxels", "warm_start", "operator", "normalization",
)  # fmt: skip
"""What stands beside ``/X_global`` in the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fit:
    """The parts of a fit, put together."""

    model: Operator
    objective: Objective
    operator: str
    normalization: Normalization
    run: dict[str, Any]
    """See `identity_of`."""
    start: KaczmarzState
    first_epoch: int
    """Epochs behind the fit."""
    origin: str
    """Where ``start`` came from."""
    earlier: Earlier | None

    def told(self) -> str:
        """Return where the fit starts, for the log."""
        note = "" if self.earlier is None else self.earlier.note
        return f"{self.origin} ({note})" if note else self.origin


class PipelineRunner:
    """Fits one non-negative ``x[c,p]`` to all spaxels of a populated file.

    Parameters
    ----------
    h5_path : str or Path
        The file.

    Raises
    ------
    StoreError
        If it is missing or not a populated CubeFit file.
    """

    def __init__(self, h5_path: str | Path) -> None:
        self.path = Path(h5_path)
        with reading(self.path) as file:
            self.dims = read_dims(file)

    def _operator(
        self,
        kind: OperatorKind,
        normalization: Normalization | None,
        digest: str,
        stack: ExitStack,
    ) -> tuple[Operator, Normalization, str]:
        """Return the operator, the normalization it has, and its name."""
        with reading(self.path) as file:
            if kind == "matrix-free":
                stored, acting = False, normalization or own_normalization(file)
            else:
                stored, acting = acting_cube(file, self.path, normalization, digest)
            if kind == "stored" and not stored:
                raise MissingDataError(
                    f"{self.path} has no finished HyperCube: run build_hypercube, or fit with "
                    "operator='matrix-free'."
                )
            if stored:
                reader = stack.enter_context(HyperCubeReader(self.path))
                return StoredOperator(reader), acting, "stored"
            inputs = read_model_inputs(file, acting)
        if kind == "auto":
            logger.info("%s has no finished HyperCube: fitting matrix-free.", self.path)
        operator = MatrixFreeOperator(inputs.losvd, inputs.shifted_templates())
        return operator, acting, "matrix-free"

    def _earlier(self, warm_start: WarmStart, x0: Float | None, wanted: Wanted) -> Earlier | None:
        """Return what to go on from in the file, or None to start elsewhere."""
        if warm_start not in ("auto", "resume") or (warm_start == "auto" and x0 is not None):
            return None
        found = read_earlier(self.path, wanted)
        if found is None and warm_start == "resume" and x0 is None:
            raise MissingDataError(
                f"{self.path} has no earlier solution to resume: use warm_start='auto'."
            )
        return found

    @contextmanager
    def _tracker(self, wanted: FitTracker | TrackerConfig | bool) -> Iterator[FitTracker | None]:
        """Give the tracker that was asked for, which keeps other writers out, or None."""
        if wanted is False:
            require_writable(self.path)
            yield None
            return
        if wanted is True:
            wanted = TrackerConfig()
        if isinstance(wanted, TrackerConfig):
            wanted = FitTracker(self.path, wanted)
        if not isinstance(wanted, FitTracker) or wanted.path.resolve() != self.path.resolve():
            raise ConfigError(
                f"tracker={wanted!r}: give True, False, a TrackerConfig, or a FitTracker of "
                f"{self.path}."
            )
        with wanted:
            yield wanted

    def solve_all(
        self,
        epochs: int = 1,
        pixels_per_aperture: int = 256,
        lr: float = 0.25,
        project_nonneg: bool = True,
        orbit_weights: ArrayLike | None = None,
        blas_threads: int | None = None,
        verbose: bool = True,
        *,
        x0: ArrayLike | None = None,
        warm_start: WarmStart = "auto",
        row_order: RowOrder = "random",
        seed: int = 12345,
        ratio_use: bool | None = None,
        ratio_prob: float = 0.02,
        ratio_eta: float | None = None,
        ratio_anchor: int | Literal["auto"] = "auto",
        ratio_min_weight: float = 1e-4,
        ratio_batch: int = 2,
        operator: OperatorKind = "auto",
        normalization: Normalization | None = None,
        tracker: FitTracker | TrackerConfig | bool = True,
        on_epoch_end: EpochHook | None = None,
        on_batch: BatchHook | None = None,
    ) -> tuple[Float, dict[str, Any]]:
        """Fit all spaxels at once and commit the result as ``/X_global``.

        While it runs, its metrics and checkpoints go to ``/Fit``. A fit that was stopped, by
        Ctrl-C, SIGTERM, SIGUSR1, SIGHUP or a kill, is completed by the same call, with the same
        bits as if it had not been stopped: ``epochs`` then counts from its beginning.

        Parameters
        ----------
        epochs, pixels_per_aperture, lr, project_nonneg, row_order, seed
            See `cubefit.config.SolverCfg`.
        orbit_weights : array_like, shape (C,), optional
            Targets of the component ratios, any scale, in the kind of ``x``: shares of light where
            templates have equal light. See the ``ratio_*`` settings there.
        blas_threads : int, optional
            Compute threads; default all usable cores.
        verbose : bool
            Tell progress.
        x0 : array_like, shape (C*P,) or (C, P), optional
            Starting point.
        warm_start : {"auto", "resume", "jacobi", "zeros", "x0"}
            ``auto`` takes ``x0`` if given; else it completes an unfinished fit of the same
            settings from ``/Fit/x_latest``; else it starts from ``/Fit/x_best``, else
            ``/X_global``, else the Jacobi seed. ``resume`` does the same, but takes ``x0`` last
            and no seed. The others start afresh.
        ratio_use, ratio_prob, ratio_eta, ratio_anchor, ratio_min_weight, ratio_batch
            See `cubefit.config.SolverCfg`.
        operator : {"auto", "stored", "matrix-free"}
            Fit from the HyperCube in the file, or without it; ``auto`` takes it if it is finished.
        normalization : {"losvd", "unit"}, optional
            Of a matrix-free fit; default that of the HyperCube in the file, finished or not, else
            ``losvd``. A stored one knows its own.
        tracker : bool, TrackerConfig or FitTracker
            How the fit is followed. False writes nothing before the end, and keeps no other writer
            out meanwhile.
        on_epoch_end, on_batch : callable, optional
            See `cubefit.kaczmarz_solver.solve_global_kaczmarz`.

        Returns
        -------
        x : ndarray, shape (C*P,)
            Physical units; ``x.reshape(C, P)``.
        stats : dict
            What `solve_global_kaczmarz` says, and ``warm_start``, ``operator``,
            ``normalization``, ``seed``, and ``committed``: False if ``/X_global`` could not be
            written, which is logged as an error.

        Raises
        ------
        ConfigError, InputError
            If a setting or ``x0`` is wrong: before any work.
        StaleError
            If the HyperCube, or the checkpoint or solution to resume, belongs to other inputs.
        LockedError
            If another process writes to the file.
        KeyboardInterrupt, StoppedError
            After Ctrl-C or another signal, once a checkpoint is on disk. The second of them ends
            the program with exit code 75, on which a batch script can run the same again.
        """
        cfg = SolverCfg(
            epochs=epochs,
            pixels_per_aperture=pixels_per_aperture,
            lr=lr,
            project_nonneg=project_nonneg,
            row_order=row_order,
            seed=seed,
            ratio_use=ratio_use,
            ratio_prob=ratio_prob,
            ratio_eta=ratio_eta,
            ratio_anchor=ratio_anchor,
            ratio_min_weight=ratio_min_weight,
            ratio_batch=ratio_batch,
        )
        require_choice("warm_start", warm_start, WarmStart)
        require_choice("operator", operator, OperatorKind)
        if normalization is not None:
            require_choice("normalization", normalization, Normalization)
        require_positive("blas_threads", blas_threads)
        for name, hook in (("on_epoch_end", on_epoch_end), ("on_batch", on_batch)):
            if hook is not None and not callable(hook):
                raise ConfigError(f"{name}={hook!r}: give a function.")
        with (
            visible_log(verbose),
            threads.blas_threads(blas_threads),
            stop_requests() as request,
            self._tracker(tracker) as follow_up,
            ExitStack() as stack,
        ):
            request.stop_at_once(
                f"the sweeps of {self.path} had not begun; the same call begins them."
            )
            fit = self._set_up(cfg, orbit_weights, x0, warm_start, operator, normalization, stack)
            logger.info("Fitting %s (%s), starting from %s.", self.path, fit.operator, fit.told())
            if fit.start.epoch >= fit.first_epoch + cfg.epochs:
                logger.warning(
                    "The unfinished fit has %d of the %d epochs that were asked for behind it: it "
                    "is committed as it is.", fit.start.epoch - fit.first_epoch, cfg.epochs,
                )  # fmt: skip
            if follow_up is not None:
                self._announce(fit, cfg, orbit_weights, follow_up)
            follower = Follower(
                self.path,
                follow_up,
                request,
                fit.start,
                n_spaxels=self.dims["nSpat"],
                first_epoch=fit.first_epoch,
                last_epoch=fit.first_epoch + cfg.epochs,
                same_call="the same call"
                if warm_start in ("auto", "resume") and x0 is None
                else "a call with warm_start='auto' and without x0 (no --fresh)",
                on_epoch_end=on_epoch_end,
                on_batch=on_batch,
            )
            with follower.at_work():
                x, stats = solve_global_kaczmarz(
                    fit.model,
                    fit.objective,
                    fit.start,
                    cfg,
                    first_epoch=fit.first_epoch,
                    orbit_weights=orbit_weights,
                    on_state=follower.follow,
                    verbose=verbose,
                )
            stats |= {
                "warm_start": fit.origin,
                "operator": fit.operator,
                "normalization": fit.normalization,
                "seed": cfg.seed,
            }
            follower.save(stats["chi2"])
            stats["committed"] = self._commit(x, stats, fit.run, follow_up)
            if request:
                request.stop(f"the fit of {self.path} is complete; the same call adds epochs.")
        return x.ravel(), stats

    def _set_up(
        self,
        cfg: SolverCfg,
        orbit_weights: ArrayLike | None,
        x0: ArrayLike | None,
        warm_start: WarmStart,
        operator: OperatorKind,
        normalization: Normalization | None,
        stack: ExitStack,
    ) -> _Fit:
        """Check the rest of the arguments, and put the parts of the fit together."""
        with reading(self.path) as file:
            self.dims, objective = read_dims(file), read_objective(file)
            digests = digest_inputs(file)
        C, P = self.dims["nComp"], self.dims["nPop"]
        ratio_rows(orbit_weights, C, cfg)
        given = None if x0 is None else checked_solution(x0, C, P)
        require_use(warm_start, given)
        model, acting, name = self._operator(operator, normalization, digests.models, stack)
        run = identity_of(cfg, orbit_weights, digests.fit)
        wanted = Wanted(digest=digests.fit, normalization=acting, run=run)
        earlier = self._earlier(warm_start, given, wanted)
        start, first_epoch, origin = starting_point(
            earlier, given, warm_start, model, objective, cfg
        )
        return _Fit(
            model=model,
            objective=objective,
            operator=name,
            normalization=acting,
            run=run,
            start=start,
            first_epoch=first_epoch,
            origin=origin,
            earlier=earlier,
        )

    @staticmethod
    def _announce(
        fit: _Fit, cfg: SolverCfg, orbit_weights: ArrayLike | None, tracker: FitTracker
    ) -> None:
        """Tell a tracker, and all who ask for the status of the file, which fit begins."""
        tracker.set_orbit_weights(orbit_weights)
        tracker.begin(
            run=fit.run,
            normalization=fit.normalization,
            fresh=fit.earlier is None,
            elapsed_s=None if fit.earlier is None else fit.earlier.elapsed_s,
        )
        tracker.tell(
            fitting_since=time.time() - tracker.elapsed_s,
            elapsed_before=tracker.elapsed_s,
            epochs_before=fit.start.epoch,
            epochs_wanted=fit.first_epoch + cfg.epochs,
        )

    def _commit(
        self, x: Float, stats: dict[str, Any], run: Mapping[str, Any], tracker: FitTracker | None
    ) -> bool:
        """Write the solution; if that fails, say so rather than lose hours of work."""
        kept = {key: stats[key] for key in COMMITTED_STATS}
        try:
            # A tracker has the right to write already.
            change = (amending if tracker is None else amended)(self.path, growth=x.nbytes)
            with writing_to(self.path), change as file:
                write_solution(file, x, run, kept)
                finish_fit_group(file, x)
        except READ_DAMAGE as error:
            logger.error("The solution is returned but not in the file: %s", error)  # noqa: TRY400
            return False
        return True
