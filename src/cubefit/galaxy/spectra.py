"""The spectra of a galaxy's fit: binned, at rest, on pixels even in ln(wavelength), masked."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cubefit.errors import ConfigError, InputError
from cubefit.galaxy.merging import merged_bins, require_pixels
from cubefit.galaxy.pixels import SkyPixels, sky_pixels, wave_axis
from cubefit.galaxy.settings import BinsTable, CubeTable
from cubefit.io.cubes import IFUCube, read_cube
from cubefit.io.orbits import OrbitLibrary
from cubefit.io.spatial_mask import read_spatial_mask
from cubefit.observation import Observation
from cubefit.prepare.air import in_medium
from cubefit.prepare.binning import binned, with_dead_pixels_lit
from cubefit.prepare.continuum import flattened
from cubefit.prepare.observed_rebin import ln_grid, log_rebinned, noise_chi2
from cubefit.prepare.rest_frame import in_rest_frame
from cubefit.prepare.selection import WhiteLight, select_pixels, white_light
from cubefit.prepare.spectra import Spectra
from cubefit.prepare.wave_masks import line_mask
from cubefit.spectra.grids import edges_of

logger = logging.getLogger(__name__)

Float = NDArray[np.float64]

BEYOND: Final = 1e-3
"""Part of a wavelength that is read beyond the range: a few pixels."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prepared:
    """Spectra as they are fitted."""

    flux: Float
    """Shape (S, L)."""
    noise: Float | None
    """One sigma, shape (S, L); None where the cube has none."""
    mask: NDArray[np.bool_]
    """True = use, shape (S, L)."""
    obs_pix: Float
    """Pixel centres in ln(Angstrom), shape (L,)."""
    x: Float
    """Position of each pixel in a bin, arcsec from the galaxy's centre, shape (nPix,)."""
    y: Float
    binnum: NDArray[np.int32]
    """Bin of each of them, shape (nPix,)."""
    light: Float
    """White light of each of them, shape (nPix,); NaN where none is known."""
    fwhm_wave: Float
    """Observed wavelengths at which the cube states its resolution; may be empty."""
    fwhm: Float
    """In Angstrom."""
    noise_chi2: float
    """Chi2 per voxel that noise alone leaves of a perfect model; see `log_rebinned`."""
    pixel_angstrom: float
    """Median width of the cube's pixels, observed."""
    merged: NDArray[np.int32] | None
    """New bin of each bin of the orbit library, shape (S of that,); None where they stay."""
    own_binnum: NDArray[np.int32] | None
    """Bin of the orbit library that each pixel is in, shape (nPix,); None where ``binnum`` is."""
    observation: Observation


def prepare_spectra(
    table: CubeTable, bins: BinsTable, orbits: OrbitLibrary, *, redshift: float
) -> Prepared:
    """Return the spectra of a cube in the bins of an orbit library, or in merged ones.

    Parameters
    ----------
    table, bins
        Settings.
    orbits : OrbitLibrary
        Tells the bins where the settings name no file of them, and how many there are.
    redshift : float
        To take out, unless the cube is at rest already.

    Raises
    ------
    InputError, GridError, ConfigError
        If the cube, the bins and the orbits do not fit together.
    """
    whole = read_cube(
        Path(table.path), table.format, medium=table.medium, pixel_scale=table.pixel_scale
    )
    if bins.target_sn is not None:
        require_pixels(whole, bins.target_sn)
    medium, cube = whole.medium, whole
    to_take_out = 0.0 if whole.at_rest else redshift
    if table.wave_range is not None:
        cube = whole.trimmed(observed_range(table.wave_range, medium, to_take_out))
    pixels = sky_pixels(cube, table, bins, orbits)
    light = without_masked(white_light(cube.blocks(), cube.wave), cube, table, pixels)
    use = chosen_pixels(light, cube, table)
    merged = merged_bins(table, bins, pixels, light, use)
    own_binnum, lit = None, light
    if merged is not None:
        own_binnum = pixels.binnum[merged[pixels.binnum] >= 0]
        # In merged bins, larger and steeper, dead pixels would count as average ones of those.
        lit = replace(light, signal=with_dead_pixels_lit(pixels.of_cube, light.signal))
        pixels = pixels.with_merged_bins(merged)
    observed = observed_spectra(cube, medium, table, pixels.of_cube, lit, use)
    rest = in_rest_frame(observed, z=to_take_out, to_medium=medium)
    obs_pix = ln_grid(rest.wave_edges, wave_range=table.wave_range, velscale_kms=table.velscale_kms)
    ln_edges = edges_of(obs_pix)
    spectra = without_lines(log_rebinned(rest, ln_edges), obs_pix, table, redshift)
    if table.continuum_degree is not None:
        spectra = flattened(spectra, table.continuum_degree)
    return Prepared(
        flux=spectra.flux,
        noise=np.where(spectra.mask, spectra.noise, 1.0) if spectra.has_noise else None,
        mask=spectra.mask,
        obs_pix=obs_pix,
        x=pixels.x,
        y=pixels.y,
        binnum=pixels.binnum,
        light=pixel_light(light, pixels),
        fwhm_wave=np.empty(0) if whole.fwhm is None else whole.wave,
        fwhm=np.empty(0) if whole.fwhm is None else np.asarray(whole.fwhm, np.float64),
        noise_chi2=noise_chi2(rest, ln_edges) if spectra.has_noise else math.nan,
        pixel_angstrom=observed_pixel(rest, redshift),
        merged=merged,
        own_binnum=own_binnum,
        observation=Observation(
            flux_unit=cube.unit,
            pixel_unit="arcsec",
            image=pixels.image,
            wave=wave_axis(whole, medium),
            redshift=to_take_out,
            medium="air" if medium == "air" else "vacuum",
        ),
    )


def observed_range(rest: tuple[float, float], medium: str, redshift: float) -> tuple[float, float]:
    """Return a little more than the observed wavelengths of a range at rest, same medium."""
    vacuum = in_medium(np.array(rest), medium, "vacuum") * (1.0 + redshift)
    low, high = (float(end) for end in in_medium(vacuum, "vacuum", medium))
    return low * (1.0 - BEYOND), high * (1.0 + BEYOND)


def pixel_light(light: WhiteLight, pixels: SkyPixels) -> Float:
    """Return the white light of the pixels in bins, shape (nPix,).

    Of a cube that holds one spectrum a bin it is even within bins.
    """
    inside = pixels.of_cube >= 0
    if np.array_equal(pixels.of_cube[inside], pixels.binnum):
        return light.signal[inside]
    of_bin = np.full(int(pixels.binnum.max()) + 1, np.nan)
    of_bin[pixels.of_cube[inside]] = light.signal[inside]
    return np.asarray((of_bin / np.bincount(pixels.binnum))[pixels.binnum])


def observed_pixel(rest: Spectra, redshift: float) -> float:
    """Return the median width of pixels as they were observed, Angstrom."""
    return float(np.median(rest.widths)) * (1.0 + redshift)


def observed_spectra(
    cube: IFUCube,
    medium: str,
    table: CubeTable,
    binnum: NDArray[np.int32],
    light: WhiteLight,
    use: NDArray[np.bool_],
) -> Spectra:
    """Return the spectra of the bins at observed wavelengths.

    Pixels that are not used are masked, not forgotten: a bin keeps its whole light as long as those
    that remain hold most of it, and is masked else.
    """
    if cube.binnum is not None and table.covariance:
        raise ConfigError(
            f"cube.covariance = {table.covariance}: {cube.source} is binned already, and its noise "
            "is that of the bins: leave it out."
        )
    blocks = (replace(block, mask=block.mask & use[:, None]) for block in cube.blocks())
    found = binned(
        blocks,
        binnum,
        cube.wave_edges,
        medium,
        covariance=table.covariance,
        min_share=table.min_share,
        light=light.signal,
    )
    left_out = int((~found.mask.any(axis=1)).sum())
    if left_out == len(found.mask):
        raise InputError("No bin has light that can be used: lower cube.min_sn or min_share.")
    if left_out:
        logger.warning(
            "%d of %d bins are left out: too little of their light can be used.",
            left_out,
            len(found.mask),
        )
    return found


def without_masked(
    light: WhiteLight, cube: IFUCube, table: CubeTable, pixels: SkyPixels
) -> WhiteLight:
    """Return white light in which masked pixels are dead: a star there is none of the galaxy's."""
    if table.spatial_mask is None:
        return light
    use = read_spatial_mask(table.spatial_mask, light.signal.size, cube.image_shape)
    in_bins = pixels.of_cube >= 0
    told = "cube.spatial_mask leaves %d of %d pixels in bins%s"
    numbers = int((use & in_bins).sum()), int(in_bins.sum())
    if numbers[0] < 0.5 * numbers[1]:
        logger.warning(told, *numbers, ": it has 1 for pixels to use.")
    else:
        logger.info(told, *numbers, ".")
    return light.without(~use)


def chosen_pixels(light: WhiteLight, cube: IFUCube, table: CubeTable) -> NDArray[np.bool_]:
    """Return which pixels of a cube the settings take."""
    if cube.x is None or cube.y is None:
        if table.radius is not None:
            raise InputError(
                f"{cube.source} has no positions of its spectra, to which cube.radius could refer: "
                "leave it out."
            )
        x = y = np.zeros(light.signal.size)
    else:
        x, y = cube.x - table.centre[0], cube.y - table.centre[1]
    return select_pixels(light, x, y, min_sn=table.min_sn, radius=table.radius)


def without_lines(spectra: Spectra, obs_pix: Float, table: CubeTable, redshift: float) -> Spectra:
    """Return spectra at rest with the lines that the settings name masked."""
    use = line_mask(
        np.exp(obs_pix),
        table.masks,
        medium=spectra.medium,
        z=redshift,
        frame="rest",
        width_kms=table.mask_width_kms,
        lines=table.mask_lines,
    )
    return replace(spectra, mask=spectra.mask & use)
