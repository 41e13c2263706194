"""DYNAMITE's pixel grid (``aperture.dat``) and the bin of each pixel (``bins.dat``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cubefit.errors import InputError
from cubefit.io.numbers import number_rows

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Apertures:
    """The spatial bins (apertures) of one kinematic set."""

    binnum: NDArray[np.int32]
    """Bin of each pixel, shape (nPix,), from 0, x fastest; -1 for pixels in none."""
    x: NDArray[np.float64]
    """Along the rows of the image, arcsec, shape (nPix,)."""
    y: NDArray[np.float64]
    """Along the columns of the image, arcsec, shape (nPix,)."""
    image_shape: tuple[int, int]
    """Rows and columns of the image."""

    @property
    def n_bins(self) -> int:
        """Number of bins."""
        return int(self.binnum.max()) + 1


def read_apertures(aperture_file: Path, bin_file: Path) -> Apertures:
    """Read the bins of one kinematic set.

    Parameters
    ----------
    aperture_file : Path
        Lower left corner, extent, angle, and number of pixels, each in x and y, on four lines.
    bin_file : Path
        Number of pixels, then the bin of each, from 1, and 0 for none.

    Raises
    ------
    InputError
        If a file is missing, damaged, or does not fit the other.
    """
    low, extent, (nx, ny) = _grid(aperture_file)
    numbers = _numbers(bin_file)
    if numbers.size != nx * ny + 1 or numbers[0] != nx * ny:
        raise InputError(
            f"{bin_file} announces {numbers[0] if numbers.size else 0:g} pixels and holds "
            f"{max(numbers.size - 1, 0)}, but {aperture_file} has {nx} x {ny}: give the two files "
            "of one kinematic set."
        )
    bins = numbers[1:]
    used = np.unique(bins[bins > 0])
    if not np.array_equal(used, np.arange(1, used.size + 1)) or bins.min() < 0 or not used.size:
        raise InputError(
            f"{bin_file} names {used.size} bins from {bins.min():g} to {bins.max():g}: they must "
            "be 1 to their number, each with a pixel, and 0 for none."
        )
    x, y = (
        start + size * (np.arange(n) + 0.5) / n
        for start, size, n in zip(low, extent, (nx, ny), strict=True)
    )
    rows, columns = np.meshgrid(y, x, indexing="ij")
    return Apertures(bins.astype(np.int32) - 1, columns.ravel(), rows.ravel(), (ny, nx))


def _grid(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[int, int]]:
    """Return the corner, the extent and the number of pixels."""
    numbers = _numbers(path)
    # rint, because a number of pixels that is not whole is a damaged one.
    if (
        numbers.size != 7
        or not (numbers[[2, 3, 5, 6]] > 0).all()
        or (numbers[5:] != np.rint(numbers[5:])).any()
    ):
        raise InputError(
            f"{path} holds {numbers.size} numbers {numbers[:8]}: corner, extent, angle and number "
            "of pixels are due (x y, x y, angle, nx ny)."
        )
    nx, ny = (int(n) for n in numbers[5:])
    return numbers[:2], numbers[2:4], (nx, ny)


def _numbers(path: Path) -> NDArray[np.float64]:
    rows = number_rows(path, "give DYNAMITE's aperture and bin files")
    return np.array([number for row in rows for number in row])
