"""Weights per spaxel and per pixel whose product is near the squared weights of all voxels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cubefit.inverse.operators import Float
from cubefit.inverse.shares import Share, Shares, Sums


def mean_terms(share: Share) -> Sums:
    """Return the sum over spaxels of the squared weights, shape (L,), and their number."""
    squares = share.observed.inverse_noise**2
    return squares.sum(axis=0), squares.shape[0]


def pixel_terms(share: Share, mean: Float) -> Sums:
    """Return the terms of the weights per pixel (L,), and of their norm."""
    squares = share.observed.inverse_noise**2
    by_spaxel = spaxel_squares(squares, mean)
    return by_spaxel @ squares, float(by_spaxel @ by_spaxel)


def spaxel_squares(squares: Float, mean: Float) -> Float:
    """Return the best factor per spaxel (n,) of squared weights (n, L) for given ones per pixel."""
    norm = float(mean @ mean)
    return np.asarray(squares @ mean / norm) if norm else np.zeros(squares.shape[0])


@dataclass(frozen=True, slots=True)
class SeparableWeights:
    """Squared weights as a factor per spaxel and one per pixel.

    Exact where they are such a product, masks over spaxels and pixels included.
    """

    mean: Float
    """Squared weights per pixel, averaged over spaxels, shape (L,)."""
    by_pixel: Float
    """Weights per pixel, shape (L,)."""

    @classmethod
    def of(cls, shares: Shares[Share]) -> SeparableWeights:
        """Return those of all spaxels."""
        summed, n_spaxels = shares.total(mean_terms)
        mean = summed / n_spaxels
        by_pixel, norm = shares.total(pixel_terms, mean)
        return cls(mean, np.sqrt(by_pixel / norm if norm else mean))

    def by_spaxel(self, inverse_noise: Float) -> Float:
        """Return the weights (n,) of some spaxels, of their weights (n, L)."""
        return np.sqrt(spaxel_squares(inverse_noise**2, self.mean))
