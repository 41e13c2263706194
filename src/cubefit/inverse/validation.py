"""The fixed sample of voxels on which a running fit is judged, and figures of an ``x``."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cubefit.inverse.objective import Float, Objective


class Sample(NamedTuple):
    """Voxels of a validation sample: every pixel in every spaxel."""

    spaxels: NDArray[np.int32]
    """Shape (Ns,), ascending."""
    pixels: NDArray[np.int32]
    """Shape (Kval,), ascending."""


def choose_sample(used: NDArray[np.bool_], n_spaxels: int, n_pixels: int, seed: int) -> Sample:
    """Return a random sample of the voxels in use.

    Parameters
    ----------
    used : ndarray of bool, shape (S, L)
        Voxels in use.
    n_spaxels, n_pixels : int
        Its size; fewer where fewer are in use.
    seed : int
        The same seed and voxels give the same sample.
    """
    rng = np.random.default_rng(seed)

    def draw(candidates: NDArray[np.intp], count: int) -> NDArray[np.int32]:
        drawn = rng.choice(candidates, min(count, candidates.size), replace=False)
        return np.sort(drawn).astype(np.int32)

    spaxels = draw(np.flatnonzero(used.any(axis=1)), n_spaxels)
    return Sample(spaxels, draw(np.flatnonzero(used[spaxels].any(axis=0)), n_pixels))


def objective_of_sample(objective: Objective, sample: Sample) -> Objective:
    """Return the objective of the voxels of a sample."""
    part = np.ix_(sample.spaxels, sample.pixels)
    return Objective(
        data=objective.data[part],
        inverse_noise=objective.inverse_noise[part],
        has_noise=objective.has_noise,
    )


def rms_misfit(objective: Objective, model: Float) -> float:
    """Return the rms misfit in sigma, over the voxels in use."""
    return float(np.sqrt(objective.chi2(model) / max(objective.n_voxels, 1)))


def solution_figures(
    x: Float, before: Float | None, orbit_weights: Float | None
) -> dict[str, float]:
    """Return what the metrics say of a solution.

    Parameters
    ----------
    x : ndarray, shape (C, P)
        The solution.
    before : ndarray, shape (C, P), optional
        The one that was looked at before.
    orbit_weights : ndarray, shape (C,), optional
        Expected shares of the components, any scale.

    Returns
    -------
    dict
        ``nnz``, ``l1_norm``, ``l2_norm``; ``delta_x_rel``, the length of the change over that of
        ``x``; ``mass_err_L1`` and ``mass_err_Linf``, sum and largest of the errors of the
        components' shares. NaN where there is nothing to compare with.
    """
    length, total = float(np.linalg.norm(x)), float(x.sum())
    figures = {
        "nnz": float(np.count_nonzero(x)),
        "l1_norm": float(np.abs(x).sum()),
        "l2_norm": length,
        "delta_x_rel": float("nan"),
        "mass_err_L1": float("nan"),
        "mass_err_Linf": float("nan"),
    }
    if before is not None and length > 0:
        figures["delta_x_rel"] = float(np.linalg.norm(x - before)) / length
    if orbit_weights is not None and total > 0:
        errors = np.abs(x.sum(axis=1) / total - orbit_weights / orbit_weights.sum())
        figures["mass_err_L1"] = float(errors.sum())
        figures["mass_err_Linf"] = float(errors.max())
    return figures
