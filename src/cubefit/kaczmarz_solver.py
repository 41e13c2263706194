"""The global Kaczmarz solver: runs the sweeps, watches them, and says what came out."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cubefit.config import SolverCfg
from cubefit.inverse.kaczmarz import KaczmarzState, sweeps
from cubefit.inverse.objective import Objective
from cubefit.inverse.operators import Operator
from cubefit.inverse.ratio import ratio_rows
from cubefit.progress import Progress

__all__ = ["SolverCfg", "solve_global_kaczmarz"]

logger = logging.getLogger(__name__)

Float = NDArray[np.float64]
EpochHook = Callable[[int, Float], None]
BatchHook = Callable[[float], None]


def solve_global_kaczmarz(
    operator: Operator,
    objective: Objective,
    x0: Float,
    cfg: SolverCfg,
    *,
    first_epoch: int = 0,
    orbit_weights: ArrayLike | None = None,
    on_epoch_end: EpochHook | None = None,
    on_batch: BatchHook | None = None,
    verbose: bool = True,
) -> tuple[Float, dict[str, Any]]:
    """Sweep ``cfg.epochs`` times over all spaxels.

    Parameters
    ----------
    operator : Operator
        The linear model, stored or matrix-free.
    objective : Objective
        Data, noise and masks.
    x0 : ndarray, shape (C, P)
        Where to start, physical units; not changed.
    cfg : SolverCfg
        Settings.
    first_epoch : int
        Epochs behind ``x0``: the random choices go on from there, so that two calls of one epoch
        give the same bits as one call of two.
    orbit_weights : array_like, shape (C,), optional
        Targets of the ratio rows, any scale.
    on_epoch_end : callable, optional
        Called with the number of finished epochs and ``x`` (C, P); copy it to keep it.
    on_batch : callable, optional
        Called after each spaxel with the rms residual of its rows before their projection.
    verbose : bool
        Tell progress.

    Returns
    -------
    x : ndarray, shape (C, P)
    stats : dict
        ``epochs``, ``epochs_total``, ``train_rmse`` (one per epoch, in sigma where noise is
        given), ``chi2``, ``n_voxels``, ``chi2_per_voxel``, ``rmse``, ``nnz``, ``elapsed_sec``.
    """
    started = time.monotonic()
    S = operator.shape[0]
    ratio = ratio_rows(orbit_weights, operator.shape[1], cfg)
    start = KaczmarzState(x=x0, epoch=first_epoch)
    last = replace(cfg, epochs=first_epoch + cfg.epochs)
    x = x0
    history: list[float] = []
    squares: list[float] = []
    with Progress("Kaczmarz", S * cfg.epochs, verbose=verbose) as progress:
        for state in sweeps(operator, objective, last, start, ratio):
            x = state.x
            squares.append(state.rmse**2)
            progress.advance(1, f"epoch {state.epoch + 1}, rmse {state.rmse:.4g}")
            if on_batch is not None:
                on_batch(state.rmse)
            if state.position == S:
                history.append(float(np.sqrt(np.nanmean(squares))))
                squares.clear()
                logger.info("Epoch %d: training rmse %.6g", state.epoch + 1, history[-1])
                if on_epoch_end is not None:
                    on_epoch_end(state.epoch + 1, state.x)
    chi2 = objective.chi2(operator.matvec(x))
    return x, {
        "method": "kaczmarz",
        "epochs": cfg.epochs,
        "epochs_total": last.epochs,
        "train_rmse": history,
        "chi2": chi2,
        "n_voxels": objective.n_voxels,
        "chi2_per_voxel": chi2 / objective.n_voxels,
        "rmse": float(np.sqrt(chi2 / objective.n_voxels)),
        "nnz": int(np.count_nonzero(x)),
        "elapsed_sec": time.monotonic() - started,
    }
