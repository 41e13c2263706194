"""Global Kaczmarz sweeps: successive projections of one x onto the rows of every spaxel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from cubefit.config import SolverCfg
from cubefit.errors import InputError
from cubefit.inverse.observed import Observed
from cubefit.inverse.operators import Float, Operator, SpaxelRows, require_shape
from cubefit.inverse.priors import smoothness
from cubefit.inverse.ratio import RatioRows


@dataclass(frozen=True, slots=True, kw_only=True)
class KaczmarzState:
    """Where a sweep stands: enough to go on with the same bits.

    The random choices are a function of (seed, epoch, spaxel), so no generator state is kept.
    """

    x: Float
    """Current weights, shape (C, P), physical units. The sweep goes on to change it."""
    epoch: int = 0
    """Epoch under way, from 0."""
    position: int = 0
    """Spaxels of this epoch already visited."""
    spaxel: int = -1
    """Spaxel visited last, -1 before the first."""
    rmse: float = float("nan")
    """Weighted rms residual of that spaxel's rows before their projection."""
    squares: float = 0.0
    """Sum of the squares of ``rmse`` over this epoch's spaxels so far."""
    n_lit: int = 0
    """Spaxels in that sum: those with rows."""

    @property
    def epoch_rmse(self) -> float:
        """Training RMSE of this epoch so far."""
        return float(np.sqrt(self.squares / self.n_lit)) if self.n_lit else float("nan")


def project_rows(rows: SpaxelRows, residual: Float, lr: float) -> Float:
    """Return the multipliers of successive relaxed projections onto the rows, in their order.

    K row projections ``x += lr (y_k - a_k x) / |a_k|^2 a_k`` are one triangular solve with the
    Gram matrix ``G = A_s A_s^T``: ``x += A_s^T alpha`` with
    ``(tril(G, -1) + diag(G) / lr) alpha = y - A_s x``.

    Parameters
    ----------
    rows : SpaxelRows
        K rows of one spaxel.
    residual : ndarray, shape (K,)
        ``y - A_s x`` before the first projection.
    lr : float
        Relaxation, between 0 and 2.

    Returns
    -------
    ndarray, shape (K,)
        ``alpha``; zero for rows without light.
    """
    gram = rows.gram()
    diagonal = np.diagonal(gram)
    dark = diagonal <= 1e-14 * diagonal.max(initial=0.0)
    np.fill_diagonal(gram, np.where(dark, np.inf, diagonal / lr))
    return np.asarray(solve_triangular(gram, residual, lower=True, check_finite=False))


def draw_pixels(
    used: NDArray[np.bool_], config: SolverCfg, rng: np.random.Generator
) -> NDArray[np.intp]:
    """Return up to K pixels of one spaxel, in the order of their projections."""
    candidates = np.flatnonzero(used)
    count = min(config.pixels_per_aperture, candidates.size)
    pixels = rng.choice(candidates, count, replace=False)
    return np.sort(pixels) if config.row_order == "sequential" else pixels


def spaxel_order(n_spaxels: int, config: SolverCfg, epoch: int) -> NDArray[np.intp]:
    """Return the order in which an epoch visits the spaxels."""
    if config.row_order == "sequential":
        return np.arange(n_spaxels)
    return np.random.default_rng([config.seed, epoch]).permutation(n_spaxels)


def smoother_of(shape: Sequence[int], config: SolverCfg, n_spaxels: int) -> Float | None:
    """Return the proximal step of the smoothness that one spaxel's share of an epoch brings.

    It minimises ``|q - q0|^2 / 2 + lr regularization^2 |D q|^2 / (2 S)`` for the populations ``q``
    of a component; the step is the same in any unit.

    Parameters
    ----------
    shape : sequence of int
        Sizes of the template axes, whose product is P.
    config : SolverCfg
        Its ``lr`` and ``regularization``.
    n_spaxels : int
        S.

    Returns
    -------
    ndarray, shape (P, P), or None
        None without regularization.

    Raises
    ------
    ConfigError
        If no axis has three points.
    """
    if not config.regularization:
        return None
    bending = smoothness(shape, config.regularization) * (config.lr / n_spaxels)
    return np.asarray(np.linalg.inv(np.eye(bending.shape[0]) + bending))


def sweeps(
    operator: Operator,
    observed: Observed,
    config: SolverCfg,
    state: KaczmarzState,
    ratio: RatioRows | None = None,
    smoother: Float | None = None,
) -> Iterator[KaczmarzState]:
    """Sweep over the cube, yielding after every spaxel.

    Parameters
    ----------
    operator : Operator
        The linear model.
    observed : Observed
        Data, noise and masks.
    config : SolverCfg
        Settings; ``config.epochs`` bounds the sweep.
    state : KaczmarzState
        Where to begin; its ``x`` is not changed.
    ratio : RatioRows, optional
        Orbit-weight rows to mix in.
    smoother : ndarray, shape (P, P), optional
        Applied to the populations of every component after each spaxel, see `smoother_of`.

    Yields
    ------
    KaczmarzState
        After each spaxel.

    Raises
    ------
    InputError
        If ``state.x`` or the data do not fit the operator, or ``state.x`` is not finite.
    """
    S, C, P, L = operator.shape
    require_shape("x", state.x, (C, P))
    require_shape("The data cube", observed.data, (S, L))
    if not np.isfinite(state.x).all():
        raise InputError("x holds NaN or infinite values: start the sweep from a finite x.")
    x = np.array(state.x, np.float64)
    used = observed.used
    start, squares, n_lit = state.position, state.squares, state.n_lit
    for epoch in range(state.epoch, config.epochs):
        order = spaxel_order(S, config, epoch)
        for position in range(start, S):
            s = int(order[position])
            rng = np.random.default_rng([config.seed, epoch, s])
            pixels = draw_pixels(used[s], config, rng)
            if ratio is not None and rng.random() < config.ratio_prob:
                ratio.project(x, rng)
            rmse = float("nan")
            if pixels.size:
                rows = operator.rows(s, pixels)
                residual = observed.data[s, pixels] - rows.dot(x)
                rmse = float(np.sqrt(np.mean((residual * observed.inverse_noise[s, pixels]) ** 2)))
                x += rows.backproject(project_rows(rows, residual, config.lr))
                squares, n_lit = squares + rmse**2, n_lit + 1
            if smoother is not None:
                x = x @ smoother
            if config.project_nonneg:
                np.maximum(x, 0.0, out=x)
            yield KaczmarzState(
                x=x,
                epoch=epoch,
                position=position + 1,
                spaxel=s,
                rmse=rmse,
                squares=squares,
                n_lit=n_lit,
            )
        start, squares, n_lit = 0, 0.0, 0
