"""Starting points: zeros, and the streaming Jacobi seed scaled to the data."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from cubefit.inverse.misfit import Misfit
from cubefit.inverse.operators import Float
from cubefit.inverse.shares import Share, Sums

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


def lit_spaxels(share: Share, n_spaxels: int) -> Sums:
    """Return ones where a spaxel of the cube has a voxel in use, shape (S,)."""
    result = np.zeros(n_spaxels)
    own = slice(share.first, share.first + share.operator.shape[0])
    result[own] = share.observed.used.any(axis=1)
    return (result,)


def sampled(share: Share, spaxels: NDArray[np.intp], n_pixels: int, seed: int) -> Sums:
    """Return ``sum A^2`` and ``A^T y`` over random rows of some spaxels of the cube, (C, P) each.

    The rows of a spaxel depend on its number and the seed alone.
    """
    _, C, P, _ = share.operator.shape
    observed = share.observed
    energy, overlap = np.zeros((C, P)), np.zeros((C, P))
    for number in spaxels:
        s = int(number) - share.first
        if not 0 <= s < share.operator.shape[0]:
            continue
        candidates = np.flatnonzero(observed.used[s])
        rng = np.random.default_rng([seed, int(number)])
        pixels = rng.choice(candidates, min(n_pixels, candidates.size), replace=False)
        weight = observed.inverse_noise[s, pixels]
        rows = share.operator.rows(s, pixels)
        for row, w, y in zip(rows.dense(), weight, observed.data[s, pixels] * weight, strict=True):
            weighted = row.astype(np.float64) * w
            energy += weighted**2
            overlap += weighted * y
    return energy, overlap


def jacobi_seed(
    misfit: Misfit,
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
    misfit : Misfit
        Model, data, noise and masks.
    n_spaxels, n_pixels : int
        Size of the sample.
    seed : int
        Random seed of the sample.

    Returns
    -------
    ndarray, shape (C, P)
    """
    rng = np.random.default_rng(seed)
    lit = np.flatnonzero(misfit.shares.total(lit_spaxels, misfit.n_spaxels)[0])
    spaxels = rng.choice(lit, min(n_spaxels, lit.size), replace=False)
    energy, overlap = misfit.shares.total(sampled, spaxels, n_pixels, seed)
    seen = seen_components(energy)[:, None] & (energy > 0)
    x = np.divide(overlap, energy, out=np.zeros(energy.shape), where=seen)
    return misfit.scaled_to_data(np.maximum(x, 0.0))
