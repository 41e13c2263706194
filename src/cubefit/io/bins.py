"""Maps of bins: which spatial pixel lies in which bin, from what binning programs write."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cubefit.errors import ConfigError, InputError
from cubefit.io.cube_formats.sky import axis_scale, celestial_header, pixel_positions
from cubefit.io.dynamite.apertures import read_apertures
from cubefit.io.fits_files import FitsFile, first_bytes, fits_file, is_fits, reading_fits
from cubefit.io.npz import open_npz
from cubefit.io.numbers import number_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

NO_BIN: Final = -1
NO_MAP: Final = "give a map of bins: FITS, npz, or a table of text"
BIN_COLUMNS: Final = ("bin", "binnum", "bin_num", "bin_number", "binid", "bin_id")
"""Names of the column of bins in text tables with more than three columns."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BinMap:
    """Which spatial pixel lies in which bin; made by `bin_map`."""

    binnum: NDArray[np.int32]
    """Bin of each spatial pixel, shape (nPix,): 0 to n_bins - 1, each used, or -1 for none."""
    x: NDArray[np.float64] | None
    """Positions in arcsec, shape (nPix,), as the file gives them, if it does."""
    y: NDArray[np.float64] | None
    image_shape: tuple[int, int] | None
    """(ny, nx) where the pixels are all those of an image, in C order over (row, column)."""
    labels: NDArray[np.int64]
    """The file's own number of each bin, shape (n_bins,), increasing."""
    wcs: str | None = None
    """Header of the two celestial axes of that image, if the file has one."""

    @property
    def n_bins(self) -> int:
        """Number of bins."""
        return self.labels.size


def bin_map(
    ids: NDArray[Any],
    in_a_bin: NDArray[np.bool_],
    where: str,
    *,
    x: NDArray[Any] | None = None,
    y: NDArray[Any] | None = None,
    image_shape: tuple[int, int] | None = None,
    labels_from: int = 0,
    wcs: str | None = None,
) -> BinMap:
    """Return the map of bins of the numbers that a program gave them.

    Parameters
    ----------
    ids : ndarray, shape (nPix,)
        Whole numbers; bins are numbered anew in their order.
    in_a_bin : ndarray of bool, shape (nPix,)
        False for pixels in no bin.
    where : str
        The file, for errors.
    x, y : ndarray, shape (nPix,), optional
        Positions in arcsec.
    image_shape : tuple of int, optional
        (ny, nx).
    labels_from : int
        What the file calls bin 0.
    wcs : str, optional
        Header of the celestial axes of the image.

    Raises
    ------
    InputError
        If a number is not whole, no pixel is in a bin, or the arrays disagree in size.
    """
    used = np.asarray(ids)[in_a_bin]
    if not used.size:
        raise InputError(f"{where}: no pixel is in a bin: give the map of the bins.")
    whole = used.dtype.kind in "fiu" and np.isfinite(used).all() and (used == np.rint(used)).all()
    if not whole:
        raise InputError(
            f"{where}: bins of type {used.dtype} are not whole numbers: give one integer a pixel."
        )
    for name, values in (("x", x), ("y", y)):
        if values is not None and (values.shape != ids.shape or not np.isfinite(values).all()):
            raise InputError(
                f"{where}: {name} is not one finite number for each of {ids.size} pixels: give "
                "all positions in arcsec."
            )
    labels, numbers = np.unique(used.astype(np.int64), return_inverse=True)
    binnum = np.full(ids.shape, NO_BIN, np.int32)
    binnum[in_a_bin] = numbers
    return BinMap(
        binnum=binnum,
        x=None if x is None else x.astype(np.float64),
        y=None if y is None else y.astype(np.float64),
        image_shape=image_shape,
        labels=labels + labels_from,
        wcs=wcs,
    )


def read_bins(
    path: str | Path,
    format: str = "auto",  # noqa: A002 (as in `read_cube`)
    *,
    zero_is_bin: bool | None = None,
) -> BinMap:
    """Read a map of bins.

    Parameters
    ----------
    path : str or Path
        The file.
    format : {"auto", "ngist", "image", "npz", "text", "dynamite"}, optional
        ``ngist`` is ``RUN_table.fits``: negative bins are masked spaxels, and which of those in
        bin 0 are masked is read from ``RUN_mask.fits`` beside it or follows from NSPAX.
        ``image`` is a FITS image of bins; negative ones and NaN are none. ``npz`` holds
        ``binnum`` (-1 = none), and ``x``, ``y`` if you have them, in arcsec. ``text`` has the
        columns x, y, bin (vorbin, PowerBin, AGAMA), or more of them with their names in the last
        comment before the numbers, or bins alone. ``dynamite`` is ``bins.dat`` with
        ``aperture.dat`` beside it. By default it is found out by what the file holds.
    zero_is_bin : bool, optional
        Whether pixels with 0 are in a bin. By default they are in npz and text, where negative
        numbers say none, and in an image that has negative numbers or NaN. An image with 0 and
        neither is refused, because 0 may be a bin or none. DYNAMITE's 0 is always none.

    Returns
    -------
    BinMap

    Raises
    ------
    InputError
        If the file is damaged, of no format that is known, or does not say which pixels are in
        no bin.
    ConfigError
        If ``format`` is unknown, or ``zero_is_bin`` contradicts it.
    """
    path = Path(path)
    if format != "auto" and format not in _READERS:
        raise ConfigError(f"format={format!r}: must be auto, {', '.join(_READERS)}.")
    first_bytes(path)
    name = _recognise(path) if format == "auto" else format
    if name in {"ngist", "dynamite"} and zero_is_bin is not None:
        raise ConfigError(
            f"zero_is_bin={zero_is_bin}: {path} is of the format {name}, which says it: leave it "
            "out."
        )
    return _READERS[name](path, zero_is_bin)


def _recognise(path: Path) -> str:
    start = first_bytes(path)
    if is_fits(start):
        with fits_file(path) as file:
            return "ngist" if _ngist_table(file) is not None else "image"
    if start.startswith(b"PK"):
        return "npz"
    lines = number_rows(path, NO_MAP)
    return "dynamite" if lines and len(lines[0]) == 1 and _aperture_file(path) else "text"


def _read_ngist(path: Path, zero_is_bin: bool | None) -> BinMap:  # noqa: ARG001
    with fits_file(path) as file:
        number = _ngist_table(file)
        if number is None:
            raise InputError(
                f"{path} has no table with the columns BIN_ID, X and Y; it holds "
                f"{file.contents()}: give RUN_table.fits, or another format=."
            )
        rows = file.table(number)
        ids, x, y = (np.array(rows[name]) for name in ("BIN_ID", "X", "Y"))
        n_spax = np.array(rows["NSPAX"]) if "NSPAX" in file.columns(number) else None
        steps = [file.header(n).get("PIXSIZE") for n in range(len(file.hdus))]
        planes = [n for n in range(len(file.hdus)) if len(file.shape(n)) == 2]
        images = {file.shape(n): _celestial(file, n) for n in planes}
    step = next((value for value in steps if type(value) in {int, float}), None)
    in_a_bin = (ids >= 0) & ~np.signbit(ids) if ids.dtype.kind == "f" else ids >= 0
    if ids.dtype.kind != "f":
        in_a_bin &= _unmasked_in_zero(path, ids, n_spax)
    shape = _image_shape(x, y, step)
    wcs = None if shape is None else images.get(shape)
    return bin_map(ids, in_a_bin, str(path), x=x, y=y, image_shape=shape, wcs=wcs)


def _celestial(file: FitsFile, number: int) -> str | None:
    with reading_fits(file.path):
        return celestial_header(file.header(number).cards)


def _ngist_table(file: FitsFile) -> int | None:
    wanted = {"BIN_ID", "X", "Y"}
    return next((n for n in range(len(file.hdus)) if wanted <= set(file.columns(n))), None)


def _mask_name(path: Path) -> str:
    return path.name.replace("_table.fits", "_mask.fits")


def _mask_file(path: Path) -> Path | None:
    beside = path.with_name(_mask_name(path))
    return beside if beside != path and beside.is_file() else None


def _unmasked_in_zero(
    path: Path, ids: NDArray[Any], n_spax: NDArray[Any] | None
) -> NDArray[np.bool_]:
    """Return False for the masked spaxels with BIN_ID 0, which stands for -0 there."""
    beside = _mask_file(path)
    if beside is not None:
        return _ngist_unmasked(beside, ids.size)
    zero = ids == 0
    if not zero.any() or (n_spax is None and (ids >= 0).all()):
        return np.ones(ids.shape, np.bool_)
    # NSPAX counts unmasked spaxels; where it agrees with all other bins it can be trusted.
    if n_spax is not None:
        counts = np.bincount(ids[ids > 0], minlength=1)
        trusted = (n_spax[ids > 0] == counts[ids[ids > 0]]).all()
        if trusted and (n_spax[zero] == zero.sum()).all():
            return np.ones(ids.shape, np.bool_)
    raise InputError(
        f"{path}: BIN_ID 0 is bin 0 or, as -0, a masked spaxel near it, and the table does not "
        f"tell: put the mask of the same run beside it, as {_mask_name(path)}."
    )


def _ngist_unmasked(path: Path, n_pix: int) -> NDArray[np.bool_]:
    with fits_file(path) as file:
        number = next((n for n in range(len(file.hdus)) if "MASK" in file.columns(n)), None)
        if number is None:
            raise InputError(
                f"{path} has no table with a column MASK; it holds {file.contents()}: get the "
                "mask of the same run, or move it away."
            )
        mask = np.array(file.table(number)["MASK"])
    if mask.shape != (n_pix,):
        raise InputError(
            f"{path} masks {mask.size} spaxels, but the table has {n_pix}: take both of one run."
        )
    return np.asarray(mask == 0, np.bool_)


def _image_shape(x: NDArray[Any], y: NDArray[Any], step: float | None) -> tuple[int, int] | None:
    """Return (ny, nx) if positions are those of a whole image in C order."""
    if step is None or not (0 < step < math.inf) or not max(np.ptp(x), np.ptp(y)) < 1e6 * step:
        return None
    column = np.rint((x - x.min()) / step).astype(np.int64)
    row = np.rint((y - y.min()) / step).astype(np.int64)
    ny, nx = int(row.max()) + 1, int(column.max()) + 1
    whole = x.size == ny * nx and np.array_equal(row * nx + column, np.arange(x.size))
    return (ny, nx) if whole else None


def _read_image(path: Path, zero_is_bin: bool | None) -> BinMap:
    with fits_file(path) as file:
        number = file.only_image("bins")
        image = file.array(number)
        x, y = _positions(file, number)
        wcs = _celestial(file, number)
    none = ~(image >= 0)
    if zero_is_bin is None and not none.any() and (image == 0).any():
        raise InputError(
            f"{path}: pixels with 0 are in bin 0 or in none, and no pixel is negative or NaN: give "
            "zero_is_bin=True or zero_is_bin=False."
        )
    if zero_is_bin is False:
        none |= image == 0
    ny, nx = image.shape
    numbers = image.ravel()
    return bin_map(numbers, ~none.ravel(), str(path), x=x, y=y, image_shape=(ny, nx), wcs=wcs)


def _positions(
    file: FitsFile, number: int
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
    ny, nx = file.shape(number)
    header = file.header(number)
    if None in {axis_scale(header, 1), axis_scale(header, 2)}:
        return None, None
    return pixel_positions(header, (ny, nx), None, f"{file.path} HDU {number}")


def _read_npz(path: Path, zero_is_bin: bool | None) -> BinMap:
    with open_npz(path) as stored:
        if "binnum" not in stored:
            raise InputError(
                f"{path} lacks binnum; it holds {', '.join(stored.files)}: save the bin of each "
                "pixel, -1 for none, with np.savez."
            )
        found: dict[str, NDArray[Any]] = {
            key: stored[key] for key in ("binnum", "x", "y") if key in stored
        }
    ids = found["binnum"]
    if ids.ndim not in {1, 2}:
        raise InputError(f"{path}: binnum has shape {ids.shape}: give (nPix,) or (ny, nx).")
    x, y = (found[key].ravel() if key in found else None for key in ("x", "y"))
    shape = (ids.shape[0], ids.shape[1]) if ids.ndim == 2 else None
    ids = ids.ravel()
    return bin_map(ids, _binned(ids, zero_is_bin), str(path), x=x, y=y, image_shape=shape)


def _binned(ids: NDArray[Any], zero_is_bin: bool | None) -> NDArray[np.bool_]:
    return np.asarray(ids > 0 if zero_is_bin is False else ids >= 0)


def _read_text(path: Path, zero_is_bin: bool | None) -> BinMap:
    lines = number_rows(path, NO_MAP)
    widths = {len(line) for line in lines}
    if len(widths) != 1:
        raise InputError(
            f"{path} has lines of {', '.join(map(str, sorted(widths))) or 'no'} numbers: give a "
            "table with the columns x, y and bin."
        )
    values = np.array(lines)
    columns = _text_columns(path, widths.pop())
    x, y, ids = (None if n is None else values[:, n] for n in columns)
    if ids is None:
        raise InputError(f"{path} has no column of bins: name one of them bin.")
    return bin_map(ids, _binned(ids, zero_is_bin), str(path), x=x, y=y)


def _text_columns(path: Path, width: int) -> tuple[int | None, int | None, int | None]:
    """Return the columns of x, y and bin."""
    if width == 1:
        return None, None, 0
    if width == 3:
        return 0, 1, 2
    comments = [line for line in path.read_text().splitlines() if line.lstrip().startswith("#")]
    names = comments[-1].lstrip("# ").replace(",", " ").lower().split() if comments else []
    bins = [names.index(name) for name in BIN_COLUMNS if name in names]
    if len(names) != width or len(bins) != 1 or not {"x", "y"} <= set(names):
        raise InputError(
            f"{path} has {width} columns, and its last comment names {names or 'none'}: give the "
            "columns x, y and bin, or name all columns there."
        )
    return names.index("x"), names.index("y"), bins[0]


def _aperture_file(path: Path) -> Path | None:
    beside = path.with_name(path.name.replace("bins", "aperture"))
    return beside if beside != path and beside.is_file() else None


def _read_dynamite(path: Path, zero_is_bin: bool | None) -> BinMap:  # noqa: ARG001
    aperture = _aperture_file(path)
    if aperture is None:
        raise InputError(
            f"{path} has no aperture file beside it: put aperture.dat beside bins.dat, both with "
            "the same name but for these words."
        )
    found = read_apertures(aperture, path)
    return bin_map(
        found.binnum,
        found.binnum >= 0,
        str(path),
        x=found.x,
        y=found.y,
        image_shape=found.image_shape,
        labels_from=1,
    )


def bin_files(path: str | Path) -> list[Path]:
    """Return a map of bins and the files beside it that are read with it."""
    path = Path(path)
    beside = (_aperture_file(path), _mask_file(path))
    return [path, *(file for file in beside if file is not None)]


_READERS: Final[Mapping[str, Callable[[Path, bool | None], BinMap]]] = {
    "ngist": _read_ngist,
    "image": _read_image,
    "npz": _read_npz,
    "text": _read_text,
    "dynamite": _read_dynamite,
}
