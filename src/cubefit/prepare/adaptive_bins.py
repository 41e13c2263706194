"""Bins of even signal to noise where nobody gives a map: by the PowerBin package."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubefit.errors import ConfigError, DependencyError, InputError

Float = NDArray[np.float64]


def bin_signal_to_noise(
    signal: Float, noise: Float, *, covariance: float = 0.0
) -> Callable[[NDArray[np.integer]], float]:
    """Return what tells the S/N of the sum of some pixels; 0 where their sum is not positive.

    Parameters
    ----------
    signal, noise : ndarray, shape (nPix,)
        Of each pixel.
    covariance : float
        See `cubefit.prepare.binning.binned`.
    """

    def of(pixels: NDArray[np.integer]) -> float:
        total = max(float(signal[pixels].sum()), 0.0)
        sigma = math.sqrt(float(np.square(noise[pixels]).sum()))
        return total / (sigma * (1.0 + covariance * math.log10(max(len(pixels), 1))))

    return of


def signal_to_noise_of_bins(
    binnum: NDArray[np.integer], signal: Float, noise: Float, *, covariance: float = 0.0
) -> Float:
    """Return the S/N of each bin, shape (S,); 0 where its sum is not positive.

    Parameters
    ----------
    binnum : ndarray of int, shape (nPix,)
        Bin of each pixel, 0 to S - 1, each used; negative: in none.
    signal, noise, covariance
        See `bin_signal_to_noise`.
    """
    used = binnum >= 0
    bins = binnum[used]
    total = np.bincount(bins, signal[used])
    sigma = np.sqrt(np.bincount(bins, np.square(noise[used])))
    shared = 1.0 + covariance * np.log10(np.bincount(bins))
    return np.asarray(np.maximum(total, 0.0) / (sigma * shared))


def power_bins(
    x: Float,
    y: Float,
    signal: Float,
    noise: Float,
    target_sn: float,
    *,
    covariance: float = 0.0,
    pixels: NDArray[np.bool_] | None = None,
) -> NDArray[np.int32]:
    """Return bins of about even signal to noise, as the PowerBin package makes them.

    PowerBin (Cappellari 2025, MNRAS 544, 1432) is free for non-commercial use, and is not part of
    this package. It superseded VorBin, by the same author. Where all pixels together are too
    little for two bins they are one; where each has the target, each is one.

    Parameters
    ----------
    x, y : ndarray, shape (nPix,)
        Positions of the pixels.
    signal, noise : ndarray, shape (nPix,)
        Of each, see `cubefit.prepare.selection.white_light`.
    target_sn : float
        S/N of a bin, per wavelength pixel.
    covariance : float
        Noise of N summed pixels is ``1 + covariance * log10 N`` larger.
    pixels : ndarray of bool, shape (nPix,), optional
        Which to use. Default all.

    Returns
    -------
    ndarray of int32, shape (nPix,)
        Bin of each pixel, 0 to S - 1; -1 where it is not used.

    Raises
    ------
    DependencyError
        If PowerBin is not installed.
    InputError
        If pixels to use have no signal or noise, or reach the target together in no bin.
    ConfigError
        If the target is not positive.
    """
    if not 0 < target_sn < math.inf:
        raise ConfigError(f"target_sn={target_sn}: must be a positive number.")
    used = np.flatnonzero(np.ones(x.size, np.bool_) if pixels is None else pixels)
    signal_used, noise_used = signal[used], noise[used]
    wrong = ~(np.isfinite(signal_used) & np.isfinite(noise_used) & (noise_used > 0))
    if wrong.any():
        raise InputError(
            f"{int(wrong.sum())} pixels to bin have no finite signal or no positive noise, the "
            f"first is pixel {used[wrong][0]}: leave them out of pixels."
        )
    sn_of = bin_signal_to_noise(signal_used, noise_used, covariance=covariance)
    reached = sn_of(np.arange(used.size)) if used.size else 0.0
    if reached < target_sn:
        raise InputError(
            f"All {used.size} pixels together have an S/N of {reached:.3g}, less than "
            f"target_sn={target_sn:g}: lower it, use more pixels, or leave out very noisy ones."
        )
    binnum = np.full(x.size, -1, np.int32)
    power_bin = _power_bin_class()
    # What needs no choice is refused by the package: light for one bin alone, or for all of them.
    if reached**2 < 2.0 * target_sn**2:
        binnum[used] = 0
        return binnum
    if (signal_used > target_sn * noise_used).all():
        binnum[used] = np.arange(used.size)
        return binnum
    with warnings.catch_warnings():
        # It states the scatter of the bins of many pixels even where there are none.
        for message in ("Degrees of freedom", "invalid value", "Mean of empty slice"):
            warnings.filterwarnings("ignore", message, RuntimeWarning)
        found = power_bin(
            np.column_stack((x[used], y[used])),
            lambda members: sn_of(members) ** 2,
            float(target_sn) ** 2,
            verbose=0,
        )
    # The package may leave numbers out where a bin has lost all its pixels.
    binnum[used] = np.unique(np.asarray(found.bin_num), return_inverse=True)[1]
    return binnum


def require_power_bin() -> None:
    """Raise DependencyError if PowerBin is not installed."""
    _power_bin_class()


def _power_bin_class() -> Any:
    try:
        return import_module("powerbin").PowerBin
    except ImportError as error:
        raise DependencyError(
            "Binning without a map needs PowerBin (free for non-commercial use), which is not "
            'installed. Run: pip install "cubefit[binning]". Or give a map of bins.'
        ) from error
