"""Starting points: zeros, and the streaming Jacobi seed scaled to the data."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from cubefit.inverse.objective import Float, Objective
from cubefit.inverse.operators import Operator

LIT: Final = 1e-8
"""Components below this share of the largest energy in the sample show it a PSF tail at most."""
SEEN: Final = 1e-3
"""A component is seen when its energy in the sample is this share of the lit ones' median;
fainter ones would get mass in inverse proportion to their light."""


def seen_components(energy: Float) -> NDArray[np.bool_]:
    """Return which components a sample of rows has seen, shape (C,).

    Parameters
    ----------
    energy : ndarray, shape (C, P)
        Sum of squares of each column over the sample. Each template counts relative to its own
        brightest column, so that faint (old) templates do not pass for unseen.
    """
    brightest = energy.max(axis=0)
    share = np.divide(energy, brightest, out=np.zeros(energy.shape), where=brightest > 0)
    light = share.mean(axis=1)
    lit = light > LIT * light.max()
    typical = float(np.median(light[lit])) if lit.any() else 0.0
    return np.asarray(light > SEEN * typical)


def scale_to_data(operator: Operator, objective: Objective, x: Float) -> Float:
    """Return ``x`` times the non-negative factor that minimises the objective.

    The result is never worse than ``x = 0``.
    """
    model = operator.matvec(x) * objective.inverse_noise
    energy = float(np.vdot(model, model))
    overlap = float(np.vdot(model, objective.data * objective.inverse_noise))
    return x * (max(overlap, 0.0) / energy) if energy > 0 else np.zeros_like(x)


def jacobi_seed(
    operator: Operator,
    objective: Objective,
    *,
    n_spaxels: int = 32,
    n_pixels: int = 256,
    seed: int = 12345,
) -> Float:
    """Return a non-negative seed from a small sample of rows.

    Every column alone explains the data best with ``b / d`` (``b = A^T y``, ``d = sum A^2`` over
    the sample), which together overshoot by orders of magnitude: the seed is scaled to the data
    by one exact pass over all spaxels. Components that the sample hardly saw get no mass.

    Parameters
    ----------
    operator : Operator
        The linear model.
    objective : Objective
        Data, noise and masks.
    n_spaxels, n_pixels : int
        Size of the sample.
    seed : int
        Random seed of the sample.

    Returns
    -------
    ndarray, shape (C, P)
    """
    _, C, P, _ = operator.shape
    rng = np.random.default_rng(seed)
    energy, overlap = np.zeros((C, P)), np.zeros((C, P))
    used = objective.used
    lit = np.flatnonzero(used.any(axis=1))
    for s in rng.choice(lit, min(n_spaxels, lit.size), replace=False):
        candidates = np.flatnonzero(used[s])
        pixels = rng.choice(candidates, min(n_pixels, candidates.size), replace=False)
        weight = objective.inverse_noise[s, pixels]
        rows = operator.rows(int(s), pixels)
        for row, w, y in zip(rows.dense(), weight, objective.data[s, pixels] * weight, strict=True):
            weighted = row.astype(np.float64) * w
            energy += weighted**2
            overlap += weighted * y
    seen = seen_components(energy)[:, None] & (energy > 0)
    x = np.divide(overlap, energy, out=np.zeros((C, P)), where=seen)
    return scale_to_data(operator, objective, np.maximum(x, 0.0))
