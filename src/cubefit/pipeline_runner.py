"""The fit of a file: operator, starting point, solver and result put together."""

from __future__ import annotations

import logging
from contextlib import ExitStack
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
from cubefit.hypercube_reader import HyperCubeReader
from cubefit.inverse.matrix_free import MatrixFreeOperator
from cubefit.inverse.objective import Objective
from cubefit.inverse.operators import Operator, StoredOperator
from cubefit.inverse.ratio import RatioRows
from cubefit.inverse.seeds import jacobi_seed
from cubefit.kaczmarz_solver import BatchHook, EpochHook, solve_global_kaczmarz
from cubefit.progress import visible_log
from cubefit.reconstruction import checked_solution
from cubefit.store.digests import digest_of_fit, digest_of_models
from cubefit.store.handle import reading, require_writable
from cubefit.store.load import read_dims, read_model_inputs, read_objective
from cubefit.store.results import read_solution, write_solution
from cubefit.store.tiles import (
    CubeStatus,
    read_status,
    require_current,
    require_normalization,
)

logger = logging.getLogger(__name__)

Float = NDArray[np.float64]


def require_weights(orbit_weights: ArrayLike | None, n_components: int, cfg: SolverCfg) -> None:
    """Raise ConfigError or InputError unless the ratio rows can be made."""
    if orbit_weights is not None and cfg.ratio_use is not False:
        RatioRows.of(np.asarray(orbit_weights, np.float64), n_components, cfg)
    elif cfg.ratio_use:
        raise ConfigError("ratio_use=True needs orbit_weights: pass them.")


def require_use(warm_start: WarmStart, x0: Float | None) -> None:
    """Raise ConfigError if ``x0`` is missing, or given and would go unused."""
    if warm_start == "x0" and x0 is None:
        raise ConfigError("warm_start='x0' needs x0: pass it.")
    if warm_start in ("jacobi", "zeros") and x0 is not None:
        raise ConfigError(
            f"warm_start={warm_start!r} does not use x0: drop one of them, or pass warm_start='x0'."
        )


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

    def _usable_cube(self, kind: OperatorKind) -> CubeStatus | None:
        """Return the HyperCube to fit from, or None to fit without."""
        if kind == "matrix-free":
            return None
        with reading(self.path) as file:
            status = read_status(file)
            if status is not None and status.complete:
                require_current(status, digest_of_models(file), self.path)
                return status
        if kind == "stored":
            raise MissingDataError(
                f"{self.path} has no finished HyperCube: run build_hypercube, or fit with "
                "operator='matrix-free'."
            )
        return None

    def _operator(
        self, kind: OperatorKind, normalization: Normalization | None, stack: ExitStack
    ) -> tuple[Operator, Normalization, str]:
        """Return the operator, the normalization it has, and its name."""
        status = self._usable_cube(kind)
        if status is not None:
            require_normalization(status, normalization, self.path)
            reader = stack.enter_context(HyperCubeReader(self.path))
            return StoredOperator(reader), status.normalization, "stored"
        if kind == "auto":
            logger.info("%s has no finished HyperCube: fitting matrix-free.", self.path)
        with reading(self.path) as file:
            cube = read_status(file)
            built: Normalization = "losvd" if cube is None else cube.normalization
            acting = normalization or built
            inputs = read_model_inputs(file, acting)
        operator = MatrixFreeOperator(inputs.losvd, inputs.shifted_templates())
        return operator, acting, "matrix-free"

    def _start(
        self,
        warm_start: WarmStart,
        x0: Float | None,
        normalization: Normalization,
        operator: Operator,
        objective: Objective,
        cfg: SolverCfg,
    ) -> tuple[Float, str]:
        """Return the starting point and where it came from."""
        if x0 is not None and warm_start in ("auto", "x0"):
            return x0, "x0"
        if warm_start == "zeros":
            return np.zeros(operator.shape[1:3]), "zeros"
        if warm_start in ("auto", "resume"):
            found = read_solution(self.path, normalization)
            if found is not None:
                return found[1], found[0]
            if x0 is not None:
                return x0, "x0"
            if warm_start == "resume":
                raise MissingDataError(
                    f"{self.path} has no earlier solution to resume: use warm_start='auto'."
                )
        pixels = cfg.pixels_per_aperture
        return jacobi_seed(operator, objective, n_pixels=pixels, seed=cfg.seed), "jacobi"

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
        on_epoch_end: EpochHook | None = None,
        on_batch: BatchHook | None = None,
    ) -> tuple[Float, dict[str, Any]]:
        """Fit all spaxels at once and commit the result as ``/X_global``.

        Parameters
        ----------
        epochs, pixels_per_aperture, lr, project_nonneg, row_order, seed
            See `cubefit.config.SolverCfg`.
        orbit_weights : array_like, shape (C,), optional
            Targets of the component ratios, any scale; see the ``ratio_*`` settings there.
        blas_threads : int, optional
            Compute threads; default all usable cores.
        verbose : bool
            Tell progress.
        x0 : array_like, shape (C*P,) or (C, P), optional
            Starting point.
        warm_start : {"auto", "resume", "jacobi", "zeros", "x0"}
            ``auto`` takes ``x0`` if given, else ``/Fit/x_best``, else ``/X_global``, else the
            Jacobi seed; ``resume`` takes ``/Fit/x_best``, else ``/X_global``, else ``x0``.
        ratio_use, ratio_prob, ratio_eta, ratio_anchor, ratio_min_weight, ratio_batch
            See `cubefit.config.SolverCfg`.
        operator : {"auto", "stored", "matrix-free"}
            Fit from the HyperCube in the file, or without it; ``auto`` takes it if it is finished.
        normalization : {"losvd", "unit"}, optional
            Of a matrix-free fit; default that of the HyperCube in the file, finished or not, else
            ``losvd``. A stored one knows its own.
        on_epoch_end, on_batch : callable, optional
            See `cubefit.kaczmarz_solver.solve_global_kaczmarz`.

        Returns
        -------
        x : ndarray, shape (C*P,)
            Physical units; ``x.reshape(C, P)``.
        stats : dict
            What `solve_global_kaczmarz` says, and ``warm_start``, ``operator``,
            ``normalization``.

        Raises
        ------
        ConfigError, InputError
            If a setting or ``x0`` is wrong: before any work.
        StaleError
            If the HyperCube or the solution to resume belongs to other inputs.
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
        require_writable(self.path)
        with reading(self.path) as file:
            self.dims, objective = read_dims(file), read_objective(file)
            digest = digest_of_fit(file)
        C, P = self.dims["nComp"], self.dims["nPop"]
        require_weights(orbit_weights, C, cfg)
        given = None if x0 is None else checked_solution(x0, C, P)
        require_use(warm_start, given)
        with visible_log(verbose), threads.blas_threads(blas_threads), ExitStack() as stack:
            model, acting, name = self._operator(operator, normalization, stack)
            start, origin = self._start(warm_start, given, acting, model, objective, cfg)
            logger.info("Fitting %s (%s), starting from %s.", self.path, name, origin)
            x, stats = solve_global_kaczmarz(
                model,
                objective,
                start,
                cfg,
                orbit_weights=orbit_weights,
                on_epoch_end=on_epoch_end,
                on_batch=on_batch,
                verbose=verbose,
            )
        stats |= {"warm_start": origin, "operator": name, "normalization": acting}
        kept = ("method", "epochs", "chi2", "n_voxels", "warm_start", "operator", "normalization")
        write_solution(self.path, x, digest, {key: stats[key] for key in kept} | {"seed": seed})
        return x.ravel(), stats
