"""CALIFA: flux in the first HDU, one sigma in ERROR, flags in BADPIX, wavelengths in air."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cubefit.io.cube_formats import sigma
from cubefit.io.cube_formats.image_cube import CubeHDUs, image_cube, no_flag, require_cube
from cubefit.io.cube_formats.wavelengths import header_wave, medium_of
from cubefit.io.fits_files import fits_file

if TYPE_CHECKING:
    from pathlib import Path

    from cubefit.io.cube_formats.cube import IFUCube
    from cubefit.io.fits_files import FitsFile


def recognised(file: FitsFile) -> bool:
    """Return whether a FITS file is such a cube."""
    names = set(file.names)
    return 0 in file.cubes() and "ERROR" in names and bool(names & {"BADPIX", "ERRWEIGHT"})


def read(path: Path, medium: str | None, pixel_scale: float | None) -> IFUCube:
    """Read a CALIFA cube.

    ``BADPIX`` is 0 for good voxels. ``ERRWEIGHT``, the growth of the error by covariance where
    pixels are added up, is not applied.
    """
    with fits_file(path) as file:
        header = file.header(0)
        return image_cube(
            file,
            CubeHDUs(
                flux=0,
                noise=file.require("ERROR", "one sigma"),
                to_sigma=sigma.of_sigma,
                flags=file.index("BADPIX"),
                usable=no_flag,
            ),
            wave=header_wave(header, require_cube(file, 0)[0], f"{path} HDU 0"),
            medium=medium_of(medium, "air", str(path)),
            pixel_scale=pixel_scale,
            kind="CALIFA",
        )
