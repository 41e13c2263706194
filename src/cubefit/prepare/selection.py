"""Which pixels of a cube to use: their white light, and cuts in signal to noise and place."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cubefit.errors import ConfigError, InputError
from cubefit.prepare.blocks import CubeBlock

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class WhiteLight:
    """What each pixel of a cube is like over a range of wavelengths; shapes (nPix,)."""

    signal: Float
    """Mean flux of its good voxels; NaN without any (a dead pixel)."""
    noise: Float
    """Mean noise of its good voxels: that of one voxel, not of the mean; NaN without any."""
    good_share: Float
    """Of its voxels that are good, 0 to 1."""

    @property
    def signal_to_noise(self) -> Float:
        """Per wavelength pixel; NaN where not known."""
        found = np.full(self.signal.shape, np.nan)
        np.divide(self.signal, self.noise, out=found, where=self.noise > 0)
        return found

    def of(self, pixels: Bool) -> WhiteLight:
        """Return that of some pixels, shapes (n,)."""
        return WhiteLight(
            signal=self.signal[pixels],
            noise=self.noise[pixels],
            good_share=self.good_share[pixels],
        )

    def without(self, pixels: Bool) -> WhiteLight:
        """Return it with some pixels dead."""
        return WhiteLight(
            signal=np.where(pixels, np.nan, self.signal),
            noise=np.where(pixels, np.nan, self.noise),
            good_share=np.where(pixels, 0.0, self.good_share),
        )


def white_light(
    blocks: Iterable[CubeBlock], wave: Float, wave_range: tuple[float, float] | None = None
) -> WhiteLight:
    """Return mean flux and noise of each pixel over its good voxels.

    Parameters
    ----------
    blocks : iterable of CubeBlock
        The cube, in order.
    wave : ndarray, shape (L,)
        Pixel centres in Angstrom.
    wave_range : tuple of float, optional
        Lowest and highest of these to count. Default all.

    Returns
    -------
    WhiteLight

    Raises
    ------
    InputError
        If no wavelength is in the range.
    """
    low, high = wave_range if wave_range is not None else (-math.inf, math.inf)
    inside = (wave >= low) & (wave <= high)
    if not inside.any():
        raise InputError(
            f"wave_range={wave_range} holds no pixel of the cube, which covers {wave[0]:.1f}-"
            f"{wave[-1]:.1f} A: give a range inside."
        )
    sums: Float | None = None
    for block in blocks:
        columns = inside[block.wave]
        found = _sums(block, columns)
        sums = found if sums is None else sums + found
    if sums is None:
        raise InputError("The cube has no blocks: give those of a whole cube.")
    n_good, flux, noise = sums
    lit = n_good > 0
    dead = np.full(n_good.shape, np.nan)
    return WhiteLight(
        signal=np.divide(flux, n_good, out=dead.copy(), where=lit),
        noise=np.divide(noise, n_good, out=dead.copy(), where=lit),
        good_share=n_good / int(inside.sum()),
    )


def _sums(block: CubeBlock, columns: Bool) -> Float:
    """Return number, flux and noise of the good voxels of each pixel, shape (3, nPix)."""
    good = block.mask & columns
    return np.stack(
        (
            good.sum(axis=1, dtype=np.float64),
            block.flux.sum(axis=1, dtype=np.float64, where=good),
            block.noise.sum(axis=1, dtype=np.float64, where=good),
        )
    )


def select_pixels(
    light: WhiteLight,
    x: Float,
    y: Float,
    *,
    min_sn: float = 0.0,
    min_good_share: float = 0.0,
    radius: float | None = None,
    inside: Bool | None = None,
) -> Bool:
    """Return which pixels to use: never a dead one.

    Parameters
    ----------
    light : WhiteLight
        Of the cube.
    x, y : ndarray, shape (nPix,)
        Positions, zero at the galaxy's centre.
    min_sn : float
        Signal to noise per wavelength pixel; 0 takes all, with negative signal too.
    min_good_share : float
        Share of good voxels, 0 to 1.
    radius : float, optional
        Largest distance from the centre, in the unit of x and y.
    inside : ndarray of bool, shape (nPix,), optional
        Any other choice, True = use.

    Returns
    -------
    ndarray of bool, shape (nPix,)

    Raises
    ------
    ConfigError
        If a setting is out of range.
    InputError
        If arrays do not fit, the cube has no noise to cut by, or no pixel is left.
    """
    _require_cuts(min_sn, min_good_share, radius)
    chosen = np.isfinite(light.signal) & (light.good_share >= min_good_share)
    for name, array in (("x", x), ("y", y), ("inside", inside)):
        if array is not None and array.shape != chosen.shape:
            raise InputError(
                f"{name} has shape {array.shape}, but the cube has {chosen.size} pixels."
            )
    left = [("are not dead", int(chosen.sum()))]
    if min_sn > 0:
        if not np.isfinite(light.noise).any():
            raise InputError(f"min_sn={min_sn}, but the cube has no noise: give it, or min_sn=0.")
        chosen &= light.signal_to_noise >= min_sn
        left.append((f"of these have S/N of {min_sn:g}", int(chosen.sum())))
    if radius is not None:
        chosen &= np.hypot(x, y) <= radius
        left.append((f"of these lie within {radius:g}", int(chosen.sum())))
    if inside is not None:
        chosen &= inside
        left.append(("of these are inside the mask", int(chosen.sum())))
    if not chosen.any():
        told = ", ".join(f"{number} {words}" for words, number in left)
        raise InputError(f"No pixel is left of {chosen.size}: {told}. Lower what cuts most.")
    return chosen


def _require_cuts(min_sn: float, min_good_share: float, radius: float | None) -> None:
    if not 0 <= min_sn < math.inf:
        raise ConfigError(f"min_sn={min_sn}: must be a finite number, 0 or more.")
    if not 0 <= min_good_share <= 1:
        raise ConfigError(f"min_good_share={min_good_share}: must lie from 0 to 1.")
    if radius is not None and not radius > 0:
        raise ConfigError(f"radius={radius}: must be positive.")
