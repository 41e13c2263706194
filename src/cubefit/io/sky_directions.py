"""Where north and east are on an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cubefit.observation import ImagePlane

Direction: TypeAlias = "tuple[float, float]"

STEP_DEG: Final = 1e-4


def north_and_east(plane: ImagePlane) -> tuple[Direction, Direction] | None:
    """Return the directions of north and east in the middle of an image.

    Parameters
    ----------
    plane : ImagePlane
        Its celestial coordinates are equatorial, or there is no answer.

    Returns
    -------
    north, east : tuple of float, or None
        Unit vectors in the coordinates of the image pixels, x along the columns and y along the
        rows.
    """
    if not plane.wcs:
        return None
    wcs = WCS(fits.Header.fromstring(plane.wcs)).celestial
    if [name[:4].strip("-") for name in wcs.wcs.ctype] not in (["RA", "DEC"], ["DEC", "RA"]):
        return None
    is_swapped = wcs.wcs.lng == 1
    ny, nx = plane.shape
    middle = np.array([0.5 * (nx - 1), 0.5 * (ny - 1)])
    place = wcs.wcs_pix2world(middle[None], 0)[0]
    if is_swapped:
        place = place[::-1]
    towards = np.array([[0.0, STEP_DEG], [STEP_DEG / np.cos(np.radians(place[1])), 0.0]])
    moved = place + towards
    pixels = wcs.wcs_world2pix(moved[:, ::-1] if is_swapped else moved, 0)
    steps = (pixels - middle) * (plane.x[1], plane.y[1])
    if not np.isfinite(steps).all():
        return None
    return _unit(steps[0]), _unit(steps[1])


def _unit(vector: NDArray[np.float64]) -> Direction:
    x, y = vector / np.hypot(*vector)
    return float(x), float(y)
