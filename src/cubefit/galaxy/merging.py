"""Bins of the orbit library merged until they have the signal to noise of the settings."""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from cubefit.errors import ConfigError
from cubefit.galaxy.pixels import SkyPixels, holds_bins
from cubefit.galaxy.settings import BinsTable, CubeTable, FitTable
from cubefit.io.cubes import IFUCube
from cubefit.prepare.adaptive_bins import require_power_bin, signal_to_noise_of_bins
from cubefit.prepare.merged_bins import merge_bins
from cubefit.prepare.selection import WhiteLight

logger = logging.getLogger(__name__)


def require_merging(fit: FitTable, *, is_done: bool) -> None:
    """Raise ConfigError or DependencyError where bins cannot be merged."""
    if fit.normalization == "unit":
        raise ConfigError(
            "bins.target_sn adds up the light of LOSVDs, which fit.normalization = 'unit' throws "
            "away: leave one of them out."
        )
    if not is_done:
        require_power_bin()


def require_pixels(cube: IFUCube, target_sn: float) -> None:
    """Raise ConfigError where no bins of a signal to noise can be made of a cube."""
    reason = ""
    if holds_bins(cube):
        reason = "is binned already: leave it out, or give the cube of pixels"
    elif not cube.has_noise:
        reason = "states no noise: leave it out, or give a cube that does"
    if reason:
        raise ConfigError(f"bins.target_sn = {target_sn:g}: {cube.source} {reason}.")


def merged_bins(
    table: CubeTable,
    bins: BinsTable,
    pixels: SkyPixels,
    light: WhiteLight,
    use: NDArray[np.bool_],
) -> NDArray[np.int32] | None:
    """Return the new bin of each bin, where the settings want bins of a signal to noise."""
    if bins.target_sn is None:
        return None
    inside = pixels.of_cube >= 0
    of_pixels = light.of(inside)
    use = use[inside]
    logger.info("spectra: bins are merged.")
    merged = merge_bins(
        pixels.binnum,
        pixels.x,
        pixels.y,
        of_pixels,
        bins.target_sn,
        covariance=table.covariance,
        min_share=table.min_share,
        pixels=use,
    )
    left_out = int((merged < 0).sum())
    if left_out:
        logger.warning(
            "%d of %d bins are left out: too little of their light can be used.",
            left_out,
            merged.size,
        )
    new = np.where(use & (of_pixels.noise > 0), merged[pixels.binnum], -1)
    reached = signal_to_noise_of_bins(
        new, of_pixels.signal, of_pixels.noise, covariance=table.covariance
    )
    logger.info(
        "spectra: %d bins merged into %d, of S/N %.3g to %.3g, median %.3g.",
        merged.size - left_out,
        reached.size,
        reached.min(),
        reached.max(),
        np.median(reached),
    )
    return merged
