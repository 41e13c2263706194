"""Bundles: many orbits into fewer components, weighted as the dynamical model weighs them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from cubefit.errors import ConfigError, InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleBins:
    """Bins in radius and circularity, each a number of quantiles or the edges.

    Raises
    ------
    ConfigError
        If a number is below one, or edges do not increase.
    """

    radius: int | tuple[float, ...]
    """Number of bins of equal weight, or their edges in the unit of the property."""
    circularity: int | tuple[float, ...]
    """Number of bins of equal weight, or their edges."""
    radius_name: str = "Rmean_kpc"
    """Property that holds the radius."""
    circularity_name: str = "lambdaz"
    """Property that holds the circularity."""

    def __post_init__(self) -> None:
        """Refuse bins that are none."""
        for name in ("radius", "circularity"):
            bins = getattr(self, name)
            if isinstance(bins, int) and bins < 1:
                raise ConfigError(f"BundleBins.{name}={bins}: give at least 1 bin.")
            if not isinstance(bins, int) and (len(bins) < 2 or not (np.diff(bins) > 0).all()):
                raise ConfigError(
                    f"BundleBins.{name}={bins}: give two or more increasing edges, or a number "
                    "of bins."
                )

    def mapping(
        self, properties: Mapping[str, NDArray[np.float64]], weights: NDArray[np.float64]
    ) -> NDArray[np.int32]:
        """Return the component of each orbit, shape (N,), see `bundle_by`.

        Raises
        ------
        InputError
            If the properties lack the radius or the circularity.
        """
        missing = [n for n in (self.radius_name, self.circularity_name) if n not in properties]
        if missing:
            raise InputError(
                f"The orbits have no property {' and no '.join(missing)}, only "
                f"{', '.join(properties) or 'none'}: name them as radius_name and "
                "circularity_name, or give a mapping."
            )
        return bundle_by(
            properties[self.radius_name],
            properties[self.circularity_name],
            radius_bins=self.radius,
            circularity_bins=self.circularity,
            weights=weights,
        )


Bundling: TypeAlias = "BundleBins | ArrayLike"
"""Bins in radius and circularity, or the component of each orbit (-1 leaves an orbit out)."""


@dataclass(frozen=True, slots=True)
class Bundles:
    """Which orbit goes into which component, and with which share; see `make_bundles`."""

    component: NDArray[np.int32]
    """Component of each orbit, shape (N,); -1 for an orbit that is left out."""
    share: NDArray[np.float64]
    """Weight of each orbit within its component, shape (N,); they sum to one in each."""
    weights: NDArray[np.float64]
    """Sum of the weights of the orbits of each component, shape (C,)."""

    @property
    def one_to_one(self) -> bool:
        """Whether no component has two orbits, so that nothing is summed."""
        return np.unique(self.component[self.component >= 0]).size == self._n_used

    @property
    def _n_used(self) -> int:
        return int((self.component >= 0).sum())

    def mean(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the weighted mean of a property of the orbits in each component.

        Parameters
        ----------
        values : ndarray, shape (N,)

        Returns
        -------
        ndarray, shape (C,)
        """
        used = self.component >= 0
        return _sum_by(self.component[used], self.share[used] * values[used], self.weights.size)


def make_bundles(
    bundling: Bundling | None,
    *,
    weights: NDArray[np.float64],
    properties: Mapping[str, NDArray[np.float64]],
) -> Bundles:
    """Return the bundles of orbits of given weights and properties.

    The LOSVD and the properties of a component are the means over its orbits, weighted by their
    weights; its weight is their sum. So a component emits what its orbits emit in the dynamical
    model, and an orbit of weight zero adds nothing. A component of which all orbits have weight
    zero gets their plain mean and weight zero: it stays there for a fit that disagrees with the
    dynamical model (`bundle_by`, which makes the components itself, makes none of these).

    Parameters
    ----------
    bundling : BundleBins, array_like of int, shape (N,), or None
        Bins, or the component of each orbit: 0 to C-1, each used, and -1 to leave an orbit out.
        None makes each orbit a component.
    weights : ndarray, shape (N,)
        Weights of the orbits, none below zero.
    properties : mapping of str to ndarray, shape (N,)
        Properties of the orbits; what `BundleBins` needs.

    Returns
    -------
    Bundles

    Raises
    ------
    InputError
        If the mapping has another length, is not of integers, or leaves out a component.
    """
    if bundling is None:
        component = np.arange(weights.size, dtype=np.int32)
    elif isinstance(bundling, BundleBins):
        component = bundling.mapping(properties, weights)
    else:
        component = _checked_mapping(np.asarray(bundling), weights.size)
    n_components = int(component.max()) + 1
    used = component >= 0
    sums = _sum_by(component[used], weights[used], n_components)
    counts = np.bincount(component[used], minlength=n_components)
    lit = sums[component] > 0
    share = np.where(
        lit,
        np.divide(weights, sums[component], out=np.zeros(weights.size), where=lit),
        1.0 / counts[component],
    )
    return Bundles(component, np.where(used, share, 0.0), sums)


def _sum_by(
    component: NDArray[np.int32], values: NDArray[np.float64], n_components: int
) -> NDArray[np.float64]:
    sums = np.zeros(n_components)
    np.add.at(sums, component, values)
    return sums


def _checked_mapping(mapping: NDArray[np.generic], n_orbits: int) -> NDArray[np.int32]:
    if mapping.shape != (n_orbits,) or mapping.dtype.kind not in "iu":
        raise InputError(
            f"The mapping of orbits to components has shape {mapping.shape} and type "
            f"{mapping.dtype}: give one integer for each of the {n_orbits} orbits."
        )
    component = mapping.astype(np.int64)
    used = np.unique(component[component >= 0])
    if not used.size or component.min() < -1 or not np.array_equal(used, np.arange(used.size)):
        raise InputError(
            f"The mapping names {used.size} components up to {used.max(initial=-1)}, and "
            f"{component.min(initial=0)} as the lowest: number them 0 to {used.size - 1}, each "
            "with an orbit, and -1 for orbits to leave out."
        )
    return component.astype(np.int32)


def bundle_by(
    radius: NDArray[np.float64],
    circularity: NDArray[np.float64],
    *,
    radius_bins: int | ArrayLike,
    circularity_bins: int | ArrayLike,
    weights: NDArray[np.float64] | None = None,
) -> NDArray[np.int32]:
    """Return the component of each orbit, by bins in radius and circularity.

    Bins that hold no orbit become no component; nor, where weights are given, do those of which
    no orbit has any weight, and their orbits are left out (-1). Components are numbered by
    radius, then by circularity.

    Parameters
    ----------
    radius, circularity : ndarray, shape (N,)
        Properties of the orbits.
    radius_bins, circularity_bins : int or array_like
        A number of bins that hold equal weight (equally many orbits without weights), or the
        edges; a bin holds its lower edge, the last one its upper edge too.
    weights : ndarray, shape (N,), optional
        Weights of the orbits.

    Returns
    -------
    ndarray of int32, shape (N,)

    Raises
    ------
    InputError
        If an orbit lies outside the edges.
    """
    counted = np.ones(radius.size) if weights is None else weights
    in_radius, _ = _bins_of("radius", radius, radius_bins, counted)
    in_circularity, n_circularity = _bins_of("circularity", circularity, circularity_bins, counted)
    cell = in_radius * n_circularity + in_circularity
    kept = np.unique(cell[counted > 0])
    place = np.searchsorted(kept, cell)
    found = kept[np.minimum(place, kept.size - 1)] == cell
    return np.where(found, place, -1).astype(np.int32)


def _bins_of(
    name: str,
    values: NDArray[np.float64],
    bins: int | ArrayLike,
    weights: NDArray[np.float64],
) -> tuple[NDArray[np.int64], int]:
    """Return the bin of each value, and how many bins there are."""
    edges = (
        _quantile_edges(values, weights, bins)
        if isinstance(bins, int)
        else np.asarray(bins, np.float64)
    )
    if edges.size == 1:
        return np.zeros(values.size, np.int64), 1
    if values.min() < edges[0] or values.max() > edges[-1]:
        raise InputError(
            f"The {name} of the orbits runs from {values.min():.6g} to {values.max():.6g}, but "
            f"the bins cover {edges[0]:.6g} to {edges[-1]:.6g}: widen the outer bins; their outer "
            "edges may be infinite."
        )
    n_bins = edges.size - 1
    return np.minimum(np.searchsorted(edges, values, side="right") - 1, n_bins - 1), n_bins


def _quantile_edges(
    values: NDArray[np.float64], weights: NDArray[np.float64], n_bins: int
) -> NDArray[np.float64]:
    """Return edges between which lies equal weight; fewer where many values are the same."""
    order = np.argsort(values, kind="stable")
    below = np.cumsum(weights[order]) - weights[order]
    at = np.searchsorted(below, weights.sum() * np.arange(1, n_bins) / n_bins)
    inner = values[order][np.minimum(at, values.size - 1)]
    return np.unique(np.concatenate([values.min(keepdims=True), inner, [values.max()]]))


class LosvdSums:
    """The LOSVDs of the components, summed up orbit by orbit; no two orbits are in memory.

    Parameters
    ----------
    bundles : Bundles
        Where each orbit goes.
    n_spaxels, n_velocities : int
        S and V.
    """

    def __init__(self, bundles: Bundles, n_spaxels: int, n_velocities: int) -> None:
        self._bundles = bundles
        # A library that is not bundled at all is stored as read: float64 would double it.
        dtype = np.float32 if bundles.one_to_one else np.float64
        self._sums = np.zeros((bundles.weights.size, n_spaxels, n_velocities), dtype)

    def add(self, orbit: int, losvd: NDArray[np.floating]) -> None:
        """Add one orbit.

        Parameters
        ----------
        orbit : int
            Its number.
        losvd : ndarray, shape (S, V)
            Its histograms.
        """
        share = self._bundles.share[orbit]
        if share > 0:
            self._sums[self._bundles.component[orbit]] += share * losvd

    def result(self) -> NDArray[np.float32]:
        """Return the LOSVDs of the components, shape (S, V, C)."""
        return np.ascontiguousarray(self._sums.transpose(1, 2, 0), np.float32)


def bundle_losvd(losvd: NDArray[np.floating], bundles: Bundles) -> NDArray[np.float32]:
    """Return the LOSVDs of the components.

    Parameters
    ----------
    losvd : ndarray, shape (S, V, N)
        Histograms of the orbits.
    bundles : Bundles
        Where each orbit goes.

    Returns
    -------
    ndarray, shape (S, V, C)
    """
    orbits = np.flatnonzero(bundles.component >= 0)
    matrix = np.zeros((losvd.shape[2], bundles.weights.size))
    matrix[orbits, bundles.component[orbits]] = bundles.share[orbits]
    bundled = np.empty((*losvd.shape[:2], bundles.weights.size), np.float32)
    for spaxel, histograms in enumerate(losvd):  # in float64, one spaxel at a time
        bundled[spaxel] = histograms @ matrix
    return bundled
