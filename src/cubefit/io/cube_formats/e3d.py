"""Euro3D tables (SAURON, ATLAS3D): one spectrum a row, with its variance and its position."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cubefit.errors import GridError, InputError
from cubefit.io.cube_formats import sigma
from cubefit.io.cube_formats.cube import IFUCube
from cubefit.io.cube_formats.sky import ARCSEC
from cubefit.io.cube_formats.spectra_table import SpectraTable, table_voxels
from cubefit.io.cube_formats.wavelengths import ANGSTROM, from_logarithm, medium_of
from cubefit.io.fits_files import fits_file, reading_fits

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from astropy.io import fits
    from numpy.typing import NDArray

    from cubefit.io.fits_files import FitsFile

LOGARITHMS_BELOW = 20.0
"""CRVALS below it is a logarithm: no instrument begins at 2 nm."""


def recognised(file: FitsFile) -> bool:
    """Return whether a FITS file has such a table."""
    return any("DATA_SPE" in file.columns(number) for number in range(len(file.hdus)))


def read(path: Path, medium: str | None) -> IFUCube:
    """Read a Euro3D table.

    Pixel i of a spectrum is at CRVALS + (SPEC_STA + i) CDELTS, in Angstrom or its logarithm.
    Spectra may begin and end differently: the cube covers them all, and is masked where one has
    nothing. ``QUAL_SPE`` is 0 for good voxels. The table is read as a whole.
    """
    with fits_file(path) as file:
        number = _table(file)
        table, first = _load(file, number)
        header, rows = file.header(number), file.table(number)
        x, y = (_position(file, number, rows, name) for name in ("XPOS", "YPOS"))
        unit = file.column_unit(number, "DATA_SPE")
    return IFUCube(
        wave=_wave(header, first, table.flux.shape[1], f"{path} HDU {number}"),
        medium=medium_of(medium, "air", str(path)),
        x=x,
        y=y,
        unit=unit,
        image_shape=None,
        wcs=None,
        fwhm=None,
        source=f"{path} (Euro3D)",
        binnum=None,
        voxels=table_voxels(table, lambda: _loaded(path)),
    )


def _loaded(path: Path) -> SpectraTable:
    with fits_file(path) as file:
        return _load(file, _table(file))[0]


def _table(file: FitsFile) -> int:
    number = next((n for n in range(len(file.hdus)) if "DATA_SPE" in file.columns(n)), None)
    if number is None:
        raise InputError(
            f"{file.path} has no table with a column DATA_SPE; it holds {file.contents()}: give a "
            "Euro3D file, or another format=."
        )
    missing = {"XPOS", "YPOS"} - set(file.columns(number))
    if missing:
        raise InputError(
            f"{file.path} HDU {number} lacks the columns {', '.join(sorted(missing))}: they give "
            "the positions of the spectra; get the complete file."
        )
    return number


def _load(file: FitsFile, number: int) -> tuple[SpectraTable, int]:
    """Return the spectra on one grid, and the index of its first pixel."""
    columns, where = file.columns(number), f"{file.path} HDU {number}"
    rows = file.table(number)
    with reading_fits(file.path):
        spectra = [np.asarray(row) for row in rows["DATA_SPE"]]
        sizes = np.array([row.size for row in spectra], np.int64)
        start = np.asarray(rows["SPEC_STA"] if "SPEC_STA" in columns else 0 * sizes, np.int64)
        length = np.asarray(rows["SPEC_LEN"] if "SPEC_LEN" in columns else sizes, np.int64)
    if not spectra or (length > sizes).any() or (length < 1).any():
        raise InputError(
            f"{where}: SPEC_LEN does not fit the spectra in DATA_SPE ({len(spectra)} rows): get "
            "the complete file."
        )
    first, n_wave = int(start.min()), int((start + length).max() - start.min())
    grid = _Grid(start - first, length, n_wave, where)
    noise = use = None
    if "STAT_SPE" in columns:
        noise = sigma.of_variance(grid.placed(list(rows["STAT_SPE"]), "STAT_SPE"))
    if "QUAL_SPE" in columns:
        use = grid.placed(list(rows["QUAL_SPE"]), "QUAL_SPE") == 0
    return SpectraTable(flux=grid.placed(spectra, "DATA_SPE"), noise=noise, use=use), first


class _Grid:
    """The pixels that all spectra together cover."""

    def __init__(
        self, start: NDArray[np.int64], length: NDArray[np.int64], n_wave: int, where: str
    ) -> None:
        self.start, self.length, self.n_wave, self.where = start, length, n_wave, where

    def placed(self, rows: Sequence[NDArray[Any]], column: str) -> NDArray[np.float64]:
        """Return rows on the grid, NaN where they have nothing."""
        placed = np.full((len(rows), self.n_wave), np.nan)
        for row, values, start, length in zip(placed, rows, self.start, self.length, strict=True):
            if len(values) < length:
                raise InputError(
                    f"{self.where}: {column} is shorter than DATA_SPE: get the complete file."
                )
            row[start : start + length] = values[:length]
        return placed


def _wave(header: Mapping[str, Any], first: int, n_wave: int, where: str) -> NDArray[np.float64]:
    values: list[Any] = [header.get(key) for key in ("CRVALS", "CDELTS")]
    if not all(type(value) in {int, float} for value in values):
        raise InputError(
            f"{where}: CRVALS, CDELTS = {values} are no numbers: the header needs both."
        )
    if header.get("CRPIXS", 1) != 1:
        raise InputError(
            f"{where}: CRPIXS = {header['CRPIXS']} is unknown to Euro3D 1.2: move CRVALS to the "
            "first pixel and remove it."
        )
    start, step = (float(value) for value in values)
    if not step > 0:
        raise GridError(
            f"{where}: CDELTS = {step:g}: wavelengths must increase; reorder the spectra."
        )
    axis = start + step * np.arange(float(first), first + n_wave)
    if start < LOGARITHMS_BELOW:
        return from_logarithm(axis, f"{where}: CRVALS, CDELTS")
    return axis * ANGSTROM.get(str(header.get("CUNITS", "")).strip().upper(), 1.0)


def _position(file: FitsFile, number: int, rows: fits.FITS_rec, name: str) -> NDArray[np.float64]:
    unit = file.column_unit(number, name).upper() or "ARCSEC"
    if unit not in ARCSEC:
        raise InputError(
            f"{file.path} HDU {number}: {name} is in {unit}: write arcsec or deg into its TUNIT."
        )
    with reading_fits(file.path):
        return np.asarray(rows[name], np.float64) * ARCSEC[unit]
