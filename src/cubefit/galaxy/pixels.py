"""Pixels of a cube, pixels of a bin map and bins of an orbit library: which belong together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cubefit.errors import InputError
from cubefit.galaxy.settings import BinsTable, CubeTable
from cubefit.io.bins import BinMap, bin_map, read_bins
from cubefit.io.cubes import IFUCube
from cubefit.io.orbits import OrbitLibrary
from cubefit.observation import ImagePlane, WaveAxis
from cubefit.prepare.bin_matching import bin_of_pixels

Float = NDArray[np.float64]

UNEVEN_PX: Final = 1e-3
"""Departure from even steps, in pixels, that an axis told by two numbers may have."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SkyPixels:
    """Where on the sky the bins are."""

    of_cube: NDArray[np.int32]
    """Bin of each spectrum of the cube, -1 for none, shape (nPix of the cube,)."""
    x: Float
    """Pixels in bins, arcsec from the galaxy's centre, shape (n,)."""
    y: Float
    binnum: NDArray[np.int32]
    """Bin of each of them, shape (n,)."""
    image: ImagePlane | None
    """That they are of, where they are of one."""

    def with_merged_bins(self, merged: NDArray[np.int32]) -> SkyPixels:
        """Return the pixels in merged bins, see `cubefit.prepare.merged_bins.merge_bins`."""
        binnum = merged[self.binnum]
        kept = binnum >= 0
        return SkyPixels(
            of_cube=np.where(self.of_cube >= 0, merged[self.of_cube], -1).astype(np.int32),
            x=self.x[kept],
            y=self.y[kept],
            binnum=binnum[kept],
            image=self.image,
        )


def sky_pixels(cube: IFUCube, table: CubeTable, bins: BinsTable, orbits: OrbitLibrary) -> SkyPixels:
    """Return the bin of each spectrum of a cube, from a file of bins, else from the orbits.

    Raises
    ------
    InputError
        If there are not as many bins as the orbit library has, or they lie elsewhere.
    """
    found = bin_map_of(bins, orbits, cube)
    n_bins = orbits.losvd.shape[0]
    if found.n_bins != n_bins:
        raise InputError(
            f"{bins.path or cube.source} has {found.n_bins} bins, but the orbit library {n_bins}: "
            "give the bins that its LOSVDs were made for."
        )
    if holds_bins(cube):
        return of_binned(cube, found, n_bins)
    own = bins.path is None and cube.binnum is not None
    image = image_of_cube(cube, table.centre) or image_of_bins(found)
    if cube.x is None or cube.y is None:
        of_cube, x, y = same_pixels(cube, found), found.x, found.y
        if x is None or y is None:
            raise InputError(
                f"Neither {cube.source} nor {bins.path} has positions: give bins that have them."
            )
    else:
        x, y = cube.x - table.centre[0], cube.y - table.centre[1]
        same_image = found.image_shape is not None and found.image_shape == cube.image_shape
        if own or same_image or found.x is None or found.y is None:
            of_cube = same_pixels(cube, found)
        else:
            of_cube = bin_of_pixels(x, y, found.x, found.y, found.binnum, tolerance=bins.tolerance)
    inside = of_cube >= 0
    return SkyPixels(of_cube=of_cube, x=x[inside], y=y[inside], binnum=of_cube[inside], image=image)


def holds_bins(cube: IFUCube) -> bool:
    """Whether a cube has one spectrum for each bin, not for each pixel."""
    numbers = cube.binnum
    return numbers is not None and np.array_equal(np.sort(numbers), np.arange(numbers.size))


def bin_map_of(bins: BinsTable, orbits: OrbitLibrary, cube: IFUCube) -> BinMap:
    """Return the bins of the settings, else those that the cube states, else the orbits'."""
    if bins.path is not None:
        return read_bins(Path(bins.path), bins.format, zero_is_bin=bins.zero_is_bin)
    if cube.binnum is not None and not holds_bins(cube):
        return bin_map(
            cube.binnum,
            cube.binnum >= 0,
            cube.source,
            x=cube.x,
            y=cube.y,
            image_shape=cube.image_shape,
        )
    return BinMap(
        binnum=orbits.binnum,
        x=orbits.x,
        y=orbits.y,
        image_shape=None,
        labels=np.arange(orbits.losvd.shape[0]),
    )


def of_binned(cube: IFUCube, found: BinMap, n_bins: int) -> SkyPixels:
    """Return the pixels of a cube that holds one spectrum a bin already."""
    spectra = np.asarray(cube.binnum)
    if spectra.size != n_bins:
        raise InputError(
            f"{cube.source} has {spectra.size} bins, but the orbit library {n_bins}: give the cube "
            "that its LOSVDs were made for."
        )
    if found.x is None or found.y is None:
        raise InputError(f"{cube.source} is binned: give bins with the positions of its pixels.")
    inside = found.binnum >= 0
    return SkyPixels(
        of_cube=spectra.astype(np.int32),
        x=found.x[inside],
        y=found.y[inside],
        binnum=found.binnum[inside],
        image=image_of_bins(found),
    )


def same_pixels(cube: IFUCube, found: BinMap) -> NDArray[np.int32]:
    """Return the bins of a map that has one number for each spectrum of the cube, in its order."""
    n_pix = cube.voxels.n_pix
    shapes_differ = (
        found.image_shape is not None
        and cube.image_shape is not None
        and found.image_shape != cube.image_shape
    )
    if found.binnum.size != n_pix or shapes_differ:
        raise InputError(
            f"The bins are of {found.image_shape or found.binnum.size} pixels without positions, "
            f"but {cube.source} has {cube.image_shape or n_pix}: give bins of the same image, or "
            "with positions in arcsec."
        )
    return found.binnum


def image_of_cube(cube: IFUCube, centre: tuple[float, float]) -> ImagePlane | None:
    """Return the image that the pixels of a cube are of, None for a table of spectra."""
    return image_plane(cube.image_shape, cube.x, cube.y, cube.wcs, centre)


def image_of_bins(found: BinMap) -> ImagePlane | None:
    """Return the image that a map of bins is of, whose positions count from the galaxy's centre."""
    return image_plane(found.image_shape, found.x, found.y, found.wcs, (0.0, 0.0))


def image_plane(
    shape: tuple[int, int] | None,
    x: Float | None,
    y: Float | None,
    wcs: str | None,
    centre: tuple[float, float],
) -> ImagePlane | None:
    """Return the image of pixels that stand on one, in C order; None where they do not."""
    if shape is None or x is None or y is None:
        return None
    columns, rows = x.reshape(shape)[0], y.reshape(shape)[:, 0]
    steps = [float(axis[1] - axis[0]) if axis.size > 1 else 0.0 for axis in (columns, rows)]
    return ImagePlane(
        shape=shape,
        x=(float(columns[0] - centre[0]), steps[0] or steps[1] or 1.0),
        y=(float(rows[0] - centre[1]), steps[1] or steps[0] or 1.0),
        wcs=wcs or "",
    )


def wave_axis(cube: IFUCube, medium: str) -> WaveAxis | None:
    """Return the wavelengths of a cube in two numbers, None where they are not even."""
    n = cube.wave.size
    for kind, values in (("linear", cube.wave), ("ln", np.log(cube.wave))):
        step = float(values[-1] - values[0]) / (n - 1)
        even = values[0] + step * np.arange(n)
        if np.abs(values - even).max() <= UNEVEN_PX * step:
            first = float(values[0])
            return WaveAxis(
                first=first,
                step=step,
                size=n,
                kind="ln" if kind == "ln" else "linear",
                medium="air" if medium == "air" else "vacuum",
            )
    return None
