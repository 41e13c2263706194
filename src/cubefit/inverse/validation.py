"""The fixed sample of voxels on which a running fit is judged, and figures of an ``x``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cubefit.errors import InputError
from cubefit.inverse.observed import Observed
from cubefit.inverse.operators import Float


class Sample(NamedTuple):
    """Voxels of a validation sample: every pixel in every spaxel."""

    spaxels: NDArray[np.int32]
    """Shape (Ns,), ascending."""
    pixels: NDArray[np.int32]
    """Shape (Kval,), ascending."""


def choose_sample(
    in_use: NDArray[np.bool_],
    used: Callable[[NDArray[np.int32]], NDArray[np.bool_]],
    n_spaxels: int,
    n_pixels: int,
    seed: int,
) -> Sample:
    """Return a random sample of the voxels in use.

    Parameters
    ----------
    in_use : ndarray of bool, shape (S,)
        Spaxels with a voxel in use.
    used : callable
        Returns the voxels in use (n, L) of n spaxels, given their numbers in ascending order.
    n_spaxels, n_pixels : int
        Its size; fewer where fewer are in use.
    seed : int
        The same seed and voxels give the same sample.

    Raises
    ------
    InputError
        If no voxel is in use.
    """
    if not in_use.any():
        raise InputError("The masks leave no voxel to fit: True means use, so invert them.")
    rng = np.random.default_rng(seed)

    def draw(candidates: NDArray[np.intp], count: int) -> NDArray[np.int32]:
        drawn = rng.choice(candidates, min(count, candidates.size), replace=False)
        return np.sort(drawn).astype(np.int32)

    spaxels = draw(np.flatnonzero(in_use), n_spaxels)
    return Sample(spaxels, draw(np.flatnonzero(used(spaxels).any(axis=0)), n_pixels))


def observed_sample(spaxels: Iterable[Observed], pixels: NDArray[np.int32]) -> Observed:
    """Return some pixels of some spaxels.

    Parameters
    ----------
    spaxels : iterable of Observed
        Their spectra: one or several in each, and no more than one of these is held at a time.
    pixels : ndarray of int, shape (Kval,)
        Numbers of the pixels.
    """
    parts = [(one.data[:, pixels], one.inverse_noise[:, pixels], one.has_noise) for one in spaxels]
    data, inverse_noise, has_noise = zip(*parts, strict=True)
    return Observed(
        data=np.concatenate(data),
        inverse_noise=np.concatenate(inverse_noise),
        has_noise=all(has_noise),
    )


def rms_misfit(observed: Observed, model: Float) -> float:
    """Return the rms misfit in sigma, over the voxels in use."""
    return float(np.sqrt(observed.chi2(model) / max(observed.n_voxels, 1)))


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
