"""IFU cubes of several surveys and pipelines: which format a file has, and reading it."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from cubefit.errors import ConfigError, InputError
from cubefit.io.cube_formats import califa, e3d, manga, muse, ngist, plain, plain_fits
from cubefit.io.cube_formats.cube import IFUCube
from cubefit.io.fits_files import (
    FitsFile,
    first_bytes,
    fits_file,
    is_fits,
    require_whole_gzip,
)
from cubefit.prepare.blocks import CubeBlock
from cubefit.store.foreign import foreign_file, is_hdf5

__all__ = ["FORMATS", "CubeBlock", "IFUCube", "read_cube"]


@dataclass(frozen=True, slots=True)
class _Request:
    """A file and what a user says of it."""

    path: Path
    medium: str | None
    pixel_scale: float | None


def _plain(request: _Request) -> IFUCube:
    container = _container(request.path)
    if container == "npz":
        return plain.read_npz(request.path, request.medium)
    if container == "hdf5":
        return plain.read_hdf5(request.path, request.medium)
    return plain_fits.read(request.path, request.medium, request.pixel_scale)


def _image(read: Callable[[Path, str | None, float | None], IFUCube], request: _Request) -> IFUCube:
    return read(request.path, request.medium, request.pixel_scale)


def _ngist(kind: str | None, request: _Request) -> IFUCube:
    return ngist.read(request.path, request.medium, kind)


FORMATS: Final[Mapping[str, Callable[[_Request], IFUCube]]] = {
    "muse": partial(_image, muse.read),
    "califa": partial(_image, califa.read),
    "manga": partial(_image, manga.read),
    "e3d": lambda request: e3d.read(request.path, request.medium),
    "ngist": partial(_ngist, None),
    "ngist-bins": partial(_ngist, "bins"),
    "ngist-all": partial(_ngist, "all"),
    "plain": _plain,
}
"""Readers by the name of their format."""

_RECOGNISED: Final[Mapping[str, Callable[[FitsFile], bool]]] = {
    "e3d": e3d.recognised,
    "ngist": ngist.recognised,
    "manga": manga.recognised,
    "califa": califa.recognised,
    "muse": muse.recognised,
    "plain": plain_fits.recognised,
}
"""What tells FITS files apart, first match first."""


def read_cube(
    path: str | Path,
    format: str = "auto",  # noqa: A002 (the name that users know from astropy)
    *,
    medium: str | None = None,
    pixel_scale: float | None = None,
) -> IFUCube:
    """Open an IFU cube: everything but its voxels is read and checked now.

    Parameters
    ----------
    path : str or Path
        The file. FITS files may be compressed (``.fits.gz``), and are then held in memory while
        they are read.
    format : str, optional
        Name, what holds flux, error and flags, and the medium unless stated:

        - ``muse``: DATA, STAT (variance), DQ (0 = good); air.
        - ``califa``: first HDU, ERROR (one sigma), BADPIX (0 = good); air.
        - ``manga``: FLUX, IVAR, MASK (DONOTUSE), by WAVE; vacuum.
        - ``e3d``: table DATA_SPE, STAT_SPE (variance), QUAL_SPE; air.
        - ``ngist``: SPEC, ESPEC by LOGLAM, ``ngist-bins`` (one sigma) or ``ngist-all`` (variance)
          by the name; must be given.
        - ``plain``: flux, noise (one sigma), mask (True = use), wave; must be given.

        By default it is found out by what the file holds.
    medium : {"air", "vacuum"}, optional
        Medium of the wavelengths, whatever the file says.
    pixel_scale : float, optional
        Arcsec per pixel of an image, whatever the header says.

    Returns
    -------
    IFUCube

    Raises
    ------
    InputError
        If the file is damaged, lacks a part, has parts of different shapes, is of no format that
        is known, or does not say what must be known. The message names what was found.
    GridError
        If the wavelengths do not increase.
    ConfigError
        If an argument is impossible.
    """
    request = _Request(Path(path), medium, pixel_scale)
    if format != "auto" and format not in FORMATS:
        raise ConfigError(f"format={format!r}: must be auto, {', '.join(FORMATS)}.")
    if _container(request.path) == "fits":
        require_whole_gzip(request.path)
    cube = FORMATS[_recognise(request.path) if format == "auto" else format](request)
    if pixel_scale is not None and cube.image_shape is None:
        raise ConfigError(
            f"pixel_scale={pixel_scale}: {cube.source} is a table of spectra with positions of "
            "their own: leave it out."
        )
    return cube


def _container(path: Path) -> str:
    """Return what kind of file it is by its first bytes: fits, hdf5 or npz."""
    start = first_bytes(path)
    if is_fits(start):
        return "fits"
    if is_hdf5(path):
        return "hdf5"
    if zipfile.is_zipfile(path):
        return "npz"
    raise InputError(
        f"{path} is no FITS, HDF5 or npz file ({start!r} are its first bytes): give an IFU cube."
    )


def _recognise(path: Path) -> str:
    container = _container(path)
    if container == "npz":
        return "plain"
    if container == "hdf5":
        with foreign_file(path) as file:
            if ngist.recognised_hdf5(file):
                return "ngist"
            if set(plain.REQUIRED) <= set(file.shapes):
                return "plain"
            found = file.contents()
    else:
        with fits_file(path) as fits:
            for name, recognised in _RECOGNISED.items():
                if recognised(fits):
                    return name
            found = fits.contents()
    raise InputError(
        f"{path} is of no format that is known; it holds {found}: give format= "
        f"({', '.join(FORMATS)}), or save its arrays as plain ones (flux, noise, mask, wave)."
    )
