"""FITS files with what can go wrong with them: parts named in errors, reading without mapping."""

from __future__ import annotations

import gzip
import math
import warnings
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from io import BufferedReader
from operator import index
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning

from cubefit.errors import CubeFitError, InputError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from cubefit.io.cube_formats.cube import Layer


def _decompression_errors() -> Iterator[type[Exception]]:
    """Yield what damaged compressed images raise; it has no public name, and its place moves."""
    for place in ("hdu.compressed._compression", "_tiled_compression._compression"):
        with suppress(ImportError, AttributeError):
            yield import_module(f"astropy.io.fits.{place}").CfitsioException


_DAMAGE: Final = (
    *(OSError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError),
    *(fits.VerifyError, zlib.error, *_decompression_errors()),
)
"""What astropy raises on damaged headers and data."""
_DTYPES: Final = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
"""Types by BITPIX."""
GZIP_MAGIC: Final = b"\x1f\x8b"
GZIP_CHUNK: Final = 2**22
"""Bytes that are unpacked at once."""


def first_bytes(path: Path) -> bytes:
    """Return the first bytes of a file, which tell what kind it is.

    Raises
    ------
    InputError
        If it is missing or cannot be read.
    """
    if not path.is_file():
        raise InputError(f"{path} is no file: check the name.")
    try:
        with path.open("rb") as stream:
            return stream.read(6)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error}): get read permission.") from error


def is_fits(start: bytes) -> bool:
    """Return whether the first bytes are those of a FITS file, gzipped perhaps."""
    return start == b"SIMPLE" or start.startswith(GZIP_MAGIC)


def require_whole_gzip(path: Path) -> None:
    """Raise InputError at a gzipped file that is damaged or cut short; others pass.

    What is left of a file cut between two HDUs looks like a complete one to astropy.
    """
    if not first_bytes(path).startswith(GZIP_MAGIC):
        return
    try:
        with gzip.open(path) as stream:
            while stream.read(GZIP_CHUNK):
                pass
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(
            f"{path} is cut short or damaged ({error}): get the file again."
        ) from error


@contextmanager
def reading_fits(path: Path, mend: str = "get the file again") -> Iterator[None]:
    """Turn what astropy raises on damaged files, or warns of short ones, into InputError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd cards and units elsewhere in the header
        warnings.filterwarnings("error", "File may have been truncated", AstropyUserWarning)
        try:
            yield
        except CubeFitError:
            raise
        except (*_DAMAGE, AstropyUserWarning) as error:
            raise InputError(f"{path} cannot be read as FITS ({error}): {mend}.") from error


class Header(Mapping[str, Any]):
    """A FITS header whose damaged cards are clear errors, and only where they are in need."""

    def __init__(self, path: Path, cards: fits.Header) -> None:
        self._path = path
        self.cards = cards

    def __contains__(self, key: object) -> bool:
        """Return whether there is such a keyword."""
        with reading_fits(self._path):
            return key in self.cards

    def __getitem__(self, key: str) -> Any:
        """Return a value; KeyError if there is no such keyword, InputError if it is damaged."""
        if key not in self:
            raise KeyError(key)
        with reading_fits(self._path):
            return self.cards[key]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the keywords."""
        return iter(self.cards)

    def __len__(self) -> int:
        """Return the number of keywords."""
        return len(self.cards)


@dataclass(frozen=True, slots=True)
class FitsFile:
    """An open FITS file; made by `fits_file`."""

    path: Path
    hdus: fits.HDUList
    stream: BufferedReader
    zipped: bool
    """Compressed as a whole: its data are held in memory while it is open."""

    @property
    def names(self) -> tuple[str, ...]:
        """EXTNAME of each HDU in capitals, empty where there is none."""
        headers = map(self.header, range(len(self.hdus)))
        return tuple(str(header.get("EXTNAME", "")).strip().upper() for header in headers)

    def index(self, name: str) -> int | None:
        """Return which HDU has this EXTNAME, None if there is none.

        Raises
        ------
        InputError
            If several have it.
        """
        found = [number for number, have in enumerate(self.names) if have == name]
        if len(found) > 1:
            raise InputError(
                f"{self.path} has {len(found)} HDUs named {name}: keep the one that counts."
            )
        return found[0] if found else None

    def require(self, name: str, why: str) -> int:
        """Return which HDU has this EXTNAME, or refuse the file.

        Raises
        ------
        InputError
            It says what the HDU is for, and what the file holds instead.
        """
        number = self.index(name)
        if number is None:
            raise InputError(
                f"{self.path} lacks the HDU {name} ({why}); it holds {self.contents()}: give the "
                "complete file, or another format=."
            )
        return number

    def shape(self, number: int) -> tuple[int, ...]:
        """Return the shape of an image HDU, empty for a table or no data."""
        hdu = self.hdus[number]
        with reading_fits(self.path):
            # A damaged card of a compressed image gives a length in words.
            return tuple(map(index, hdu.shape)) if isinstance(hdu, _IMAGES) else ()

    def columns(self, number: int) -> tuple[str, ...]:
        """Return the columns of a table HDU in capitals, none for an image."""
        hdu = self.hdus[number]
        if not isinstance(hdu, fits.BinTableHDU) or isinstance(hdu, fits.CompImageHDU):
            return ()
        with reading_fits(self.path):
            return tuple(name.upper() for name in hdu.columns.names)

    def column_unit(self, number: int, name: str) -> str:
        """Return the unit of a column, empty where it has none."""
        with reading_fits(self.path):
            return str(self.hdus[number].columns[name].unit or "").strip()

    def header(self, number: int) -> Header:
        """Return a header."""
        with reading_fits(self.path):
            return Header(self.path, self.hdus[number].header)

    def cubes(self) -> tuple[int, ...]:
        """Return which HDUs are images of three axes."""
        return tuple(n for n in range(len(self.hdus)) if len(self.shape(n)) == 3)

    def require_shape(self, number: int, shape: tuple[int, ...], like: str) -> int:
        """Return the number of an HDU after a look at its shape.

        Raises
        ------
        InputError
            If the shape differs.
        """
        if self.shape(number) != shape:
            raise InputError(
                f"{self.path}: HDU {number} {self.names[number]} has shape {self.shape(number)}, "
                f"but {like} has {shape}: give a file whose parts belong together."
            )
        return number

    def bytes_per_value(self, number: int) -> int:
        """Return the memory of one value while it is read."""
        header = self.header(number)
        scaled = header.get("BSCALE", 1) != 1 or header.get("BZERO", 0) != 0
        with reading_fits(self.path):
            return 8 if scaled else abs(int(header["BITPIX"])) // 8

    def array(self, number: int) -> NDArray[Any]:
        """Return all values of an image HDU, scaled by BSCALE and BZERO, in native bytes."""
        with reading_fits(self.path):
            return _native(np.array(self.hdus[number].data))

    def table(self, number: int) -> fits.FITS_rec:
        """Return the rows of a table HDU."""
        with reading_fits(self.path):
            return self.hdus[number].data

    def layer(self, number: int) -> Layer:
        """Return how to read planes of a cube; a zipped one is read as a whole now."""
        hdu = self.hdus[number]
        if self.zipped:
            whole = self.array(number)
            return lambda wave: whole[wave]

        if self._is_plain(number):
            return self._direct(number)

        def planes(wave: slice) -> NDArray[Any]:
            with reading_fits(self.path):
                return _native(np.asarray(hdu.section[wave]))

        return planes

    def _is_plain(self, number: int) -> bool:
        """Return whether the bytes of an image are the values themselves."""
        hdu, header = self.hdus[number], self.header(number)
        as_they_are = header.get("BSCALE", 1) == 1 and header.get("BZERO", 0) == 0
        return as_they_are and "BLANK" not in header and not isinstance(hdu, fits.CompImageHDU)

    def _direct(self, number: int) -> Layer:
        """Return how to read planes past astropy, whose sections cost 50 us each."""
        with reading_fits(self.path):
            first = int(self.hdus[number].fileinfo()["datLoc"])
            dtype = np.dtype(_DTYPES[int(self.header(number)["BITPIX"])])
        plane = self.shape(number)[1:]
        plane_bytes = dtype.itemsize * math.prod(plane)

        def planes(wave: slice) -> NDArray[Any]:
            values = np.empty((wave.stop - wave.start, *plane), dtype)
            self.stream.seek(first + wave.start * plane_bytes)
            if self.stream.readinto(values) != values.nbytes:  # type: ignore[arg-type]
                raise InputError(
                    f"{self.path} cannot be read as FITS (HDU {number} is cut short): get the file "
                    "again."
                )
            return _native(values)

        return planes

    def only_image(self, holding: str) -> int:
        """Return the number of the one HDU that is an image of two axes.

        Parameters
        ----------
        holding : str
            What the image should hold, for the error.

        Raises
        ------
        InputError
            If there are more, or none.
        """
        images = [n for n in range(len(self.hdus)) if len(self.shape(n)) == 2]
        if len(images) != 1:
            raise InputError(
                f"{self.path} has {len(images)} images; it holds {self.contents()}: give a file "
                f"with one image of {holding}."
            )
        return images[0]

    def contents(self) -> str:
        """Return the HDUs in words."""
        return "; ".join(
            f"HDU {n} {name or '(no name)'} "
            + (f"with columns {', '.join(self.columns(n)[:12])}" if self.columns(n) else "")
            + (str(self.shape(n)) if self.shape(n) else "" if self.columns(n) else "without data")
            for n, name in enumerate(self.names)
        )


_IMAGES: Final = (fits.PrimaryHDU, fits.ImageHDU, fits.CompImageHDU)


@contextmanager
def fits_file(path: Path) -> Iterator[FitsFile]:
    """Open a FITS file.

    It is not mapped into memory, so that what was read does not count as memory in use.

    Raises
    ------
    InputError
        If it is missing, no FITS file, damaged or cut short.
    """
    zipped = first_bytes(path).startswith(GZIP_MAGIC)
    with ExitStack() as stack:
        with reading_fits(path):
            # Our own stream: astropy leaves its own open when it stumbles over a damaged header.
            stream = stack.enter_context(path.open("rb"))
            hdus = stack.enter_context(fits.open(stream, memmap=False))
            len(hdus)  # reads all headers
        yield FitsFile(path, hdus, stream, zipped)


def _native(values: NDArray[Any]) -> NDArray[Any]:
    """Return freshly read values in the byte order of this machine, swapped in place."""
    if values.dtype.isnative:
        return values
    return values.byteswap(inplace=True).view(values.dtype.newbyteorder("="))
