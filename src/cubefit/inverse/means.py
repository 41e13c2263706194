"""What a solution says of each component: masses and mean population properties."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]


def component_masses(x: Float) -> Float:
    """Return the mass of each component, shape (C,), of ``x`` (C, P)."""
    return np.asarray(x.sum(axis=1))


def component_means(x: Float, values: Float) -> Float:
    """Return the mass-weighted mean of a template property in each component.

    Parameters
    ----------
    x : ndarray, shape (C, P)
        Weights.
    values : ndarray, shape (P,)
        The property of each template, say log10 age or [M/H].

    Returns
    -------
    ndarray, shape (C,)
        NaN for components without mass.
    """
    masses = component_masses(x)
    empty = np.full(masses.shape, np.nan)
    return np.asarray(np.divide(x @ values, masses, out=empty, where=masses > 0))
