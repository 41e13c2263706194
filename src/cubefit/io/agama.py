"""AGAMA (Forstand) orbit libraries: B-spline amplitudes of LOSVDs to histograms.

AGAMA writes no file of its own: ``agama.orbit(..., targets=[agama.Target(type="LOSVD", ...)])``
returns an array. AGAMA is not imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import numpy as np
from scipy.interpolate import BSpline

from cubefit.errors import ConfigError, GridError, InputError
from cubefit.prepare.bundles import Bundling, make_bundles
from cubefit.prepare.orbit_library import (
    ARRAY_NAMES,
    ArrayNames,
    OrbitLibrary,
    checked_library,
    orbit_weights,
    sized,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

DEGREES: Final = (0, 1, 2, 3)
"""Degrees of B-splines that AGAMA knows."""

MAX_LOST: Final = 1e-3
"""Largest share of the light that may lie outside ``vel_edges``."""

Negative: TypeAlias = Literal["refuse", "zero"]


def bspline_bin_integrals(
    gridv: NDArray[np.float64], degree: int, edges: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the integral of each B-spline over each velocity bin.

    Parameters
    ----------
    gridv : ndarray, shape (G,)
        Nodes of the B-splines, increasing; the first and last stand ``degree`` times more
        (clamped), as in AGAMA.
    degree : int
        0 to 3.
    edges : ndarray, shape (V + 1,)
        Edges of the bins, increasing; where they reach beyond the nodes there is nothing.

    Returns
    -------
    ndarray, shape (G - 1 + degree, V)
    """
    knots = np.concatenate([np.repeat(gridv[0], degree), gridv, np.repeat(gridv[-1], degree)])
    basis = BSpline(knots, np.eye(gridv.size - 1 + degree), degree)
    running = basis.antiderivative()(np.clip(edges, gridv[0], gridv[-1]))
    return np.asarray(np.diff(running, axis=0).T)


def orbits_from_agama(
    amplitudes: ArrayLike,
    gridv: ArrayLike,
    degree: int,
    *,
    binnum: ArrayLike,
    x: ArrayLike,
    y: ArrayLike,
    weights: ArrayLike,
    vel_edges: ArrayLike | None = None,
    properties: Mapping[str, ArrayLike] | None = None,
    bundle: Bundling | None = None,
    velocity_scale: float = 1.0,
    x_points_left: bool = False,
    negative: Negative = "refuse",
    source: str = "AGAMA orbits",
    names: ArrayNames = ARRAY_NAMES,
) -> OrbitLibrary:
    """Return an orbit library from the amplitudes of an AGAMA ``Target(type="LOSVD")``.

    The LOSVD of an orbit in an aperture is the sum of its amplitudes times the B-splines, light
    per velocity; each histogram bin is its integral over that bin.

    Parameters
    ----------
    amplitudes : array_like, shape (N, S * B) or (N, S, B)
        Amplitudes of N orbits in S apertures; B = ``len(gridv) - 1 + degree``, running fastest.
    gridv : array_like, shape (G,)
        Velocity nodes as given to AGAMA, in km/s.
    degree : int
        Degree of the B-splines, 0 to 3.
    binnum : array_like of int, shape (nPix,)
        Aperture of each sky pixel, from 0 to S - 1; -1 for pixels in none.
    x, y : array_like, shape (nPix,)
        Positions of the pixels in arcsec, x along the columns of the cube.
    weights : array_like, shape (N,)
        Orbit weights of the model.
    vel_edges : array_like, shape (V + 1,), optional
        Edges of the velocity bins wanted, in km/s, uniform; the nodes where not given.
    properties : mapping of str to array_like, shape (N,), optional
        Numbers per orbit, such as ``{"Rmean_kpc": ..., "lambdaz": ...}``.
    bundle : BundleBins or array_like of int, shape (N,), optional
        Bundles the orbits into components, see `cubefit.prepare.bundles`.
    velocity_scale : float
        Factor on all velocities, sqrt(Upsilon) of the model chosen; the light stays.
    x_points_left : bool
        True if ``x`` is AGAMA's own image coordinate, which points left: it is turned round.
    negative : {"refuse", "zero"}
        B-splines of degree 2 and 3 may dip below zero where the LOSVD falls steeply. "zero" sets
        such bins to zero, so the light grows by what was below.
    source : str
        What error messages start with.
    names : ArrayNames
        What error messages call the arrays.

    Returns
    -------
    OrbitLibrary

    Raises
    ------
    ConfigError
        If ``degree``, ``velocity_scale`` or ``negative`` is impossible.
    InputError
        If arrays do not fit together or hold impossible values.
    GridError
        If ``gridv`` does not increase, the bins are not uniform, or do not hold the light.
    """
    _require_settings(degree, velocity_scale, negative)
    nodes = _increasing(source, "gridv", gridv)
    edges = nodes if vel_edges is None else _increasing(source, "vel_edges", vel_edges)
    splines = _orbit_splines(source, np.asarray(amplitudes), nodes.size - 1 + degree)
    n_orbits = splines.shape[0]
    why = "the number of orbits"
    orbit_w = orbit_weights(source, np.asarray(weights), n_orbits, why, name=names.weights)
    values = {
        name: sized(source, f"{names.property_prefix}{name}", np.asarray(array), n_orbits, why)
        for name, array in (properties or {}).items()
    }
    bundles = make_bundles(bundle, weights=orbit_w, properties=values)
    used = np.flatnonzero(bundles.component >= 0)
    bundled = np.zeros((bundles.weights.size, *splines.shape[1:]))
    for orbit in used:
        bundled[bundles.component[orbit]] += bundles.share[orbit] * splines[orbit]
    scaled = edges / velocity_scale
    losvd = bundled @ bspline_bin_integrals(
        nodes, degree, scaled if vel_edges is not None else nodes
    )
    _require_light(source, losvd, bundled @ bspline_bin_integrals(nodes, degree, nodes[[0, -1]]))
    if negative == "zero":
        losvd = np.maximum(losvd, 0.0)
    _require_positive(source, losvd, degree)
    out_edges = edges if vel_edges is not None else nodes * velocity_scale
    columns = np.asarray(x, np.float64)
    return checked_library(
        source,
        losvd=losvd.transpose(1, 2, 0),
        vel=0.5 * (out_edges[:-1] + out_edges[1:]),
        weights=bundles.weights,
        binnum=np.asarray(binnum),
        x=-columns if x_points_left else columns,
        y=np.asarray(y),
        properties={name: bundles.mean(array) for name, array in values.items()},
        names=names,
    )


def _require_settings(degree: int, velocity_scale: float, negative: str) -> None:
    if degree not in DEGREES:
        raise ConfigError(f"degree={degree}: AGAMA's B-splines have degree 0, 1, 2 or 3.")
    if not 0 < velocity_scale < np.inf:
        raise ConfigError(f"velocity_scale={velocity_scale}: must be positive.")
    if negative not in {"refuse", "zero"}:
        raise ConfigError(f"negative={negative!r}: must be 'refuse' or 'zero'.")


def _increasing(source: str, name: str, values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, np.float64)
    if array.ndim != 1 or array.size < 3 or not (np.diff(array) > 0).all():
        raise GridError(
            f"{source}: {name} has shape {array.shape} and must hold 3 or more increasing "
            "velocities in km/s: sort it."
        )
    return array


def _orbit_splines(source: str, amplitudes: NDArray[Any], n_basis: int) -> NDArray[np.floating]:
    """Return the amplitudes with shape (N, S, B)."""
    shape = amplitudes.shape
    fits = (len(shape) == 3 and shape[2] == n_basis) or (
        len(shape) == 2 and shape[1] >= n_basis and shape[1] % n_basis == 0
    )
    if not fits or not shape[0] or amplitudes.dtype.kind not in "fiu":
        raise InputError(
            f"{source}: amplitudes have shape {shape} and type {amplitudes.dtype}, but gridv and "
            f"degree make {n_basis} B-splines: give (orbits, apertures * {n_basis}) or "
            f"(orbits, apertures, {n_basis})."
        )
    if not np.isfinite(amplitudes).all():
        raise InputError(f"{source}: amplitudes hold NaN or infinite values: run AGAMA again.")
    return amplitudes.reshape(shape[0], -1, n_basis)


def _require_light(source: str, losvd: NDArray[np.float64], totals: NDArray[np.float64]) -> None:
    """Refuse bins that leave out light; ``totals`` has the shape (C, S, 1)."""
    whole = np.abs(totals).sum()
    outside = np.abs(totals[..., 0] - losvd.sum(axis=2)).sum()
    if outside > MAX_LOST * whole:
        raise GridError(
            f"{source}: {outside / whole:.2%} of the light lies outside vel_edges: widen them."
        )


def _require_positive(source: str, losvd: NDArray[np.float64], degree: int) -> None:
    below = -losvd[losvd < 0].sum()
    if below > 0:
        raise InputError(
            f"{source}: {(losvd < 0).sum()} bins of the histograms are below zero, by "
            f"{below / losvd.sum():.2%} of the light, as B-splines of degree {degree} may be: give "
            "wider vel_edges bins, bundle the orbits, or pass negative='zero'."
        )
