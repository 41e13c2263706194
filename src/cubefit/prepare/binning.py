"""Pixels of a cube summed into bins, a piece of wavelengths at a time."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array

from cubefit.errors import ConfigError, InputError
from cubefit.prepare.blocks import CubeBlock
from cubefit.prepare.spectra import Spectra

Float = NDArray[np.float64]
Int = NDArray[np.integer]

COLUMNS_AT_ONCE: Final = 64
"""Wavelengths that are in float64 at once: 50 MB for a MUSE field."""

MIN_SHARE: Final = 0.75
"""Light of a bin that its good pixels must hold at a wavelength."""

SHARE_ROUNDING: Final = 1e-9
"""Relative; a share that is only by rounding below the limit passes."""


def binned(
    blocks: Iterable[CubeBlock],
    binnum: Int,
    wave_edges: Float,
    medium: str,
    *,
    covariance: float = 0.0,
    min_share: float = MIN_SHARE,
    light: Float | None = None,
) -> Spectra:
    """Return the sum of the pixels of each bin.

    The noise is ``sqrt(sum sigma^2) * (1 + covariance * log10 N)`` for N good pixels: drizzled
    pixels share noise (Garcia-Benito et al. 2015, A&A 576, A135; the default 0 takes them as
    independent). Where some pixels of a bin are masked, sum and noise of the good ones are divided
    by the share of the bin's light that they hold, so that the amplitude stays that of the whole
    bin; the voxel is masked where that share is below ``min_share``. With nothing masked the sum
    is exact. What masked voxels hold does not matter.

    Parameters
    ----------
    blocks : iterable of CubeBlock
        The cube, each wavelength once, in order.
    binnum : ndarray of int, shape (nPix,)
        Bin of each pixel, 0 to S - 1, each used; negative: in no bin.
    wave_edges : ndarray, shape (L + 1,)
        Pixel edges of the cube in Angstrom.
    medium : {"air", "vacuum"}
        Of these.
    covariance : float
        nGIST's and CALIFA's kappa, at least 0.
    min_share : float
        Above 0, at most 1.
    light : ndarray, shape (nPix,), optional
        Brightness of each pixel by which shares are counted, as `white_light` finds it. What is
        negative counts as zero. Pixels whose light is NaN (dead at all wavelengths) are taken to
        be as bright as the others of their bin on average. Without it all pixels of a bin count
        evenly, dead ones too.

    Returns
    -------
    Spectra
        Flux and noise are zero where masked.

    Raises
    ------
    ConfigError
        If a setting is out of range.
    InputError
        If a bin is empty, the blocks are not the whole cube in order, or good voxels hold no
        numbers.
    """
    if not 0 <= covariance < math.inf:
        raise ConfigError(f"covariance={covariance}: must be a finite number, 0 or more.")
    if not 0 < min_share <= 1:
        raise ConfigError(f"min_share={min_share}: must lie above 0 and at most at 1.")
    bins = _Bins.of(binnum, light, covariance, min_share)
    shape = (bins.members.shape[0], wave_edges.size - 1)
    flux, noise, mask = np.zeros(shape), np.zeros(shape), np.zeros(shape, np.bool_)
    done = 0
    for block in blocks:
        _require_next(block, done, shape[1], binnum.size)
        for start in range(0, block.flux.shape[1], COLUMNS_AT_ONCE):
            part = slice(start, min(start + COLUMNS_AT_ONCE, block.flux.shape[1]))
            there = slice(done + part.start, done + part.stop)
            flux[:, there], noise[:, there], mask[:, there] = bins.summed(
                block.flux[:, part], block.noise[:, part], block.mask[:, part]
            )
        done = block.wave.stop
    if done != shape[1]:
        raise InputError(f"The blocks end after {done} of {shape[1]} wavelengths: give them all.")
    return Spectra(flux=flux, noise=noise, mask=mask, wave_edges=wave_edges, medium=medium)


def bin_matrix(binnum: Int) -> csr_array:
    """Return the matrix (S, nPix) of ones that sums pixels into bins.

    Raises
    ------
    InputError
        If there is no bin, or one of 0 to S - 1 has no pixel.
    """
    binnum = np.asarray(binnum)
    if binnum.ndim != 1 or not np.issubdtype(binnum.dtype, np.integer):
        raise InputError(
            f"binnum is {binnum.dtype} of shape {binnum.shape}: give one integer for each pixel."
        )
    pixels = np.flatnonzero(binnum >= 0)
    if not pixels.size:
        raise InputError("binnum puts no pixel into a bin: all are negative.")
    counts = np.bincount(binnum[pixels])
    empty = np.flatnonzero(counts == 0)
    if empty.size:
        raise InputError(
            f"{empty.size} of {counts.size} bins have no pixel, the first is bin {empty[0]}: "
            "number the bins 0, 1, 2 ... without gaps."
        )
    return csr_array(
        (np.ones(pixels.size), (binnum[pixels], pixels)), shape=(counts.size, binnum.size)
    )


def bin_centres(x: Float, y: Float, binnum: Int, light: Float | None = None) -> tuple[Float, Float]:
    """Return the mean position of each bin.

    Parameters
    ----------
    x, y : ndarray, shape (nPix,)
        Positions of the pixels.
    binnum : ndarray of int, shape (nPix,)
        Bin of each pixel, negative: in none.
    light : ndarray, shape (nPix,), optional
        Weights, as in `binned`. Default even ones.

    Returns
    -------
    tuple of ndarray, shapes (S,)
        x, y.
    """
    members = bin_matrix(binnum)
    weights = _pixel_weights(members, light)
    total = members @ weights
    return members @ (weights * x) / total, members @ (weights * y) / total


def bins_with_light(
    binnum: Int, good: NDArray[np.bool_], light: Float, *, min_share: float = MIN_SHARE
) -> NDArray[np.bool_]:
    """Return which bins keep ``min_share`` of their light in the good pixels, shape (S,).

    Parameters
    ----------
    binnum, light, min_share
        As in `binned`.
    good : ndarray of bool, shape (nPix,)
        Which pixels can be used.
    """
    bins = _Bins.of(binnum, light, 0.0, min_share)
    return bins.kept(good.astype(np.float64)[:, None])[2][:, 0]


def with_dead_pixels_lit(binnum: Int, light: Float) -> Float:
    """Return light whose dead pixels are as bright as the others of their bin, shape (nPix,).

    Parameters
    ----------
    binnum : ndarray of int, shape (nPix,)
        Bin of each pixel, negative: in none.
    light : ndarray, shape (nPix,)
        As in `binned`; what is negative counts as zero for the others.

    Returns
    -------
    ndarray
        NaN for dead pixels in no bin, and in bins of nothing else.
    """
    members = bin_matrix(binnum)
    _, n_known, total = _known_light(members, light)
    mean = np.divide(total, n_known, out=np.full(total.shape, np.nan), where=n_known > 0)
    dead = (binnum >= 0) & ~np.isfinite(light)
    return np.where(dead, members.T @ mean, light)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bins:
    members: csr_array
    """Ones, shape (S, nPix)."""
    shares: csr_array
    """Of a pixel in the light of its bin, shape (S, nPix)."""
    n_pixels: Float
    """In each bin, shape (S, 1)."""
    covariance: float
    min_share: float

    @classmethod
    def of(cls, binnum: Int, light: Float | None, covariance: float, min_share: float) -> Self:
        members = bin_matrix(binnum)
        weights = _pixel_weights(members, light)
        shares = diags_array(1.0 / (members @ weights)) @ members @ diags_array(weights)
        return cls(
            members=members,
            shares=csr_array(shares),
            n_pixels=np.asarray(members.sum(axis=1), np.float64)[:, None],
            covariance=covariance,
            min_share=min_share,
        )

    def summed(
        self, flux: NDArray[np.float32], noise: NDArray[np.float32], good: NDArray[np.bool_]
    ) -> tuple[Float, Float, NDArray[np.bool_]]:
        """Return flux, noise and mask (S, n) of some wavelengths (nPix, n)."""
        is_good = good.astype(np.float64)
        n_good, share, mask = self.kept(is_good)
        scale = np.divide(1.0, share, out=np.zeros(share.shape), where=mask)
        total = self.members @ np.where(good, flux, 0.0).astype(np.float64)
        variance = self.members @ np.where(good, noise, 0.0).astype(np.float64) ** 2
        shared_noise = 1.0 + self.covariance * np.log10(np.maximum(n_good, 1.0))
        noise_of_bin = np.where(mask, np.sqrt(variance) * shared_noise * scale, 0.0)
        return np.where(mask, total * scale, 0.0), noise_of_bin, mask

    def kept(self, is_good: Float) -> tuple[Float, Float, NDArray[np.bool_]]:
        """Return number of good pixels, their share of the light, where it is enough: (S, n)."""
        n_good = self.members @ is_good
        share = np.where(n_good == self.n_pixels, 1.0, self.shares @ is_good)
        return n_good, share, (n_good > 0) & (share >= self.min_share * (1.0 - SHARE_ROUNDING))


def _pixel_weights(members: csr_array, light: Float | None) -> Float:
    """Return weights (nPix,) that are not all zero in any bin."""
    n_bins, n_pixels = members.shape
    if light is None:
        return np.ones(n_pixels)
    if light.shape != (n_pixels,):
        raise InputError(f"light has shape {light.shape}, but there are {n_pixels} pixels.")
    weights, n_known, total = _known_light(members, light)
    # In a bin without any positive light all pixels count evenly.
    mean = np.divide(total, n_known, out=np.ones(n_bins), where=total > 0)
    of_pixel = members.T @ mean
    dark = members.T @ (total <= 0).astype(np.float64) > 0
    return np.asarray(np.where(dark | ~np.isfinite(light), of_pixel, weights))


def _known_light(members: csr_array, light: Float) -> tuple[Float, Float, Float]:
    """Return the light of pixels that are not dead, and their number and light in each bin."""
    known = np.isfinite(light)
    weights = np.maximum(light, 0.0, where=known, out=np.zeros(light.size))
    return weights, members @ known.astype(np.float64), members @ weights


def _require_next(block: CubeBlock, done: int, n_wave: int, n_pixels: int) -> None:
    if block.flux.shape[0] != n_pixels:
        raise InputError(
            f"The cube has {block.flux.shape[0]} pixels, but binnum is of {n_pixels}: give the bin "
            "of each pixel of this cube."
        )
    if block.wave.start != done or block.wave.stop > n_wave:
        raise InputError(
            f"A block is of wavelengths {block.wave.start} to {block.wave.stop}, where {done} "
            f"comes next of {n_wave}: give the blocks of one cube in order."
        )
