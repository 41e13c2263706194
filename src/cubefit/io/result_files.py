"""Plain arrays to FITS and ECSV files, whole or not at all."""

from __future__ import annotations

import math
import os
import secrets
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import astropy.table
import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from cubefit.errors import InputError, StoreError
from cubefit.io.units import Dialect, known_unit

FITS_SUFFIXES: Final = (".fits", ".fit", ".fits.gz")
ECSV_SUFFIXES: Final = (".ecsv",)
CARD_ROOM: Final = 64
"""Characters of a header card for its value and comment together."""


class TableColumn(NamedTuple):
    """One column of a table."""

    name: str
    values: NDArray[Any]
    """Shape (n,)."""
    unit: str = ""
    """Any text; one that is none to the format goes to the description."""
    description: str = ""


class Table(NamedTuple):
    """A table."""

    name: str
    columns: tuple[TableColumn, ...]


class LinearAxis(NamedTuple):
    """One axis of an image."""

    name: str
    first: float = math.nan
    """Coordinate of the first pixel's centre; NaN for an axis without coordinates."""
    step: float = 1.0
    unit: str = ""


class FitsImage(NamedTuple):
    """An image of any number of axes."""

    name: str
    values: NDArray[Any]
    unit: str = ""
    description: str = ""
    axes: tuple[LinearAxis, ...] = ()
    """In the order of the array; the header has them reversed, as FITS counts."""
    wcs: str = ""
    """Header of celestial coordinates of the last two axes, cards of 80 characters; it stands
    instead of their linear ones."""


Part: TypeAlias = Table | FitsImage


@contextmanager
def appearing(path: Path, suffixes: Sequence[str], *, overwrite: bool) -> Iterator[Path]:
    """Give a temporary path beside ``path`` that takes its name on a clean end, and vanishes else.

    Parameters
    ----------
    path : Path
        The file.
    suffixes : sequence of str
        What its name may end in.
    overwrite : bool
        Whether a file there may be replaced.

    Raises
    ------
    InputError
        If the name, the folder or a file there is in the way.
    StoreError
        If the disk does not take the file.
    """
    if not path.name.lower().endswith(tuple(suffixes)):
        raise InputError(f"Cannot write {path}: end its name in {' or '.join(suffixes)}.")
    if not path.parent.is_dir():
        raise InputError(f"Cannot write {path}: create the folder {path.parent} first.")
    if path.is_dir():
        raise InputError(f"Cannot write {path}: a folder has that name, give another.")
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists: give another name, or overwrite=True to replace it.")
    # A link goes on to point at the file; the suffix stays, for it may say gzip.
    real = path.resolve()
    partial = real.with_name(f".{secrets.token_hex(4)}.{path.name}")
    try:
        yield partial
        if real.exists():
            shutil.copymode(real, partial)
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        partial.replace(real)
    except OSError as error:
        if isinstance(error, StoreError):
            raise
        raise StoreError(
            f"{path} cannot be written ({error.strerror or error}): make space on the disk, or get "
            "write permission for its folder."
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def described(text: str, unit: str, dialect: Dialect) -> str:
    """Return a description, with a unit that cannot stand in its own place."""
    return f"{text} [{unit}]" if unit and known_unit(unit, dialect) is None else text


def printable(value: object) -> object:
    """Return a value as a FITS header takes it: ASCII text, finite numbers, None else."""
    if isinstance(value, str):
        # Line breaks and other letters as Python escapes them; backslashes stay.
        return "".join(c if " " <= c <= "~" else c.encode("unicode_escape").decode() for c in value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def set_card(header: fits.Header, key: str, value: object, comment: str = "") -> None:
    """Set a keyword, with its comment where there is room."""
    header[key] = printable(value)
    # A long text takes the room of its comment.
    if comment and len(str(header[key])) + len(comment) <= CARD_ROOM:
        header.comments[key] = comment


def _table_hdu(table: Table) -> fits.BinTableHDU:
    columns = []
    for column in table.columns:
        kind = {"f": "D", "i": "K", "u": "K", "b": "L"}[column.values.dtype.kind]
        columns.append(
            fits.Column(
                name=str(printable(column.name)),
                format=kind,
                array=column.values,
                unit=known_unit(column.unit, "fits"),
            )
        )
    hdu = fits.BinTableHDU.from_columns(columns, name=str(printable(table.name)))
    for n, column in enumerate(table.columns, start=1):
        told = described(column.description, column.unit, "fits")
        if told:
            hdu.header.set(f"TCOMM{n}", str(printable(told)), after=f"TFORM{n}")
    return hdu


def _image_hdu(image: FitsImage) -> fits.ImageHDU:
    hdu = fits.ImageHDU(np.ascontiguousarray(image.values), name=str(printable(image.name)))
    unit = known_unit(image.unit, "fits")
    if unit is not None:
        hdu.header["BUNIT"] = unit
    told = described(image.description, image.unit, "fits")
    if told:
        set_card(hdu.header, "DESCRIPT", told)
    celestial = fits.Header.fromstring(image.wcs) if image.wcs else fits.Header()
    hdu.header.update(celestial)
    for n, axis in enumerate(reversed(image.axes), start=1):
        if celestial and n <= 2:
            continue
        if math.isnan(axis.first):
            set_card(hdu.header, f"AXIS{n}", axis.name, "what the axis is")
            continue
        set_card(hdu.header, f"CTYPE{n}", f"{axis.name.upper()}OFFSET", "linear")
        hdu.header[f"CRPIX{n}"] = 1.0
        hdu.header[f"CRVAL{n}"] = axis.first
        hdu.header[f"CDELT{n}"] = axis.step
        unit = known_unit(axis.unit, "fits")
        if unit is not None:
            hdu.header[f"CUNIT{n}"] = unit
    return hdu


def write_fits(
    path: Path,
    header: Mapping[str, tuple[Any, str]],
    parts: Sequence[Part],
    *,
    overwrite: bool,
    repeated: Collection[str] = (),
) -> Path:
    """Write images and tables to one FITS file.

    Parameters
    ----------
    path : Path
        Ends in .fits, .fit or .fits.gz, in a folder that exists.
    header : mapping
        Value and comment of each keyword of the primary header. Text that FITS cannot hold is
        escaped, a number that is not finite stands as undefined.
    parts : sequence of Table or FitsImage
        Extensions, in order.
    overwrite : bool
        Replace a file there.
    repeated : collection of str
        Keywords of ``header`` that the extensions have, too: people save them alone.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    InputError
        If the name, the folder or a file there is in the way.
    StoreError
        If the disk does not take the file.
    """
    primary = fits.PrimaryHDU()
    others = [_table_hdu(p) if isinstance(p, Table) else _image_hdu(p) for p in parts]
    for key, (value, comment) in header.items():
        for hdu in (primary, *others) if key in repeated else (primary,):
            set_card(hdu.header, key, value, comment)
    with appearing(path, FITS_SUFFIXES, overwrite=overwrite) as partial:
        fits.HDUList([primary, *others]).writeto(partial, checksum=True)
    return path


def write_ecsv(path: Path, table: Table, meta: Mapping[str, Any], *, overwrite: bool) -> Path:
    """Write a table as ECSV.

    Parameters
    ----------
    path : Path
        Ends in .ecsv, in a folder that exists.
    table : Table
        Its columns.
    meta : mapping
        Text and numbers that stand above the table.
    overwrite : bool
        Replace a file there.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    InputError, StoreError
        As `write_fits`.
    """
    written = astropy.table.Table(
        [
            astropy.table.Column(
                column.values,
                name=column.name,
                unit=known_unit(column.unit, "generic"),
                description=described(column.description, column.unit, "generic") or None,
            )
            for column in table.columns
        ],
        meta=dict(meta),
    )
    with appearing(path, ECSV_SUFFIXES, overwrite=overwrite) as partial:
        written.write(partial, format="ascii.ecsv")
    return path
