"""An orbit library: LOSVDs per spatial bin and component, checked once, at birth."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cubefit.errors import InputError
from cubefit.prepare.bundles import Bundling, bundle_losvd, make_bundles
from cubefit.prepare.losvd_grid import rebin_losvd
from cubefit.spectra.grids import SPEED_OF_LIGHT_KMS, require_uniform

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

LEAST_KMS: Final = 1.0
"""Velocities that do not even reach this are given in parts of the speed of light."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class OrbitLibrary:
    """Orbits (components) of a dynamical model, seen in the spatial bins of a cube."""

    losvd: NDArray[np.float32]
    """Share of the light of component c in spatial bin s and velocity bin v, shape (S, V, C)."""
    vel: NDArray[np.float64]
    """Centres of the velocity bins in km/s, shape (V,), uniform, positive receding."""
    weights: NDArray[np.float64]
    """Mass of each component as the dynamical model has it, shape (C,), non-negative."""
    binnum: NDArray[np.int32]
    """Spatial bin of each sky pixel, shape (nPix,), from 0; -1 marks a pixel in no bin."""
    x: NDArray[np.float64]
    """Position of each sky pixel in arcsec, shape (nPix,)."""
    y: NDArray[np.float64]
    """Position of each sky pixel in arcsec, shape (nPix,)."""
    properties: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    """Numbers per component by name with unit, such as ``Rmean_kpc``, each of shape (C,)."""
    source: str = ""
    """Where the orbits come from, for people."""

    def __repr__(self) -> str:
        """Return the sizes in words."""
        S, V, C = self.losvd.shape
        return (
            f"<OrbitLibrary of {C} components in {S} bins and {V} velocities "
            f"({self.vel[0]:.0f} to {self.vel[-1]:.0f} km/s) from {self.source or 'arrays'}>"
        )

    def in_bundles(self, bundling: Bundling) -> OrbitLibrary:
        """Return the library with its components bundled, see `cubefit.prepare.bundles`.

        Parameters
        ----------
        bundling : BundleBins or array_like of int, shape (C,)
            Bins in radius and circularity, or the new component of each old one.

        Raises
        ------
        InputError
            If the mapping does not fit, or a property that the bins need is not there.
        """
        bundles = make_bundles(bundling, weights=self.weights, properties=self.properties)
        return replace(
            self,
            losvd=bundle_losvd(self.losvd, bundles),
            weights=bundles.weights,
            properties={name: bundles.mean(values) for name, values in self.properties.items()},
        )

    def with_merged_bins(self, merged: NDArray[np.integer]) -> OrbitLibrary:
        """Return the library with its spatial bins merged: their light adds up.

        Parameters
        ----------
        merged : ndarray of int, shape (S,)
            New bin of each bin, from 0 without gaps; -1 leaves it out. See
            `cubefit.prepare.merged_bins.merge_bins`.

        Raises
        ------
        InputError
            If it does not fit.
        """
        S, V, C = self.losvd.shape
        new = np.unique(merged[merged >= 0])
        if merged.shape != (S,) or not new.size or not np.array_equal(new, np.arange(new.size)):
            raise InputError(
                f"merged has shape {merged.shape} and names {new.size} bins up to "
                f"{new.max(initial=-1)}: give the new bin of each of {S} bins, from 0 without gaps."
            )
        losvd = np.empty((new.size, V, C), np.float32)
        for number in new:
            self.losvd[merged == number].sum(axis=0, dtype=np.float64, out=losvd[number])
        return replace(
            self,
            losvd=losvd,
            binnum=np.where(self.binnum >= 0, merged[self.binnum], -1).astype(np.int32),
        )

    def on_velocities(self, vel: ArrayLike, *, max_lost: float = 1e-3) -> OrbitLibrary:
        """Return the library on another velocity grid, see `cubefit.prepare.losvd_grid`.

        Parameters
        ----------
        vel : array_like, shape (W,)
            Bin centres in km/s, uniform.
        max_lost : float
            Largest share of any component's light that may lie outside; it is dropped.

        Raises
        ------
        GridError
            If the grid is not uniform, or more light lies outside.
        """
        rebinned = rebin_losvd(self.losvd, self.vel, vel, max_lost=max_lost)
        return replace(self, losvd=rebinned.losvd, vel=rebinned.vel)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayNames:
    """What error messages call the arrays of a library."""

    losvd: str = "losvd"
    vel: str = "vel"
    weights: str = "weights"
    binnum: str = "binnum"
    x: str = "x"
    y: str = "y"
    property_prefix: str = ""


ARRAY_NAMES = ArrayNames()


def checked_library(
    source: str,
    *,
    losvd: NDArray[Any],
    vel: NDArray[Any],
    weights: NDArray[Any],
    binnum: NDArray[Any],
    x: NDArray[Any],
    y: NDArray[Any],
    properties: Mapping[str, NDArray[Any]],
    names: ArrayNames = ARRAY_NAMES,
) -> OrbitLibrary:
    """Return an orbit library of arrays that have been checked against one another.

    Parameters
    ----------
    source : str
        What the error messages start with, such as the path of a file.
    losvd, vel, weights, binnum, x, y, properties
        See `OrbitLibrary`; any real types.
    names : ArrayNames
        What the messages call the arrays.

    Raises
    ------
    InputError
        If the arrays have impossible shapes, types or values.
    GridError
        If the velocity grid is not uniform and increasing.
    """
    with np.errstate(over="ignore"):  # what float32 cannot hold is refused below
        histograms = _finite(source, names.losvd, losvd, ndim=3).astype(np.float32, copy=False)
    if histograms.size == 0 or not np.isfinite(histograms).all() or histograms.min() < 0:
        raise InputError(
            f"{source}: {names.losvd}, shape {histograms.shape}, is empty or holds values below 0 "
            "or beyond float32: give histograms, shares of light per velocity bin."
        )
    n_bins, n_velocities, n_components = histograms.shape
    why = f"{names.losvd}.shape"
    velocities = require_uniform(
        sized(source, names.vel, vel, n_velocities, f"{why}[1]"), f"{source}: {names.vel}", "km/s"
    )
    if np.abs(velocities).max() >= SPEED_OF_LIGHT_KMS:
        raise InputError(f"{source}: {names.vel} reaches the speed of light: give it in km/s.")
    if np.abs(velocities).max() < LEAST_KMS:
        raise InputError(
            f"{source}: {names.vel} reaches {np.abs(velocities).max():.3g} only, which looks like "
            "parts of the speed of light: give it in km/s."
        )
    bins = _bin_numbers(source, names, binnum, n_bins)
    return OrbitLibrary(
        losvd=histograms,
        vel=velocities,
        weights=orbit_weights(source, weights, n_components, f"{why}[2]", name=names.weights),
        binnum=bins,
        x=sized(source, names.x, x, bins.size, f"{names.binnum}.size"),
        y=sized(source, names.y, y, bins.size, f"{names.binnum}.size"),
        properties={
            name: sized(source, f"{names.property_prefix}{name}", values, n_components, f"{why}[2]")
            for name, values in properties.items()
        },
        source=source,
    )


def _finite(
    source: str, name: str, array: NDArray[np.generic], *, ndim: int
) -> NDArray[np.floating]:
    if array.ndim != ndim or array.dtype.kind not in "fiu":
        raise InputError(
            f"{source}: {name} has shape {array.shape} and type {array.dtype}: "
            f"give {ndim} axes of real numbers."
        )
    values = array.astype(np.float64) if array.dtype.kind != "f" else array
    if not np.isfinite(values).all():
        raise InputError(
            f"{source}: {name} holds NaN or infinite values: replace them at the source."
        )
    return np.asarray(values)


def sized(
    source: str, name: str, array: NDArray[np.generic], size: int, why: str
) -> NDArray[np.float64]:
    """Return a finite float64 vector of a given size, or refuse it.

    Raises
    ------
    InputError
        If it has another shape, type or size, or holds NaN.
    """
    values = _finite(source, name, array, ndim=1)
    if values.size != size:
        raise InputError(
            f"{source}: {name} holds {values.size} values, but {why} is {size}: "
            "save arrays of one library together."
        )
    return values.astype(np.float64)


def orbit_weights(
    source: str, array: NDArray[np.generic], size: int, why: str, *, name: str = "weights"
) -> NDArray[np.float64]:
    """Return orbit weights as a float64 vector, or refuse them.

    Raises
    ------
    InputError
        If they are too few, too many, below zero, NaN, or all zero.
    """
    weights = sized(source, name, array, size, why)
    if weights.min() < 0 or not weights.sum() > 0:
        raise InputError(
            f"{source}: {name} runs from {weights.min():g} to {weights.max():g}: orbit weights "
            "are masses, none below 0 and not all 0."
        )
    return weights


def _bin_numbers(
    source: str, names: ArrayNames, array: NDArray[Any], n_bins: int
) -> NDArray[np.int32]:
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise InputError(
            f"{source}: {names.binnum} has shape {array.shape} and type {array.dtype}: give one "
            "integer a pixel, from 0, and -1 for pixels in no bin."
        )
    used = np.unique(array[array >= 0])
    if (array < -1).any() or not np.array_equal(used, np.arange(n_bins)):
        raise InputError(
            f"{source}: {names.binnum} names {used.size} bins up to {used.max(initial=-1)}, but "
            f"{names.losvd} has {n_bins}: number the bins 0 to {n_bins - 1}, each with a pixel, "
            "and -1 for none."
        )
    return array.astype(np.int32)
