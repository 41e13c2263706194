"""Prior rows of the objective: ratios of the components' sums, and smooth populations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cubefit.errors import ConfigError, InputError
from cubefit.inverse.operators import Float, Members


def second_differences(shape: Sequence[int]) -> Float:
    """Return the second differences of a grid of populations along each of its axes.

    Parameters
    ----------
    shape : sequence of int
        Sizes of the axes, say ``(nZ, nAge, nAlpha)``; the last one runs fastest. An axis shorter
        than three has no second difference.

    Returns
    -------
    ndarray, shape (n_rows, P)
        One row ``(1, -2, 1)`` for each axis and each inner point of that axis, as in pPXF's
        ``regul`` (Cappellari 2017, section 3.5) for one axis. For several axes pPXF adds the
        differences of a point up to one row; here each stands alone, so that a saddle counts too.
    """
    P = int(np.prod(shape))
    numbers = np.arange(P).reshape(shape)
    rows: list[Float] = [np.empty((0, P))]
    for axis, length in enumerate(shape):
        along = np.moveaxis(numbers, axis, 0)
        for centre in range(1, length - 1):
            counter = np.arange(P // length)
            part = np.zeros((counter.size, P))
            for point, factor in ((centre - 1, 1.0), (centre, -2.0), (centre + 1, 1.0)):
                part[counter, along[point].ravel()] = factor
            rows.append(part)
    return np.concatenate(rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Priors:
    """Quadratic prior terms of the objective, ``1/2 |rows x|^2``, of x (C, P).

    Ratio rows act on the component sums ``s_c = sum_p x_cp``; smoothness acts on each component in
    units of its expected weight per population, ``q_cp = x_cp / unit_c``, which then average one.
    """

    ratio: Float
    """Ratio rows, shape (R, C), weight included; R may be zero."""
    smooth: Float
    """``regularization^2 D^T D``, shape (P, P), with the second differences ``D``; or zeros."""
    unit: Float
    """Expected weight per population of each component, shape (C,)."""

    @classmethod
    def none(cls, n_components: int, n_populations: int) -> Priors:
        """Return no priors at all."""
        return cls(
            ratio=np.empty((0, n_components)),
            smooth=np.zeros((n_populations, n_populations)),
            unit=np.ones(n_components),
        )

    @property
    def has_ratio(self) -> bool:
        """Whether there are ratio rows."""
        return bool(self.ratio.shape[0])

    @property
    def is_smooth(self) -> bool:
        """Whether populations are smoothed."""
        return bool(self.smooth.any())

    @property
    def ratio_gram(self) -> Float:
        """Second derivative of the ratio term by the component sums, shape (C, C)."""
        return np.asarray(self.ratio.T @ self.ratio)

    def value(self, x: Float) -> float:
        """Return ``1/2 |rows x|^2``."""
        rows = self.ratio @ x.sum(axis=1)
        scaled = x / self.unit[:, None]
        bends = max(float(np.vdot(scaled, scaled @ self.smooth)), 0.0)
        return 0.5 * float(rows @ rows) + 0.5 * bends

    def gradient(self, x: Float) -> Float:
        """Return the gradient, shape (C, P); it is linear in ``x``."""
        by_sum = self.ratio.T @ (self.ratio @ x.sum(axis=1))
        unit = self.unit[:, None]
        return np.asarray(by_sum[:, None] + (x / unit) @ self.smooth / unit)

    def gram(self, one: Members, other: Members) -> Float:
        """Return the second derivatives between two sets of columns, shape (W1, W2)."""
        result = self.ratio_gram[np.ix_(one.components, other.components)]
        same = one.components[:, None] == other.components
        between = self.smooth[np.ix_(one.populations, other.populations)]
        return np.asarray(result + same * between / self.unit[one.components][:, None] ** 2)

    def diagonal(self) -> Float:
        """Return the second derivative by each weight, shape (C, P)."""
        return np.asarray(
            np.diagonal(self.ratio_gram)[:, None]
            + np.diagonal(self.smooth) / self.unit[:, None] ** 2
        )


def ratio_matrix(
    weights: Float, total: float, strength: float, candidates: NDArray[np.intp], anchor: int
) -> Float:
    """Return the rows ``strength (s_c / w_c - s_i / w_i)`` of the candidates ``c``.

    Parameters
    ----------
    weights : ndarray, shape (C,)
        Orbit weights, any scale.
    total : float
        What they stand for altogether, in the unit of ``x``: ``1 / strength`` is then the relative
        scatter that the ratios are allowed.
    strength : float
        Weight of the rows.
    candidates : ndarray, shape (R,)
        Components that get a row.
    anchor : int
        The component ``i``.

    Returns
    -------
    ndarray, shape (R, C)
    """
    expected = weights * (total / weights.sum())
    rows = np.zeros((candidates.size, weights.size))
    rows[np.arange(candidates.size), candidates] = strength / expected[candidates]
    rows[:, anchor] -= strength / expected[anchor]
    return rows


def require_second_differences(shape: Sequence[int], strength: object) -> None:
    """Raise ConfigError unless an axis of the templates has three points."""
    if max(shape, default=0) < 3:
        raise ConfigError(
            f"regularization={strength}: the template axes {tuple(shape)} have no second "
            "differences, which take three points; leave it out, or give more templates."
        )


def smoothness(shape: Sequence[int], strength: float) -> Float:
    """Return ``strength^2 D^T D``, shape (P, P), of the second differences ``D``.

    Raises
    ------
    ConfigError
        If no axis has three points.
    """
    require_second_differences(shape, strength)
    rows = second_differences(shape)
    return np.asarray(strength**2 * (rows.T @ rows))


def expected_units(
    weights: Float | None, total: float, n_components: int, n_populations: int
) -> Float:
    """Return the expected weight per population of each component, shape (C,).

    Components without expected weight, and all without orbit weights, share the mean.

    Raises
    ------
    InputError
        If the total is not positive.
    """
    if not (np.isfinite(total) and total > 0):
        raise InputError(f"total weight {total}: priors need a positive one; is the data positive?")
    if weights is None:
        return np.full(n_components, total / (n_components * n_populations))
    shares = weights / weights.sum()
    shares = np.where(shares > 0, shares, shares[shares > 0].mean())
    return np.asarray(total * shares / n_populations)
