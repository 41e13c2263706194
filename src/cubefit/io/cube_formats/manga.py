"""MaNGA: FLUX, IVAR, MASK and WAVE by name, wavelengths in vacuum, and its line spread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cubefit.errors import InputError
from cubefit.io.cube_formats import sigma
from cubefit.io.cube_formats.image_cube import CubeHDUs, image_cube, require_cube
from cubefit.io.cube_formats.wavelengths import medium_of
from cubefit.io.fits_files import fits_file
from cubefit.prepare.resolution import FWHM_PER_SIGMA

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from cubefit.io.cube_formats.cube import IFUCube
    from cubefit.io.fits_files import FitsFile

DO_NOT_USE: Final = 1 << 10
"""Bit DONOTUSE of MANGA_DRP3PIXMASK, which sums up those that make a voxel useless."""
MASK_NAME: Final = "MANGA_DRP3PIXMASK"
LINE_SPREADS: Final = ("LSFPRE", "PREDISP", "LSFPOST", "DISP")
"""HDUs of the dispersion (sigma in Angstrom), best first: that before the pixels comes first,
because the models are averaged over pixels anyway. PREDISP and DISP were the names until DR15."""
PLANES: Final = 256


def recognised(file: FitsFile) -> bool:
    """Return whether a FITS file is such a cube."""
    return set(file.names) >= {"FLUX", "IVAR", "MASK", "WAVE"}


def read(path: Path, medium: str | None, pixel_scale: float | None) -> IFUCube:
    """Read a MaNGA LOGCUBE (or LINCUBE) of the data reduction pipeline.

    Voxels with IVAR = 0, or the bit DONOTUSE in MASK, are masked. The line spread function is
    the mean over the spaxels that have one.
    """
    with fits_file(path) as file:
        flux = file.require("FLUX", "flux")
        flags = file.require("MASK", "flags")
        _require_drp(file, flux, flags)
        shape = require_cube(file, flux)
        number = file.require("WAVE", "wavelengths in Angstrom")
        wave = file.array(number).astype(np.float64) if len(file.shape(number)) == 1 else None
        if wave is None:
            raise InputError(f"{path}: WAVE has shape {file.shape(number)}: a vector is due.")
        return image_cube(
            file,
            CubeHDUs(
                flux=flux,
                noise=file.require("IVAR", "inverse variance"),
                to_sigma=sigma.of_inverse_variance,
                flags=flags,
                usable=lambda bits: (bits & DO_NOT_USE) == 0,
            ),
            wave=wave,
            medium=medium_of(medium, "vacuum", str(path)),
            pixel_scale=pixel_scale,
            fwhm=_fwhm(file, shape),
            kind="MaNGA",
        )


def _require_drp(file: FitsFile, flux: int, flags: int) -> None:
    named = {str(file.header(n).get("MASKNAME", MASK_NAME)).strip() for n in (0, flux, flags)}
    if named != {MASK_NAME}:
        raise InputError(
            f"{file.path} has flags {', '.join(sorted(named - {MASK_NAME}))}: it is no cube of the "
            "data reduction pipeline; give manga-PLATE-IFU-LOGCUBE.fits."
        )
    if file.header(flags)["BITPIX"] not in {16, 32, 64}:
        raise InputError(f"{file.path}: MASK holds no integers of 16 bits or more: get it again.")


def _fwhm(file: FitsFile, shape: tuple[int, ...]) -> NDArray[np.float64] | None:
    """Return the mean FWHM of each wavelength; between those that have one where none has."""
    number = next((n for name in LINE_SPREADS if (n := file.index(name)) is not None), None)
    if number is None:
        return None
    layer = file.layer(file.require_shape(number, shape, "FLUX"))
    starts = range(0, shape[0], PLANES)
    means = [_mean_of_positive(layer(slice(i, min(i + PLANES, shape[0])))) for i in starts]
    mean = np.concatenate(means)
    known = np.isfinite(mean)
    if not known.any():
        return None
    pixels = np.arange(mean.size)
    return FWHM_PER_SIGMA * np.interp(pixels, pixels[known], mean[known])


def _mean_of_positive(planes: NDArray[Any]) -> NDArray[np.float64]:
    flat = planes.reshape(planes.shape[0], -1)
    good = (flat > 0) & (flat < np.inf)
    total = np.sum(flat, axis=1, dtype=np.float64, where=good)
    with np.errstate(invalid="ignore"):
        return np.asarray(total / good.sum(axis=1))
