"""MUSE: HDUs DATA and STAT (variance), wavelengths in air."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cubefit.errors import InputError
from cubefit.io.cube_formats import sigma
from cubefit.io.cube_formats.image_cube import CubeHDUs, image_cube, no_flag, require_cube
from cubefit.io.cube_formats.wavelengths import header_medium, header_wave, medium_of
from cubefit.io.fits_files import fits_file

if TYPE_CHECKING:
    from pathlib import Path

    from cubefit.io.cube_formats.cube import IFUCube
    from cubefit.io.fits_files import FitsFile


def recognised(file: FitsFile) -> bool:
    """Return whether a FITS file is such a cube."""
    cubes = {file.names[number] for number in file.cubes()}
    muse = any(
        str(file.header(number).get("INSTRUME", "")).upper() == "MUSE"
        for number in range(len(file.hdus))
    )
    return {"DATA", "STAT"} <= cubes or (muse and bool(cubes))


def read(path: Path, medium: str | None, pixel_scale: float | None) -> IFUCube:
    """Read a MUSE cube.

    ``DATA`` is the flux (without one, the only HDU of three axes), ``STAT`` its variance and
    ``DQ`` the flags, 0 = good. A cube without ``STAT`` has no noise. CTYPE3 = AWAV means air and
    WAVE vacuum; without either the pipeline's air holds.
    """
    with fits_file(path) as file:
        flux = _flux(file)
        noise, flags = file.index("STAT"), file.index("DQ")
        header = file.header(flux)
        where = f"{path} HDU {flux}"
        return image_cube(
            file,
            CubeHDUs(
                flux=flux, noise=noise, to_sigma=sigma.of_variance, flags=flags, usable=no_flag
            ),
            wave=header_wave(header, require_cube(file, flux)[0], where),
            medium=medium_of(medium, header_medium(header) or "air", where),
            pixel_scale=pixel_scale,
            kind="MUSE",
        )


def _flux(file: FitsFile) -> int:
    named = file.index("DATA")
    if named is not None:
        return named
    cubes = [number for number in file.cubes() if file.names[number] not in {"STAT", "DQ"}]
    if len(cubes) != 1:
        raise InputError(
            f"{file.path} has no HDU DATA, and {len(cubes)} other cubes; it holds "
            f"{file.contents()}: name the HDU of the flux DATA and that of the variance STAT."
        )
    return cubes[0]
