"""LOSVD histograms: their normalisation and the velocities that hold light."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cubefit.config import Normalization
from cubefit.errors import InputError
from cubefit.spectra.grids import edges_of


def normalized_losvd(
    losvd: NDArray[np.float32], normalization: Normalization
) -> NDArray[np.float32]:
    """Return LOSVDs as they act in the models.

    Parameters
    ----------
    losvd : ndarray, shape (S, V, C)
        Histograms; their sum over v is the share of component c's light in spaxel s.
    normalization : {"losvd", "unit"}
        Keep that amplitude, or scale each histogram to unit sum (data normalised per spaxel).

    Returns
    -------
    ndarray, shape (S, V, C)
    """
    if normalization == "losvd":
        return losvd
    light = losvd.sum(axis=1, keepdims=True, dtype=np.float64)
    scale = np.divide(1.0, light, out=np.zeros(light.shape), where=light > 0)
    return np.asarray(losvd * scale, np.float32)


def losvd_amplitudes(
    losvd: NDArray[np.float32], normalization: Normalization
) -> NDArray[np.float64]:
    """Return the share of each component's light in each spaxel, as it acts in the models.

    Parameters
    ----------
    losvd : ndarray, shape (S, V, C)
        Histograms.
    normalization : {"losvd", "unit"}
        See `normalized_losvd`; with ``unit`` the amplitude is one wherever there is light.

    Returns
    -------
    ndarray, shape (S, C)
    """
    light: NDArray[np.float64] = losvd.sum(axis=1, dtype=np.float64)
    return light if normalization == "losvd" else (light > 0).astype(np.float64)


def lit_velocity_range(
    losvd: NDArray[np.floating], vel_pix: NDArray[np.float64]
) -> tuple[float, float]:
    """Return the outer edges in km/s of the velocity bins that hold light in any (s, c).

    Raises
    ------
    InputError
        If no bin does.
    """
    lit = np.flatnonzero(losvd.any(axis=(0, 2)))
    if not lit.size:
        raise InputError("losvd holds no light at all: every histogram is zero.")
    edges = edges_of(vel_pix)
    return float(edges[lit[0]]), float(edges[lit[-1] + 1])
