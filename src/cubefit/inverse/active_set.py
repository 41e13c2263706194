"""Small non-negative least squares from a Gram matrix, starting from a guess of the answer."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, cholesky, solve_triangular
from scipy.optimize import nnls

from cubefit.inverse.operators import Float

RIDGE: Final = 1e-14
"""Added to the unit diagonal, so that columns that repeat each other leave a factor."""
MOST_EXCHANGES: Final = 100
PATIENCE: Final = 3
"""Full exchanges without progress before the method is left for the one that cannot cycle."""


def solve_on(gram: Float, target: Float, support: NDArray[np.bool_]) -> Float:
    """Return the unconstrained minimum over a support, zero elsewhere, refined once."""
    x = np.zeros(target.size)
    here = np.flatnonzero(support)
    if not here.size:
        return x
    part = gram[np.ix_(here, here)]
    ridged = part.copy()
    ridged[np.diag_indices(here.size)] += RIDGE * here.size
    factor = cho_factor(ridged, lower=True, overwrite_a=True, check_finite=False)
    solution = cho_solve(factor, target[here], check_finite=False)
    solution += cho_solve(factor, target[here] - part @ solution, check_finite=False)
    x[here] = solution
    return x


def exchange(
    gram: Float, target: Float, support: NDArray[np.bool_], tolerance: float
) -> Float | None:
    """Exchange all columns of wrong sign at once until none is left; None if that goes in circles.

    Block principal pivoting: Kim & Park 2011, SIAM J. Sci. Comput. 33, 3261.
    """
    fewest, left = target.size + 1, PATIENCE
    for _ in range(MOST_EXCHANGES):
        try:
            x = solve_on(gram, target, support)
        except np.linalg.LinAlgError:
            return None
        wrong = (support & (x < 0)) | (~support & (gram @ x - target < -tolerance))
        n_wrong = int(wrong.sum())
        if n_wrong == 0:
            return x
        if n_wrong < fewest:
            fewest, left = n_wrong, PATIENCE
        elif left == 0:
            return None
        else:
            left -= 1
        support = support ^ wrong
    return None


def by_library(gram: Float, target: Float) -> Float | None:
    """Return the answer of SciPy's NNLS on a factor of the Gram matrix; None if it has none."""
    ridge = RIDGE * target.size
    while True:
        try:
            factor = cholesky(gram + ridge * np.eye(target.size), check_finite=False)
            break
        except np.linalg.LinAlgError:
            ridge *= 10.0
    data = solve_triangular(factor, target, trans="T", check_finite=False)
    try:
        return np.asarray(nnls(factor, data, maxiter=30 * target.size)[0])
    except RuntimeError:  # it goes in circles, too
        return None


def nnls_gram(gram: Float, target: Float, guess: Float, *, tolerance: float = 0.0) -> Float:
    """Return the minimum of ``x . gram x / 2 - target . x`` over ``x >= 0``.

    Parameters
    ----------
    gram : ndarray, shape (n, n)
        Positive semi-definite, with ones on its diagonal (or zeros, for columns without light).
    target : ndarray, shape (n,)
    guess : ndarray, shape (n,)
        A guess of the answer; where it is above zero counts.
    tolerance : float
        Gradients above minus this count as zero.

    Returns
    -------
    ndarray, shape (n,)
    """
    x = exchange(gram, target, guess > 0, tolerance)
    if x is None:
        x = by_library(gram, target)
        if x is None:
            return np.maximum(guess, 0.0)
        polished = exchange(gram, target, x > 0, tolerance)
        x = x if polished is None else polished
    return np.maximum(x, 0.0)
