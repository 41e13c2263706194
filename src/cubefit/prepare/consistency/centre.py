"""Whether the galaxy in the cube lies where that of the orbits does, within their bins."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import LinearNDInterpolator
from scipy.optimize import minimize

from cubefit.prepare.bin_matching import pixel_size

Float = NDArray[np.float64]
Int = NDArray[np.integer]

TOP: Final = 0.1
"""Part of the highest brightness of a bin from which on bins tell the centre."""
LEAST_BINS: Final = 4
"""That do so: a shift has two numbers, and the unit of light is a third."""
BESIDE_PX: Final = 0.7
"""Pixels by which two centres may differ without a word."""
BESIDE_BIN: Final = 0.5
"""And sizes of the brightest bins: inside of them nothing tells where the light is."""
BETTER: Final = 0.3
"""Part of the scatter that a shift must leave at most: populations scatter as well, and dust on
one side of a galaxy looks like a shift that does not explain all of it."""
EVEN: Final = 0.1
"""Scatter of ln(brightness) below which bins are alike and tell no centre."""
EVEN_IN_BINS: Final = 1e-9
"""Of the brightest pixel, by which pixels of a bin may differ to be the same."""
LEAST_SHARE: Final = 0.5
"""Of the pixels of a bin that must be known after a shift."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CentreOffset:
    """Where the galaxy of the cube lies beside that of the orbits."""

    ok: bool
    x: float
    """To be added to the centre of the cube; NaN where nothing tells it."""
    y: float
    scatter: float
    """Mean deviation of ln(brightness of the cube / of the orbits) as they are."""
    scatter_moved: float
    """The same with the cube moved."""


def centre_offset(of_bin: Float, light: Float, x: Float, y: Float, binnum: Int) -> CentreOffset:
    """Return by how much a cube must be moved for its bins to be as bright as those of the orbits.

    The light of the moved cube is averaged in each bin before it is compared: orbits know no more
    than that. Differences of brightness between bins tell shifts of parts of a pixel.

    Parameters
    ----------
    of_bin : ndarray, shape (S,)
        Light of the orbits in each bin.
    light, x, y : ndarray, shape (nPix,)
        Brightness of the cube's pixels, NaN where it is not known, and their positions.
    binnum : ndarray of int, shape (nPix,)
        Bin of each of them.

    Returns
    -------
    CentreOffset
        Not ``ok`` where the shift is larger than pixels and the brightest bins leave open, and
        makes both agree far better. Light that is even within bins, as of a cube that was binned
        before, tells nothing.
    """
    n_pixels = np.bincount(binnum, minlength=of_bin.size)
    model = np.divide(of_bin, n_pixels, out=np.zeros(of_bin.shape), where=n_pixels > 0)
    known = np.isfinite(light)
    shining = model >= TOP * model.max()
    nothing = CentreOffset(ok=True, x=math.nan, y=math.nan, scatter=math.nan, scatter_moved=0.0)
    places = np.column_stack((x, y))
    is_image = known.sum() > LEAST_BINS and np.linalg.matrix_rank(np.cov(places[known].T)) == 2
    if not is_image or not model.max() > 0:
        return nothing
    image = LinearNDInterpolator(places[known], light[known])
    inside = shining[binnum]
    bins, numbers = places[inside], binnum[inside]

    def ratios(shift: Float, values: Float | None = None) -> Float:
        """Return ln(cube / orbits) of the shining bins that are known."""
        found = image(bins + shift) if values is None else values
        there = np.isfinite(found)
        n_there = np.bincount(numbers[there], minlength=of_bin.size)
        sums = np.bincount(numbers[there], weights=found[there], minlength=of_bin.size)
        use = shining & (sums > 0) & (n_there >= LEAST_SHARE * n_pixels)
        return np.asarray(np.log(sums[use] / n_there[use] / model[use]))

    def scatter(shift: Float) -> float:
        found = ratios(shift)
        too_few = found.size < max(LEAST_BINS, LEAST_SHARE * as_it_is.size)
        return math.inf if too_few else _deviation(found)

    as_it_is = ratios(np.zeros(2), light[inside])
    brightness = np.log(model[shining])
    uneven = min(float(brightness.std()), float(_brightness(light[inside], numbers).std()))
    if as_it_is.size < LEAST_BINS or uneven < EVEN or _is_even_in_bins(light, binnum):
        return nothing
    pixel = pixel_size(x, y)
    found = minimize(
        scatter,
        np.zeros(2),
        method="Nelder-Mead",
        options={
            "initial_simplex": pixel * np.array([[0.0, 0.0], [1.5, 0.5], [-0.5, 1.5]]),
            "xatol": 0.03 * pixel,
            "fatol": 1e-4,
            "maxiter": 200,
        },
    )
    before, after = _deviation(as_it_is), float(found.fun)
    area = float(np.average(n_pixels[shining], weights=model[shining])) * pixel**2
    allowed = max(BESIDE_PX * pixel, BESIDE_BIN * math.sqrt(area))
    beside = math.hypot(*found.x) > allowed and after < BETTER * before
    return CentreOffset(
        ok=not beside,
        x=float(found.x[0]),
        y=float(found.x[1]),
        scatter=before,
        scatter_moved=after,
    )


def _is_even_in_bins(light: Float, binnum: Int) -> bool:
    """Return whether pixels of one bin, where there are several, have one brightness."""
    order = np.lexsort((light, binnum))
    same_bin = np.diff(binnum[order]) == 0
    steps = np.diff(light[order])[same_bin]
    return bool(
        steps.size and np.nanmax(np.abs(steps), initial=0.0) <= EVEN_IN_BINS * np.nanmax(light)
    )


def _deviation(values: Float) -> float:
    return float(np.abs(values - np.median(values)).mean())


def _brightness(light: Float, numbers: Int) -> Float:
    """Return ln(mean brightness) of the bins where it is positive."""
    known = np.isfinite(light)
    n_known = np.bincount(numbers[known])
    sums = np.bincount(numbers[known], weights=light[known])
    lit = sums > 0
    return np.asarray(np.log(sums[lit] / n_known[lit])) if lit.any() else np.zeros(1)
