"""Masks of the spatial pixels of a cube: which to use, and which a star or an artefact covers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cubefit.errors import InputError
from cubefit.io.fits_files import first_bytes, fits_file, is_fits
from cubefit.io.numbers import number_rows, read_array

DUE: Final = "give 1 and 0 as a FITS image, .npy or text"


def read_spatial_mask(
    path: str | Path, n_pix: int, image_shape: tuple[int, int] | None
) -> NDArray[np.bool_]:
    """Read which spatial pixels of a cube to use.

    Parameters
    ----------
    path : str or Path
        A FITS file with one image, a ``.npy`` file, or text: 1 for each pixel to use, 0 or NaN for
        the others, in the order of the cube, row by row.
    n_pix : int
        Number of spatial pixels of the cube.
    image_shape : tuple of int or None
        (ny, nx) of the cube where its pixels are of an image; rows and columns must be these.

    Returns
    -------
    ndarray of bool, shape (n_pix,)
        True = use.

    Raises
    ------
    InputError
        If the file is damaged, of other pixels, holds anything else, or leaves no pixel.
    """
    path = Path(path)
    if is_fits(first_bytes(path)):
        with fits_file(path) as file:
            values = file.array(file.only_image("1 and 0"))
    else:
        values = _plain_of(path)
    if values.ndim == 2 and 1 not in values.shape and values.shape != (image_shape or values.shape):
        raise InputError(
            f"{path} is an image of {values.shape} pixels, but the cube one of {image_shape}: give "
            "a mask of this cube."
        )
    if values.size != n_pix:
        raise InputError(
            f"{path} masks {values.size} pixels, but the cube has {image_shape or n_pix}: give one "
            "number for each of its spatial pixels."
        )
    values = values.ravel()
    known = np.isfinite(values)
    other = np.unique(values[known & (values != 0) & (values != 1)])
    if other.size:
        raise InputError(
            f"{path} holds {other[0]:g}: give 1 for pixels to use, and 0 for those to leave out."
        )
    use = known & (values == 1)
    if not use.any():
        raise InputError(f"{path} leaves no pixel: give 1 for those to use, not for bad ones.")
    return np.asarray(use)


def _plain_of(path: Path) -> NDArray[Any]:
    """Return the numbers of ``.npy``, or of text, whose lines are rows where they are even."""
    if path.suffix == ".npy":
        return read_array(path, DUE)
    rows = number_rows(path, DUE)
    if len({len(row) for row in rows}) == 1:
        return np.array(rows)
    return np.array([number for row in rows for number in row])
