"""From spaxels to image pixels, and from a list of pixels to an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cubefit.errors import InputError
from cubefit.observation import ImagePlane

Float = NDArray[np.float64]

OFF_GRID_PX: Final = 0.01
"""Departure from a regular grid, in pixels, that coordinates may have: they are often rounded to
three digits."""
RESOLUTIONS: Final = (0.1, 1e-3)
"""Differences of coordinates below this part of the largest are none: tried in this order. The
first lets coordinates be rounded, the second grids have gaps of hundreds of columns."""
MOST_EMPTY: Final = 1000
"""Pixels of an image per pixel in the list beyond which the grid found is an accident."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pixels:
    """The image pixels of a file."""

    bins: NDArray[np.int32]
    """Spaxel of each pixel, shape (nPix,); negative for a pixel in none."""
    x: Float | None
    """Coordinates, shape (nPix,)."""
    y: Float | None
    """Likewise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelGrid:
    """A regular grid that image pixels lie on."""

    x: Float
    """Coordinate of each column, shape (nx,)."""
    y: Float
    """Coordinate of each row, shape (ny,)."""
    column: NDArray[np.intp]
    """Of each pixel, shape (nPix,)."""
    row: NDArray[np.intp]
    """Likewise."""

    def image_of(self, values: NDArray[Any], empty: float = np.nan) -> NDArray[Any]:
        """Return values of the pixels (nPix,) as an image (ny, nx)."""
        image = np.full((self.y.size, self.x.size), empty, values.dtype)
        image[self.row, self.column] = values
        return image


def spread_over_pixels(values: Float, bins: NDArray[np.integer], *, extensive: bool) -> Float:
    """Return values of spaxels as values of the pixels in them.

    Parameters
    ----------
    values : ndarray, shape (S,)
        One value per spaxel.
    bins : ndarray of int, shape (nPix,)
        Spaxel of each pixel; negative for a pixel in none.
    extensive : bool
        Divide the value evenly over the pixels of the spaxel, as light and mass need it, instead of
        repeating it.

    Returns
    -------
    ndarray, shape (nPix,)
        NaN for pixels in no spaxel.
    """
    inside = bins >= 0
    spread = np.full(bins.shape, np.nan)
    spread[inside] = values[bins[inside]]
    if extensive:
        counts = np.bincount(bins[inside], minlength=values.size)
        spread[inside] /= counts[bins[inside]]
    return spread


def grid_along(name: str, coordinates: Float) -> tuple[Float, NDArray[np.intp]]:
    """Return the regular grid of coordinates along one axis, and the place of each on it.

    There may be gaps, but somewhere neighbours on the grid must be there.

    Parameters
    ----------
    name : str
        Of the axis, for errors.
    coordinates : ndarray, shape (nPix,)
        In any order.

    Returns
    -------
    grid : ndarray, shape (n,)
        Ascending; a single value where all coordinates are one.
    places : ndarray of int, shape (nPix,)

    Raises
    ------
    InputError
        If they do not lie on one.
    """
    order = np.argsort(coordinates, kind="stable")
    ascending = coordinates[order]
    differences = np.diff(ascending)
    largest = float(differences.max(initial=0.0))
    if largest == 0:
        return ascending[:1], np.zeros(coordinates.size, np.intp)
    for resolution in RESOLUTIONS:
        steps = np.where(differences > resolution * largest, differences, 0.0)
        shortest = steps[steps > 0].min()
        typical = np.median(steps[(steps > 0) & (steps < 1.5 * shortest)])
        counts = np.concatenate([[0.0], np.cumsum(np.rint(steps / typical))])
        grid = np.linspace(ascending[0], ascending[-1], int(counts[-1]) + 1)
        places = np.empty(coordinates.size, np.intp)
        places[order] = counts.astype(np.intp)
        if np.abs(coordinates - grid[places]).max() <= OFF_GRID_PX * (grid[1] - grid[0]):
            return grid, places
    raise InputError(
        f"The {name} coordinates of the image pixels lie on no regular grid, so there is no image "
        "of them: use maps(), or populate with coordinates along the rows and columns."
    )


def regular_grid(x: Float, y: Float) -> PixelGrid:
    """Return the regular grid that pixels lie on.

    Parameters
    ----------
    x, y : ndarray, shape (nPix,)
        Coordinates of the pixels, in any order.

    Raises
    ------
    InputError
        If they lie on none, or two pixels lie in one place.
    """
    if not x.size:
        raise InputError("The file has no image pixels, so there is no image of them: use maps().")
    x_grid, column = grid_along("x", x)
    y_grid, row = grid_along("y", y)
    if x_grid.size * y_grid.size > MOST_EMPTY * x.size:
        raise InputError(
            f"The {x.size} image pixels would make an image of {y_grid.size} x {x_grid.size}: they "
            "lie on no regular grid. Use maps()."
        )
    places = row * x_grid.size + column
    if np.unique(places).size != places.size:
        raise InputError(
            "Two image pixels lie in one place, so there is no image of them: use maps(), or "
            "populate with the coordinates of the pixels, not those of their bins."
        )
    return PixelGrid(x=x_grid, y=y_grid, column=column, row=row)


def grid_on_plane(plane: ImagePlane, x: Float, y: Float) -> PixelGrid:
    """Return the grid of the whole image that pixels belong to.

    Parameters
    ----------
    plane : ImagePlane
        The image.
    x, y : ndarray, shape (nPix,)
        Coordinates of the pixels, in any order.

    Raises
    ------
    InputError
        If they are not those of its columns and rows, or two pixels lie in one place.
    """
    (rows, columns), places = plane.shape, {}
    for name, values, axis, size in (("x", x, plane.x, columns), ("y", y, plane.y, rows)):
        exact = (values - axis[0]) / axis[1]
        place = np.rint(exact).astype(np.intp)
        off = np.abs(exact - place).max(initial=0.0) > OFF_GRID_PX
        if off or (place < 0).any() or (place >= size).any():
            raise InputError(
                f"The {name} coordinates of the image pixels are not those of the observation's "
                f"image of {rows} x {columns}: populate with those of one cube."
            )
        places[name] = place
    if np.unique(places["y"] * columns + places["x"]).size != x.size:
        raise InputError("Two image pixels lie in one place: populate with each once.")
    return PixelGrid(
        x=np.asarray(plane.x[0] + plane.x[1] * np.arange(columns), np.float64),
        y=np.asarray(plane.y[0] + plane.y[1] * np.arange(rows), np.float64),
        column=places["x"],
        row=places["y"],
    )
