"""The global Kaczmarz solver: runs the sweeps, watches them, and says what came out."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cubefit.config import SolverCfg
from cubefit.inverse.kaczmarz import KaczmarzState, smoother_of, sweeps
from cubefit.inverse.observed import Observed
from cubefit.inverse.operators import Operator
from cubefit.inverse.ratio import ratio_rows
from cubefit.progress import Progress

__all__ = ["SolverCfg", "solve_global_kaczmarz"]

logger = logging.getLogger(__name__)

Float = NDArray[np.float64]
EpochHook = Callable[[int, Float], None]
BatchHook = Callable[[float], None]
StateHook = Callable[[KaczmarzState], None]


def solve_global_kaczmarz(
    operator: Operator,
    observed: Observed,
    start: Float | KaczmarzState,
    cfg: SolverCfg,
    *,
    first_epoch: int = 0,
    orbit_weights: ArrayLike | None = None,
    template_shape: Sequence[int] | None = None,
    on_epoch_end: EpochHook | None = None,
    on_batch: BatchHook | None = None,
    on_state: StateHook | None = None,
    verbose: bool = True,
) -> tuple[Float, dict[str, Any]]:
    """Sweep ``cfg.epochs`` times over all spaxels.

    Parameters
    ----------
    operator : Operator
        The linear model, stored or matrix-free.
    observed : Observed
        Data, noise and masks.
    start : ndarray, shape (C, P), or KaczmarzState
        Weights to start from, physical units; or the state in which an earlier call was stopped,
        to complete its epochs with the same bits. Not changed.
    cfg : SolverCfg
        Settings.
    first_epoch : int
        Epochs behind this fit: the random choices go on from there, so that two calls of one epoch
        give the same bits as one call of two. The fit ends after ``first_epoch + cfg.epochs``.
    orbit_weights : array_like, shape (C,), optional
        Targets of the ratio rows, any scale.
    template_shape : sequence of int, optional
        Sizes of the template axes, along which ``cfg.regularization`` smooths; default one axis.
    on_epoch_end : callable, optional
        Called with the number of finished epochs and ``x`` (C, P); copy it to keep it.
    on_batch : callable, optional
        Called after each spaxel with the rms residual of its rows before their projection.
    on_state : callable, optional
        Called after each spaxel, last, with all that is needed to go on; copy its ``x``.
    verbose : bool
        Tell progress.

    Returns
    -------
    x : ndarray, shape (C, P)
    stats : dict
        ``epochs``, ``epochs_total``, ``train_rmse`` (one per epoch that ended in this call, in
        sigma where noise is given), ``chi2``, ``n_voxels``, ``has_noise``, ``chi2_per_voxel``,
        ``rmse``, ``nnz``, ``elapsed_sec``.
    """
    started = time.monotonic()
    S = operator.shape[0]
    ratio = ratio_rows(orbit_weights, operator.shape[1], cfg)
    smoother = smoother_of(template_shape or operator.shape[2:3], cfg, S)
    if not isinstance(start, KaczmarzState):
        start = KaczmarzState(x=start, epoch=first_epoch)
    last = replace(cfg, epochs=first_epoch + cfg.epochs)
    x = start.x
    history: list[float] = []
    left = max(S * (last.epochs - start.epoch) - start.position, 0)
    with Progress("Kaczmarz", left, verbose=verbose) as progress:
        for state in sweeps(operator, observed, last, start, ratio, smoother):
            x = state.x
            progress.advance(1, f"epoch {state.epoch + 1}, rmse {state.rmse:.4g}")
            if on_batch is not None:
                on_batch(state.rmse)
            if state.position == S:
                history.append(state.epoch_rmse)
                logger.info("Epoch %d: training rmse %.6g", state.epoch + 1, history[-1])
                if on_epoch_end is not None:
                    on_epoch_end(state.epoch + 1, state.x)
            if on_state is not None:
                on_state(state)
    chi2 = observed.chi2(operator.matvec(x))
    return x, {
        "method": "kaczmarz",
        "epochs": cfg.epochs,
        "epochs_total": max(last.epochs, start.epoch),
        "train_rmse": history,
        "chi2": chi2,
        "n_voxels": observed.n_voxels,
        "has_noise": observed.has_noise,
        "chi2_per_voxel": chi2 / observed.n_voxels,
        "rmse": float(np.sqrt(chi2 / observed.n_voxels)),
        "nnz": int(np.count_nonzero(x)),
        "elapsed_sec": time.monotonic() - started,
    }
