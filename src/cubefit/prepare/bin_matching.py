"""The bins of one list of pixels found for another: cube and orbit library, by position."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cubefit.errors import ConfigError, InputError
from cubefit.prepare.binning import bin_matrix

Float = NDArray[np.float64]
Positions = Callable[[Float, Float], tuple[Float, Float]]

MIRRORED: Final[dict[str, Positions]] = {
    "x mirrored": lambda x, y: (-x, y),
    "y mirrored": lambda x, y: (x, -y),
    "turned by 180 degrees": lambda x, y: (-x, -y),
    "x and y swapped": lambda x, y: (y, x),
}
"""What else positions may have been meant to be."""

HALF_A_PIXEL: Final = 0.5 * (1.0 + 1e-6)
"""With room for rounding."""


def pixel_size(x: Float, y: Float) -> float:
    """Return the median distance of a pixel's nearest neighbour.

    Parameters
    ----------
    x, y : ndarray, shape (n,)
        Positions of two or more pixels.
    """
    places = np.column_stack((x, y))
    return float(np.median(cKDTree(places).query(places, k=2)[0][:, 1]))


def bin_of_pixels(
    x: Float,
    y: Float,
    x_bins: Float,
    y_bins: Float,
    binnum: NDArray[np.integer],
    *,
    tolerance: float | None = None,
) -> NDArray[np.int32]:
    """Return the bin of each pixel of a cube, from a bin map on pixels of its own.

    Parameters
    ----------
    x, y : ndarray, shape (nPix,)
        Positions of the cube's pixels.
    x_bins, y_bins : ndarray, shape (n,)
        Positions of the map's pixels, same unit, centre and orientation.
    binnum : ndarray of int, shape (n,)
        Bin of each of these, 0 to S - 1, each used; negative: in no bin.
    tolerance : float, optional
        Largest distance between the two positions of one pixel along either axis. Default half a
        pixel of the map.

    Returns
    -------
    ndarray of int32, shape (nPix,)
        Bin of the nearest pixel of the map; -1 where that is in no bin, or too far.

    Raises
    ------
    InputError
        If the map's arrays do not fit together, or bins end up without a pixel of the cube.
    ConfigError
        If the tolerance is not positive.
    """
    n_bins = bin_matrix(binnum).shape[0]
    _require_positions("x, y", x, y, x.size)
    _require_positions("x_bins, y_bins", x_bins, y_bins, binnum.size)
    if tolerance is None:
        if binnum.size < 2:
            raise InputError("A bin map of one pixel does not tell its size: give the tolerance.")
        tolerance = HALF_A_PIXEL * pixel_size(x_bins, y_bins)
    elif not 0 < tolerance < math.inf:
        raise ConfigError(f"tolerance={tolerance}: must be a positive distance.")
    found = _matched(x, y, x_bins, y_bins, binnum, tolerance)
    empty = _empty(found, n_bins)
    if empty.size:
        raise InputError(
            f"{empty.size} of {n_bins} bins have no pixel of the cube within {tolerance:.3g} (the "
            f"first is bin {empty[0]}). The cube spans {_span(x, y)}, the bins "
            f"{_span(x_bins, y_bins)}. {_mend(x, y, x_bins, y_bins, binnum, tolerance)}"
        )
    return found


def _matched(
    x: Float, y: Float, x_bins: Float, y_bins: Float, binnum: NDArray[np.integer], tolerance: float
) -> NDArray[np.int32]:
    tree = cKDTree(np.column_stack((x_bins, y_bins)))
    # Pixels are squares: the larger of both distances, or finer pixels in corners fall through.
    places = np.column_stack((x, y))
    distance, nearest = tree.query(places, p=np.inf, distance_upper_bound=2.0 * tolerance)
    near = distance <= tolerance
    found = np.full(x.size, -1, np.int32)
    found[near] = np.maximum(binnum[nearest[near]], -1)
    return found


def _empty(found: NDArray[np.int32], n_bins: int) -> NDArray[np.intp]:
    return np.flatnonzero(np.bincount(found[found >= 0], minlength=n_bins) == 0)


def _mend(
    x: Float, y: Float, x_bins: Float, y_bins: Float, binnum: NDArray[np.integer], tolerance: float
) -> str:
    """Return what would bring the two together, as far as positions tell."""
    n_bins = int(binnum.max()) + 1
    for name, turned in MIRRORED.items():
        if not _empty(_matched(*turned(x, y), x_bins, y_bins, binnum, tolerance), n_bins).size:
            return f"All bins have pixels after this change of the cube: {name}. Do it to one."
    used = binnum >= 0
    shift = [
        0.5 * float(of_bins[used].max() + of_bins[used].min() - of_cube.max() - of_cube.min())
        for of_cube, of_bins in ((x, x_bins), (y, y_bins))
    ]
    moved = _matched(x + shift[0], y + shift[1], x_bins, y_bins, binnum, tolerance)
    if not _empty(moved, n_bins).size:
        return (
            f"With the cube moved by ({shift[0]:.3g}, {shift[1]:.3g}) all bins have pixels: give "
            "the galaxy's centre in the cube, or a bin map of the same centre."
        )
    return (
        "Give the galaxy's centre in the cube and the same orientation for both, or a larger "
        "tolerance if the map's pixels are smaller than the cube's."
    )


def _span(x: Float, y: Float) -> str:
    return f"x {x.min():.4g} to {x.max():.4g} and y {y.min():.4g} to {y.max():.4g}"


def _require_positions(name: str, x: Float, y: Float, size: int) -> None:
    if x.shape != (size,) or y.shape != (size,) or not size:
        raise InputError(f"{name} have shapes {x.shape}, {y.shape}: give one value for each pixel.")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise InputError(f"{name} hold values that are not finite: give a position for each pixel.")
