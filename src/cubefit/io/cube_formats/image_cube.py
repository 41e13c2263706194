"""Cubes of a FITS file with one HDU each for flux, noise and flags."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cubefit.errors import InputError
from cubefit.io.cube_formats.cube import IFUCube, Layer, Layers, Voxels
from cubefit.io.cube_formats.sky import celestial_header, pixel_positions
from cubefit.io.fits_files import FitsFile, fits_file, reading_fits

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from cubefit.io.cube_formats.sigma import ToSigma

LARGEST_BLOCK: Final = 2**18
"""Voxels: about what stays in a processor's cache. Blocks of 2**22 take 1.6 times as long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CubeHDUs:
    """Which HDUs hold what."""

    flux: int
    noise: int | None
    to_sigma: ToSigma
    flags: int | None
    usable: Callable[[NDArray[Any]], NDArray[np.bool_]]
    """From flags to True = use."""


def no_flag(flags: NDArray[Any]) -> NDArray[np.bool_]:
    """Return True where no flag is set."""
    return np.asarray(flags == 0)


def image_cube(
    file: FitsFile,
    hdus: CubeHDUs,
    *,
    wave: NDArray[np.float64],
    medium: str,
    pixel_scale: float | None,
    fwhm: NDArray[np.float64] | None = None,
    kind: str,
) -> IFUCube:
    """Return the cube of a FITS file whose parts are known.

    Parameters
    ----------
    file : FitsFile
        The open file; the cube opens it again by its path.
    hdus : CubeHDUs
        Which HDUs hold what, each of shape (L, ny, nx).
    wave : ndarray, shape (L,)
        Wavelengths in Angstrom.
    medium : {"air", "vacuum"}
        Their medium.
    pixel_scale : float or None
        Arcsec per pixel, instead of what the header says.
    fwhm : ndarray, shape (L,), optional
        FWHM of the line spread function in Angstrom.
    kind : str
        Name of the format.

    Raises
    ------
    InputError
        If shapes disagree, or the header lacks what is needed.
    GridError
        If the wavelengths do not increase.
    """
    shape = require_cube(file, hdus.flux)
    parts = [number for number in (hdus.noise, hdus.flags) if number is not None]
    for number in parts:
        file.require_shape(number, shape, f"the flux in HDU {hdus.flux}")
    if wave.shape != shape[:1]:
        raise InputError(
            f"{file.path} has {wave.size} wavelengths for a flux of shape {shape}: give a file "
            "whose parts belong together."
        )
    where = f"{file.path} HDU {hdus.flux}"
    header = file.header(hdus.flux)
    ny, nx = shape[1:]
    x, y = pixel_positions(header, (ny, nx), pixel_scale, where)
    with reading_fits(file.path):
        wcs = celestial_header(header.cards)
    return IFUCube(
        wave=wave,
        medium=medium,
        x=x,
        y=y,
        unit=str(header.get("BUNIT", "")).strip(),
        image_shape=(ny, nx),
        wcs=wcs,
        fwhm=fwhm,
        source=f"{file.path} ({kind})",
        binnum=None,
        voxels=Voxels(
            opened=_opener(file.path, hdus),
            n_pix=ny * nx,
            raw_bytes=sum(file.bytes_per_value(number) for number in (hdus.flux, *parts)),
            has_noise=hdus.noise is not None,
            largest_block=LARGEST_BLOCK,
        ),
    )


def require_cube(file: FitsFile, number: int) -> tuple[int, ...]:
    """Return the shape (L, ny, nx) of an HDU, or refuse it.

    Raises
    ------
    InputError
        If it has not three axes.
    """
    shape = file.shape(number)
    if len(shape) != 3 or not all(shape):
        raise InputError(
            f"{file.path} HDU {number} {file.names[number]} has shape {shape or 'of no image'}, "
            f"but a cube (L, ny, nx) is due; the file holds {file.contents()}: give the cube, or "
            "another format=."
        )
    return shape


def _opener(path: Path, hdus: CubeHDUs) -> Callable[[], Any]:
    @contextmanager
    def opened() -> Iterator[Layers]:
        with fits_file(path) as file:
            noise = None if hdus.noise is None else file.layer(hdus.noise)
            flags = None if hdus.flags is None else file.layer(hdus.flags)
            yield Layers(
                flux=file.layer(hdus.flux),
                noise=None if noise is None else _then(noise, hdus.to_sigma),
                use=None if flags is None else _then(flags, hdus.usable),
            )

    return opened


def _then(layer: Layer, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Layer:
    return lambda wave: change(layer(wave))
