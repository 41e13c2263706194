"""Plain FITS arrays: a cube (L, ny, nx), or spectra (S, L), in HDUs of fixed names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cubefit.errors import InputError
from cubefit.io.cube_formats import sigma
from cubefit.io.cube_formats.image_cube import CubeHDUs, image_cube
from cubefit.io.cube_formats.plain import Beside, spectra_cube
from cubefit.io.cube_formats.spectra_table import SpectraTable, table_voxels, true_is_use
from cubefit.io.cube_formats.wavelengths import header_medium, header_wave, medium_of
from cubefit.io.fits_files import fits_file

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from cubefit.io.cube_formats.cube import IFUCube
    from cubefit.io.fits_files import FitsFile


def recognised(file: FitsFile) -> bool:
    """Return whether a FITS file has an HDU FLUX, or nothing but one cube."""
    images = [number for number in range(len(file.hdus)) if file.shape(number)]
    return "FLUX" in file.names or (len(images) == 1 and len(file.cubes()) == 1)


def read(path: Path, medium: str | None, pixel_scale: float | None) -> IFUCube:
    """Read plain FITS arrays.

    ``FLUX`` (or the only cube of the file), ``NOISE`` (one sigma) and ``MASK`` (1 = use) have
    shape (L, ny, nx), or (S, L) in NumPy's order; ``WAVE`` is a vector in Angstrom, needed unless
    the third axis of the cube states it; ``X`` and ``Y`` in arcsec go with spectra. The key
    MEDIUM in the header of the flux says air or vacuum, or CTYPE3 does (AWAV, WAVE).
    """
    with fits_file(path) as file:
        flux = file.index("FLUX")
        if flux is None:
            cubes = file.cubes()
            flux = cubes[0] if len(cubes) == 1 else file.require("FLUX", "flux")
        if len(file.shape(flux)) == 3:
            return _cube(file, flux, medium, pixel_scale)
        table = _table(file, flux)
        header = file.header(flux)
        x, y, binnum = (_vector(file, name) for name in ("X", "Y", "BINNUM"))
        wave = file.array(file.require("WAVE", "wavelengths in Angstrom"))
        stated = str(header.get("MEDIUM", "")).strip().lower() or None
        beside = Beside(
            wave=wave,
            x=x,
            y=y,
            binnum=binnum,
            medium=stated,
            unit=str(header.get("BUNIT", "")).strip(),
        )
    voxels = table_voxels(table, lambda: _loaded(path))
    return spectra_cube(path, table.flux.shape, beside, medium, voxels)


def _cube(file: FitsFile, flux: int, medium: str | None, pixel_scale: float | None) -> IFUCube:
    header, where = file.header(flux), f"{file.path} HDU {flux}"
    stated = str(header.get("MEDIUM", "")).strip().lower() or header_medium(header)
    wave = _vector(file, "WAVE")
    if wave is None:
        wave = header_wave(header, file.shape(flux)[0], where)
    return image_cube(
        file,
        CubeHDUs(
            flux=flux,
            noise=file.index("NOISE"),
            to_sigma=sigma.of_sigma,
            flags=file.index("MASK"),
            usable=lambda flags: true_is_use(flags, where),
        ),
        wave=wave.astype(np.float64),
        medium=medium_of(medium, stated, where),
        pixel_scale=pixel_scale,
        kind="plain",
    )


def _table(file: FitsFile, flux: int) -> SpectraTable:
    noise, mask = file.index("NOISE"), file.index("MASK")
    if len(file.shape(flux)) != 2:
        raise InputError(
            f"{file.path}: FLUX has shape {file.shape(flux)}: give a cube (L, ny, nx), or spectra "
            "(S, L)."
        )
    table = SpectraTable(
        flux=file.array(flux),
        noise=None if noise is None else file.array(noise),
        use=None if mask is None else true_is_use(file.array(mask), f"{file.path} HDU MASK"),
    )
    table.require(str(file.path))
    return table


def _loaded(path: Path) -> SpectraTable:
    with fits_file(path) as file:
        return _table(file, file.require("FLUX", "flux"))


def _vector(file: FitsFile, name: str) -> NDArray[np.generic] | None:
    number = file.index(name)
    if number is None:
        return None
    if len(file.shape(number)) != 1:
        raise InputError(f"{file.path}: {name} has shape {file.shape(number)}: a vector is due.")
    return file.array(number)
