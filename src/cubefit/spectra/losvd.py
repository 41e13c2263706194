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


def losvd_moments(
    losvd: NDArray[np.float32], vel_pix: NDArray[np.float64], normalization: Normalization
) -> NDArray[np.float64]:
    """Return light, mean velocity and mean square velocity of the stars behind LOSVDs.

    The two are times the light, so that all three add up over components. Sorting stars into bins
    of width dv has added ``dv^2 / 12`` to the mean square of a smooth LOSVD, which is taken out
    again (Sheppard's correction); in the models, whose bins are filled evenly, it is there twice.

    Parameters
    ----------
    losvd : ndarray, shape (S, V, C)
        Histograms.
    vel_pix : ndarray, shape (V,)
        Bin centres in km/s, uniform.
    normalization : {"losvd", "unit"}
        See `normalized_losvd`; with ``unit`` the light is one wherever there is any.

    Returns
    -------
    ndarray, shape (3, S, C)
        Share of each component's light in each spaxel, the same times km/s, and times km^2/s^2.
    """
    step = float(vel_pix[1] - vel_pix[0]) if vel_pix.size > 1 else 0.0
    powers = np.stack([np.ones(vel_pix.size), vel_pix, vel_pix**2 - step**2 / 12.0])
    sums = np.stack([powers @ of_spaxel for of_spaxel in losvd], axis=1)
    if normalization == "losvd":
        return sums
    return np.asarray(np.divide(sums, sums[:1], out=np.zeros(sums.shape), where=sums[:1] > 0))


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
