"""A cube of planes to a FITS file, written as it is made."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from cubefit.errors import InputError
from cubefit.io.result_files import appearing, set_card
from cubefit.io.units import known_unit

BLOCK: Final = 2880
"""Bytes that the parts of a FITS file are multiples of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveHeader:
    """The wavelength axis of a cube."""

    first: float
    """Centre of the first pixel in Angstrom."""
    step: float
    """In Angstrom, or in ln(Angstrom)."""
    kind: Literal["linear", "ln"]
    medium: Literal["air", "vacuum", ""]
    """Empty where unknown; the axis is then a plain one, that readers convert nothing of."""

    def cards(self) -> dict[str, tuple[Any, str]]:
        """Return the keywords of the third axis (Greisen et al. 2006, A&A 446, 747)."""
        is_log = self.kind == "ln"
        if not self.medium:
            first = math.log(self.first) if is_log else self.first
            name, unit = ("LNLAMBDA", "") if is_log else ("LAMBDA", "Angstrom")
            told = ("ln(Angstrom), " if is_log else "") + "air or vacuum not known"
            return {
                "CTYPE3": (name, told),
                "CRPIX3": (1.0, ""),
                "CRVAL3": (first, ""),
                "CDELT3": (self.step, ""),
                "CUNIT3": (unit, ""),
            }
        name = "AWAV" if self.medium == "air" else "WAVE"
        return {
            "CTYPE3": (f"{name}-LOG" if is_log else name, f"wavelength in {self.medium}"),
            "CRPIX3": (1.0, ""),
            "CRVAL3": (self.first, ""),
            "CDELT3": (self.first * self.step if is_log else self.step, ""),
            "CUNIT3": ("Angstrom", ""),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CubeFile:
    """What the header of a cube says."""

    shape: tuple[int, int, int]
    """Wavelengths, rows, columns."""
    wave: WaveHeader
    x: tuple[float, float]
    """Coordinate of the first column, and step."""
    y: tuple[float, float]
    pixel_unit: str
    flux_unit: str
    wcs: str
    """Header of celestial coordinates, cards of 80 characters; empty for linear ones."""


def cube_header(cube: CubeFile, facts: Mapping[str, tuple[Any, str]]) -> fits.Header:
    """Return the primary header of a cube of float32."""
    header = fits.Header()
    header["SIMPLE"] = True
    header["BITPIX"] = -32
    header["NAXIS"] = 3
    for n, size in enumerate(reversed(cube.shape), start=1):
        header[f"NAXIS{n}"] = size
    unit = known_unit(cube.flux_unit, "fits")
    if unit is not None:
        header["BUNIT"] = unit
    elif cube.flux_unit:
        set_card(header, "FLUXUNIT", cube.flux_unit, "as the input cube has it")
    header["WCSAXES"] = 3
    if cube.wcs:
        celestial = fits.Header.fromstring(cube.wcs)
        celestial.remove("WCSAXES", ignore_missing=True)
        header.update(celestial)
    else:
        for n, (name, axis) in enumerate((("X", cube.x), ("Y", cube.y)), start=1):
            header[f"CTYPE{n}"] = f"{name}OFFSET"
            header[f"CRPIX{n}"] = 1.0
            header[f"CRVAL{n}"], header[f"CDELT{n}"] = axis
            pixel_unit = known_unit(cube.pixel_unit, "fits")
            if pixel_unit is not None:
                header[f"CUNIT{n}"] = pixel_unit
    for key, (value, comment) in {**cube.wave.cards(), **facts}.items():
        set_card(header, key, value, comment)
    return header


def write_cube(
    path: Path,
    facts: Mapping[str, tuple[Any, str]],
    cube: CubeFile,
    planes: Iterable[NDArray[np.float32]],
    *,
    overwrite: bool,
) -> Path:
    """Write a cube plane by plane as the primary array of a FITS file, whole or not at all.

    Parameters
    ----------
    path : Path
        Ends in .fits or .fit, in a folder that exists.
    facts : mapping
        Value and comment of further keywords.
    cube : CubeFile
        What it is.
    planes : iterable of ndarray, shape (n, ny, nx)
        All planes in order, some at a time.
    overwrite : bool
        Replace a file there.

    Raises
    ------
    InputError
        If the planes are not as many as ``cube`` says, or a file is in the way.
    StoreError
        If the disk does not take it.
    """
    header, written = cube_header(cube, facts), 0
    # Room for those that follow: a header that grows would move the data.
    header["CHECKSUM"], header["DATASUM"] = "0" * 16, "0"
    with appearing(path, (".fits", ".fit"), overwrite=overwrite) as partial:
        with partial.open("wb") as stream:
            stream.write(header.tostring().encode("ascii"))
            for block in planes:
                written += len(block)
                stream.write(np.ascontiguousarray(block, ">f4").data)
            if written != cube.shape[0]:
                raise InputError(f"{written} planes for a cube of {cube.shape[0]}: give all.")
            stream.write(b"\0" * (-stream.tell() % BLOCK))
        with fits.open(partial, mode="update", memmap=True) as hdus:
            hdus[0].add_checksum()
    return path
