"""What a solution says of components and spaxels: masses, and moments of population properties.

Weights ``x`` are (C, P) of any kind, in template units, light or mass. What component c has of
population p in spaxel s is ``share[s,c] x[c,p]``: sums over c and p are matrix products, and
nothing of size S*C*P is made.
"""

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
    return _ratio(x @ values, component_masses(x))


def component_scatters(x: Float, values: Float) -> Float:
    """Return the mass-weighted standard deviation of a template property in each component.

    Parameters
    ----------
    x : ndarray, shape (C, P)
        Weights, at least 0.
    values : ndarray, shape (P,)
        The property of each template.

    Returns
    -------
    ndarray, shape (C,)
        NaN for components without mass. Exact to about 1e-8 of the range of ``values``.
    """
    return _scatter(component_masses(x), *_moments(x, values))


def spaxel_masses(share: Float, x: Float) -> Float:
    """Return the mass in each spaxel, ``sum_cp share[s,c] x[c,p]``.

    Parameters
    ----------
    share : ndarray, shape (S, C)
        Share of component c that falls in spaxel s.
    x : ndarray, shape (C, P)
        Weights.

    Returns
    -------
    ndarray, shape (S,)
    """
    return np.asarray(share @ component_masses(x))


def spaxel_means(share: Float, x: Float, values: Float) -> Float:
    """Return the mass-weighted mean of a template property in each spaxel.

    Parameters
    ----------
    share : ndarray, shape (S, C)
        Share of component c that falls in spaxel s.
    x : ndarray, shape (C, P)
        Weights.
    values : ndarray, shape (P,)
        The property of each template.

    Returns
    -------
    ndarray, shape (S,)
        NaN for spaxels without mass.
    """
    return _ratio(share @ (x @ values), spaxel_masses(share, x))


def spaxel_scatters(share: Float, x: Float, values: Float) -> Float:
    """Return the mass-weighted standard deviation of a template property in each spaxel.

    Parameters
    ----------
    share : ndarray, shape (S, C)
        Share of component c that falls in spaxel s.
    x : ndarray, shape (C, P)
        Weights, at least 0.
    values : ndarray, shape (P,)
        The property of each template.

    Returns
    -------
    ndarray, shape (S,)
        NaN for spaxels without mass. Exact to about 1e-8 of the range of ``values``.
    """
    first, second = _moments(x, values)
    return _scatter(spaxel_masses(share, x), share @ first, share @ second)


def spaxel_velocities(moments: Float, x: Float) -> tuple[Float, Float]:
    """Return mean and dispersion of the line-of-sight velocity in each spaxel, mass-weighted.

    They are moments of the whole distribution, wings included, not parameters of a Gaussian.

    Parameters
    ----------
    moments : ndarray, shape (3, S, C)
        See `cubefit.spectra.losvd.losvd_moments`.
    x : ndarray, shape (C, P)
        Weights, at least 0.

    Returns
    -------
    tuple of ndarray, shapes (S,)
        Mean and standard deviation in km/s; NaN for spaxels without mass. Distributions narrower
        than a velocity bin have a standard deviation of zero.
    """
    total, first, second = moments @ component_masses(x)
    return _ratio(first, total), _scatter(total, first, second)


def _moments(x: Float, values: Float) -> tuple[Float, Float]:
    """Return the sums over populations of the centred property and of its square, (C,) each."""
    # Centred, for far from zero the difference of the moments would drown in rounding.
    centred = values - values.mean()
    return x @ centred, x @ centred**2


def _scatter(masses: Float, first: Float, second: Float) -> Float:
    variance = _ratio(second, masses) - _ratio(first, masses) ** 2
    return np.asarray(np.sqrt(np.maximum(variance, 0.0)))


def _ratio(sums: Float, masses: Float) -> Float:
    """Return ``sums / masses``, NaN where there is no mass."""
    empty = np.full(masses.shape, np.nan)
    return np.asarray(np.divide(sums, masses, out=empty, where=masses > 0))
