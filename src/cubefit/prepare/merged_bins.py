"""Bins of an orbit library merged until each has the signal to noise that populations need."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cubefit.errors import InputError
from cubefit.prepare.adaptive_bins import power_bins, signal_to_noise_of_bins
from cubefit.prepare.binning import MIN_SHARE, bins_with_light
from cubefit.prepare.selection import WhiteLight

Float = NDArray[np.float64]
Int = NDArray[np.integer]


def merge_bins(
    binnum: Int,
    x: Float,
    y: Float,
    light: WhiteLight,
    target_sn: float,
    *,
    covariance: float = 0.0,
    min_share: float = MIN_SHARE,
    pixels: NDArray[np.bool_] | None = None,
) -> NDArray[np.int32]:
    """Return the new bin of each bin: those merge whose pixels lie in one bin of `power_bins`.

    A bin is never divided: its LOSVDs are those of the whole. It goes where most of its pixels
    are, so that bins of single pixels come out as `power_bins` makes them; of larger ones some
    stay below the target, and some that have it get a neighbour all the same. Where all have it
    nothing changes.

    Parameters
    ----------
    binnum : ndarray of int, shape (nPix,)
        Bin of each pixel, 0 to S - 1, each used; negative: in no bin.
    x, y : ndarray, shape (nPix,)
        Positions of the pixels.
    light : WhiteLight
        Of them.
    target_sn : float
        S/N of a new bin, per wavelength pixel of the cube.
    covariance, min_share : float
        See `cubefit.prepare.binning.binned`: bins of less light are left out.
    pixels : ndarray of bool, shape (nPix,), optional
        Which to use. Default all.

    Returns
    -------
    ndarray of int32, shape (S,)
        New bin of each bin, from 0; -1 where it is left out.

    Raises
    ------
    DependencyError
        If PowerBin is not installed.
    InputError
        If the cube has no noise, no bin has light enough, or all together miss the target.
    ConfigError
        If the target is not positive.
    """
    if not np.isfinite(light.noise).any():
        raise InputError(f"target_sn={target_sn:g}, but the cube has no noise: give it.")
    use = (binnum >= 0) & np.isfinite(light.signal) & (light.noise > 0)
    if pixels is not None:
        use &= pixels
    kept = bins_with_light(binnum, use, light.signal, min_share=min_share)
    use[binnum >= 0] &= kept[binnum[binnum >= 0]]
    if not use.any():
        raise InputError("No bin has light that can be used: lower min_share, or use more pixels.")
    kept_bins = np.flatnonzero(kept)
    own = np.where(use, np.searchsorted(kept_bins, binnum), -1)
    merged = np.full(kept.size, -1, np.int32)
    reached = signal_to_noise_of_bins(own, light.signal, light.noise, covariance=covariance)
    if 0 < target_sn <= reached.min():
        merged[kept_bins] = np.arange(kept_bins.size)
        return merged
    found = power_bins(
        x, y, light.signal, light.noise, target_sn, covariance=covariance, pixels=use
    )
    pairs, counts = np.unique(
        np.column_stack((binnum[use], found[use])), axis=0, return_counts=True
    )
    most_first = pairs[np.lexsort((-counts, pairs[:, 0]))]
    old, first = np.unique(most_first[:, 0], return_index=True)
    merged[old] = np.unique(most_first[first, 1], return_inverse=True)[1]
    return merged
