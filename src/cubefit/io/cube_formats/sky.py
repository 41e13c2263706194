"""Where the pixels of an image are: arcsec along its axes, and its celestial header."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from astropy.wcs import WCS

from cubefit.errors import ConfigError, InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from astropy.io import fits
    from numpy.typing import NDArray

ARCSEC: Final = {"DEG": 3600.0, "DEGREE": 3600.0, "DEGREES": 3600.0, "ARCSEC": 1.0, "ARCMIN": 60.0}
"""Units of CUNIT1 and CUNIT2 in capitals, in arcsec."""


def pixel_positions(
    header: Mapping[str, Any], shape: tuple[int, int], pixel_scale: float | None, where: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the positions of all pixels along the columns and rows of an image.

    The scale of each axis is the length of its column of the CD matrix, or its CDELT times
    that of the PC matrix; it is positive whatever the direction on the sky.

    Parameters
    ----------
    header : mapping
        Header of the image or cube.
    shape : tuple of int
        (ny, nx).
    pixel_scale : float or None
        Arcsec per pixel instead of what the header says.
    where : str
        File and HDU, for errors.

    Returns
    -------
    x, y : ndarray, shape (ny * nx,)
        Arcsec from the centre of the image, C order over (row, column).

    Raises
    ------
    InputError
        If the header states no scale.
    ConfigError
        If ``pixel_scale`` is not positive.
    """
    if pixel_scale is not None and not (0 < pixel_scale < math.inf):
        raise ConfigError(f"pixel_scale={pixel_scale}: must be positive, in arcsec per pixel.")
    scale = [pixel_scale or _require_scale(header, axis, where) for axis in (1, 2)]
    ny, nx = shape
    y, x = np.indices((ny, nx), dtype=np.float64)
    return scale[0] * (x.ravel() - 0.5 * (nx - 1)), scale[1] * (y.ravel() - 0.5 * (ny - 1))


def celestial_header(header: fits.Header) -> str | None:
    """Return the celestial part of a header as text, None if it has none.

    The two axes keep their order. Raises what astropy raises on impossible keywords.
    """
    wcs = WCS(header)
    if wcs.naxis < 2 or not wcs.sub([1, 2]).has_celestial:
        return None
    return str(wcs.sub([1, 2]).to_header_string())


def axis_scale(header: Mapping[str, Any], axis: int) -> float | None:
    """Return the arcsec per pixel along an axis of an image, None where the header is silent.

    Without a unit a celestial axis is in degrees, and any other of unknown unit.
    """
    unit = str(header.get(f"CUNIT{axis}", "")).strip().upper()
    celestial = str(header.get(f"CTYPE{axis}", "")).upper().startswith(("RA-", "DEC-", "GL", "EL"))
    in_arcsec = ARCSEC.get(unit or ("DEG" if celestial else ""))
    length = _axis_length(header, axis)
    return length * in_arcsec if in_arcsec and 0 < length < math.inf else None


def _require_scale(header: Mapping[str, Any], axis: int, where: str) -> float:
    scale = axis_scale(header, axis)
    if scale is None:
        raise InputError(
            f"{where} states no pixel scale of axis {axis} (CD{axis}_{axis} or CDELT{axis}, with "
            f"CUNIT{axis}): give pixel_scale= (cube.pixel_scale in settings) in arcsec."
        )
    return scale


def _axis_length(header: Mapping[str, Any], axis: int) -> float:
    """Return the step along one axis of the image, 0 if the header has none."""
    if any(f"CD{i}_{axis}" in header for i in (1, 2)):
        return math.hypot(*(_number(header, f"CD{i}_{axis}", 0.0) for i in (1, 2)))
    rows = [
        _number(header, f"CDELT{i}", 0.0) * _number(header, f"PC{i}_{axis}", float(i == axis))
        for i in (1, 2)
    ]
    return math.hypot(*rows)


def _number(header: Mapping[str, Any], key: str, default: float) -> float:
    """Return a number of a header, NaN where it is something else."""
    value = header.get(key, default)
    return float(value) if type(value) in {int, float} else math.nan
