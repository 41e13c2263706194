"""What all that is drawn shares, on paper and on the page: colours and limits of axes."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

DATA_COLOUR: Final = "black"
MODEL_COLOUR: Final = "#D55E00"
"""Vermilion of Okabe & Ito: apart from black for everyone, in print too."""

POINT_COLOUR: Final = "#0072B2"


def unused_ranges(
    edges: NDArray[np.float64], used: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return where the runs of unused pixels begin and end.

    Parameters
    ----------
    edges : ndarray, shape (L + 1,)
        Pixel edges.
    used : ndarray of bool, shape (L,)

    Returns
    -------
    left, right : ndarray, shape (n,)
    """
    steps = np.diff(np.concatenate([[0], (~used).astype(np.int8), [0]]))
    return edges[np.flatnonzero(steps > 0)], edges[np.flatnonzero(steps < 0)]


def extent(values: ArrayLike) -> tuple[float, float] | None:
    """Return the least and the largest finite value, or None where there are none."""
    array = np.asarray(values, np.float64)
    finite = array[np.isfinite(array)]
    return (float(finite.min()), float(finite.max())) if finite.size else None


def limits(values: ArrayLike) -> tuple[float, float] | None:
    """Return axis limits with some room around all finite values, or None without any."""
    found = extent(values)
    if found is None:
        return None
    low, high = found
    room = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
    return low - room, high + room


def log_limits(values: ArrayLike, *, decades: float) -> tuple[float, float] | None:
    """Return log axis limits for the positive values, at most so many ``decades`` down."""
    array = np.asarray(values, np.float64)
    positive = array[np.isfinite(array) & (array > 0)]
    if not positive.size:
        return None
    high = float(positive.max())
    low = max(float(positive.min()), high * 10.0**-decades)
    return low / 1.6, high * 1.6
