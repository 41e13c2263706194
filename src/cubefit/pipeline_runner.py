"""The fit of a file: operator, starting point, solver and result put together."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cubefit import threads
from cubefit.config import (
    ExactCfg,
    Method,
    Normalization,
    OperatorKind,
    PriorCfg,
    RowOrder,
    SolverCfg,
    WarmStart,
    require_choice,
    require_positive,
)
from cubefit.errors import ConfigError, MissingDataError
from cubefit.exact_fit import ExactFit
from cubefit.fit_parts import FitParts
from cubefit.fit_start import require_use
from cubefit.fit_tracker import FitTracker, TrackerConfig
from cubefit.inputs import checked_solution
from cubefit.interrupts import stop_requests
from cubefit.inverse.ratio import checked_orbit_weights
from cubefit.kaczmarz_fit import KaczmarzFit
from cubefit.kaczmarz_solver import BatchHook, EpochHook
from cubefit.model_choice import ModelChoice, choose_model
from cubefit.progress import visible_log
from cubefit.store import schema
from cubefit.store.amend import amended
from cubefit.store.files import writing_to
from cubefit.store.fit_group import finish_fit_group
from cubefit.store.handle import READ_DAMAGE, amending, reading, require_writable
from cubefit.store.load import read_dims, read_optional, read_template_axes
from cubefit.store.results import write_solution
from cubefit.store.resume import Earlier, Wanted, read_earlier

logger = logging.getLogger(__name__)

Float = NDArray[np.float64]

COMMITTED_STATS = (
    "method", "epochs_total", "seed", "objective", "chi2", "n_voxels", "gap_abs", "gap_rel",
    "rounds", "outcome", "regularization", "total_weight", "warm_start", "operator",
    "normalization",
)  # fmt: skip
"""What stands beside ``/X_global`` in the file."""


def require_unused(name: str, value: object, reason: str) -> None:
    """Raise ConfigError if an argument is given that would go unused."""
    if value is not None:
        raise ConfigError(f"{name} {reason}: leave it out, or choose another method.")


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

    def _stored_weights(self, wanted: str) -> Float:
        """Return the orbit weights that the file was populated with, shape (C,)."""
        require_choice("orbit_weights", wanted, Literal["stored"])
        with reading(self.path) as file:
            found = read_optional(file, schema.ORBIT_WEIGHTS)
        if found is None:
            raise MissingDataError(
                f"Missing {schema.ORBIT_WEIGHTS.path} in {self.path}: populate with "
                "orbit_weights=, or give them here."
            )
        return np.asarray(found, np.float64)

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
        orbit_weights: ArrayLike | Literal["stored"] | None = None,
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
        method: Method = "kaczmarz",
        gap_tolerance: float = 1e-6,
        max_rounds: int = 200,
        time_limit_s: float | None = None,
        max_memory_gb: float | None = None,
        ratio_weight: float = 300.0,
        regularization: float | Literal["auto"] = 0.0,
        total_weight: float | None = None,
        tracker: FitTracker | TrackerConfig | bool = True,
        client: object | None = None,
        n_shares: int | None = None,
        on_epoch_end: EpochHook | None = None,
        on_batch: BatchHook | None = None,
    ) -> tuple[Float, dict[str, Any]]:
        """Fit all spaxels at once and commit the result as ``/X_global``.

        While it runs, its metrics and checkpoints go to ``/Fit``. A fit that was stopped, by
        Ctrl-C, SIGTERM, SIGUSR1, SIGHUP or a kill, is completed by the same call; Kaczmarz with the
        same bits as if it had not been stopped: ``epochs`` then counts from its beginning.
        ``method="exact"`` finds the optimum of the objective and bounds what is left of the way;
        Ctrl-C ends it with the best point found so far.

        Parameters
        ----------
        epochs, pixels_per_aperture, lr, project_nonneg, row_order, seed
            Of Kaczmarz, see `cubefit.config.SolverCfg`.
        orbit_weights : array_like, shape (C,), or "stored", optional
            Targets of the component ratios, any scale, in the kind of ``x``: shares of light where
            templates have equal light; ``"stored"`` takes those of ``populate_from_arrays``. See
            the ``ratio_*`` settings there.
        blas_threads : int, optional
            Compute threads; default all usable cores.
        verbose : bool
            Tell progress.
        x0 : array_like, shape (C*P,) or (C, P), optional
            Starting point.
        warm_start : {"auto", "resume", "jacobi", "zeros", "x0"}
            ``auto`` takes ``x0`` if given; else it completes an unfinished fit of the same
            settings from ``/Fit/x_latest``; else it starts from ``/Fit/x_best``, else
            ``/X_global``, else the Jacobi seed (exact: zero). ``resume`` does the same, but takes
            ``x0`` last and no seed. The others start afresh.
        ratio_use, ratio_prob, ratio_eta, ratio_anchor, ratio_min_weight, ratio_batch
            See `cubefit.config.SolverCfg`; ``ratio_prob``, ``ratio_eta`` and ``ratio_batch`` are of
            Kaczmarz.
        operator : {"auto", "stored", "matrix-free"}
            Fit from the HyperCube in the file, or without it. ``auto`` takes it for Kaczmarz if it
            is finished, and not for the exact method, which is faster without.
        normalization : {"losvd", "unit"}, optional
            Of a matrix-free fit; default that of the HyperCube in the file, finished or not, else
            ``losvd``. A stored one knows its own.
        method : {"kaczmarz", "exact"}
            Kaczmarz sweeps, or the global optimum with its certificate.
        gap_tolerance, max_rounds, time_limit_s, max_memory_gb
            Of the exact method, see `cubefit.config.ExactCfg`.
        ratio_weight, total_weight
            Of the exact method, see `cubefit.config.PriorCfg`.
        regularization : float or "auto"
            Smoothness of the populations of each component, see `cubefit.config.PriorCfg`; with
            Kaczmarz a number, see `cubefit.config.SolverCfg`.
        tracker : bool, TrackerConfig or FitTracker
            How the fit is followed. False writes nothing before the end, and keeps no other writer
            out meanwhile.
        client : distributed.Client, optional
            Fit on its cluster, by the exact method, matrix-free: the workers read their shares of
            the spaxels from the file, which they must see under the same path.
        n_shares : int, optional
            Shares on the cluster, default one for each worker. The same number gives the same bits,
            on any number of workers of as many threads.
        on_epoch_end, on_batch : callable, optional
            See `cubefit.kaczmarz_solver.solve_global_kaczmarz`; the exact method calls the first
            after each round.

        Returns
        -------
        x : ndarray, shape (C*P,)
            Physical units; ``x.reshape(C, P)``.
        stats : dict
            What `solve_global_kaczmarz` or `cubefit.exact_solver.solve_global_exact` says, and
            ``warm_start``, ``operator``, ``normalization``, and ``committed``: False if
            ``/X_global`` could not be written, which is logged as an error, or if a limit ended the
            fit in its preparation.

        Raises
        ------
        ConfigError, InputError
            If a setting or ``x0`` is wrong: before any work.
        ClusterError
            If the cluster of ``client`` does not answer, does not see the file, is too small, or is
            lost on the way: the same call then goes on from the last checkpoint.
        StaleError
            If the HyperCube, or the checkpoint or solution to resume, belongs to other inputs.
        LockedError
            If another process writes to the file.
        KeyboardInterrupt, StoppedError
            After Ctrl-C or another signal, once a checkpoint is on disk. The second of them ends
            the program with exit code 75, on which a batch script can run the same again.
        """
        require_choice("method", method, Method)
        if isinstance(orbit_weights, str):
            orbit_weights = self._stored_weights(orbit_weights)
        plan: KaczmarzFit | ExactFit
        if method == "exact":
            require_unused("on_batch", on_batch, "is called by Kaczmarz sweeps only")
            plan = ExactFit(
                cfg=ExactCfg(
                    gap_tolerance=gap_tolerance,
                    max_rounds=max_rounds,
                    time_limit_s=time_limit_s,
                    max_memory_gb=max_memory_gb,
                ),
                priors=PriorCfg(
                    ratio_weight=ratio_weight,
                    ratio_use=ratio_use,
                    ratio_anchor=ratio_anchor,
                    ratio_min_weight=ratio_min_weight,
                    regularization=regularization,
                    total_weight=total_weight,
                ),
                orbit_weights=orbit_weights,
                on_round_end=on_epoch_end,
            )
        else:
            if regularization == "auto":
                raise ConfigError("regularization='auto' needs method='exact': give a number.")
            plan = KaczmarzFit(
                cfg=SolverCfg(
                    epochs=epochs,
                    pixels_per_aperture=pixels_per_aperture,
                    lr=lr,
                    project_nonneg=project_nonneg,
                    row_order=row_order,
                    seed=seed,
                    ratio_prob=ratio_prob,
                    ratio_eta=ratio_eta,
                    ratio_batch=ratio_batch,
                    ratio_use=ratio_use,
                    ratio_anchor=ratio_anchor,
                    ratio_min_weight=ratio_min_weight,
                    regularization=regularization,
                ),
                orbit_weights=orbit_weights,
                on_epoch_end=on_epoch_end,
                on_batch=on_batch,
            )
        require_choice("warm_start", warm_start, WarmStart)
        choice = ModelChoice(
            method=method,
            operator=operator,
            normalization=normalization,
            client=client,
            n_shares=n_shares,
        )
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
            request.stop_at_once(f"the fit of {self.path} had not begun; the same call begins it.")
            parts = self._set_up(plan, x0, warm_start, choice, stack)
            if follow_up is not None:
                self._announce(parts, orbit_weights, follow_up)
            x, stats = plan.run(parts, follow_up, request, warm_start, verbose=verbose)
            stats |= {"operator": parts.operator, "normalization": parts.normalization}
            stats["committed"] = stats.get("prepared", True) and self._commit(
                x, stats, parts.run, follow_up, orbit_weights
            )
            if request and not (method == "exact" and request.is_interrupt):
                more = "adds epochs" if method == "kaczmarz" else "finds nothing to add"
                request.stop(f"the fit of {self.path} is complete; the same call {more}.")
        return x.ravel(), stats

    def _set_up(
        self,
        plan: KaczmarzFit | ExactFit,
        x0: ArrayLike | None,
        warm_start: WarmStart,
        choice: ModelChoice,
        stack: ExitStack,
    ) -> FitParts:
        """Check the rest of the arguments, and put the parts of the fit together."""
        with reading(self.path) as file:
            self.dims = read_dims(file)
            template_shape, _ = read_template_axes(file)
        plan.check(self.dims["nComp"], template_shape)
        given = None if x0 is None else checked_solution(x0, self.dims["nComp"], self.dims["nPop"])
        require_use(warm_start, given)
        chosen = choose_model(self.path, choice, stack)
        run = plan.identity(chosen.digests.fit)
        wanted = Wanted(digest=chosen.digests.fit, normalization=chosen.normalization, run=run)
        return FitParts(
            path=self.path,
            misfit=chosen.misfit,
            template_shape=template_shape,
            operator=chosen.name,
            normalization=chosen.normalization,
            run=run,
            x0=given,
            earlier=self._earlier(warm_start, given, wanted),
        )

    @staticmethod
    def _announce(parts: FitParts, orbit_weights: ArrayLike | None, tracker: FitTracker) -> None:
        """Tell a tracker which fit begins."""
        tracker.set_orbit_weights(orbit_weights)
        tracker.begin(
            run=parts.run,
            normalization=parts.normalization,
            fresh=parts.earlier is None,
            elapsed_s=None if parts.earlier is None else parts.earlier.elapsed_s,
        )

    def _commit(
        self,
        x: Float,
        stats: dict[str, Any],
        run: Mapping[str, Any],
        tracker: FitTracker | None,
        orbit_weights: ArrayLike | None,
    ) -> bool:
        """Write the solution; if that fails, say so rather than lose hours of work."""
        weights = None if orbit_weights is None else checked_orbit_weights(orbit_weights, len(x))
        kept = {key: stats[key] for key in COMMITTED_STATS if key in stats}
        try:
            # A tracker has the right to write already.
            change = (amending if tracker is None else amended)(self.path, growth=x.nbytes)
            with writing_to(self.path), change as file:
                write_solution(file, x, run, kept, weights)
                finish_fit_group(file, x)
        except READ_DAMAGE as error:
            logger.error("The solution is returned but not in the file: %s", error)  # noqa: TRY400
            return False
        return True
