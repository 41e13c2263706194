"""Residuals in a unit that tells how good a fit is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def scaled_residual(
    data: NDArray[np.floating],
    model: NDArray[np.floating],
    noise: NDArray[np.floating] | None,
    used: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Return data - model in units of the noise, or in percent of the model without it.

    Parameters
    ----------
    data, model : ndarray
        Of one shape.
    noise : ndarray, optional
        One sigma.
    used : ndarray of bool
        True where the fit uses the pixel.

    Returns
    -------
    ndarray
        NaN in unused pixels, and in those where the model holds no light to compare with.
    """
    reference = 0.01 * model if noise is None else noise
    residual = np.full(data.shape, np.nan)
    usable = used & (reference != 0)
    np.subtract(data, model, out=residual, where=usable)
    np.divide(residual, reference, out=residual, where=usable)
    return residual
