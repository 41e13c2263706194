"""A small model of the model: templates and velocity bins compressed to what the data can tell.

With separable weights (one factor per spaxel, one per pixel) the matrix of second derivatives of
the compressed model follows from two small ones, over LOSVDs and over templates, without a pass
over the voxels:

    ``H[c,k,c',k'] = sum_uu' (sum_s w_s^2 L_suc L_su'c') (sum_l w_l^2 E_ukl E_u'k'l)``

It chooses columns and preconditions. What is fitted and certified is always the model itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from cubefit.inverse.operators import Factors, Float, Members

TEMPLATE_TOLERANCE: Final = 1e-4
"""Singular values of the templates, relative to the largest, that are kept; see docs/solvers.md."""
VELOCITY_TOLERANCE: Final = 1e-5
"""Likewise of the velocity axis."""
BLOCK_BYTES: Final = 256_000_000
"""Of the products from which ``H`` is summed."""


def separable(inverse_noise: Float) -> tuple[Float, Float]:
    """Return weights per spaxel (S,) and per pixel (L,) whose product is near the squared weights.

    Exact where the squares are such a product, masks over spaxels and pixels included.
    """
    squares = inverse_noise**2
    by_pixel = squares.mean(axis=0)
    norm = float(by_pixel @ by_pixel)
    by_spaxel = squares @ by_pixel / norm if norm else np.zeros(squares.shape[0])
    norm = float(by_spaxel @ by_spaxel)
    by_pixel = by_spaxel @ squares / norm if norm else by_pixel
    return np.sqrt(by_spaxel), np.sqrt(by_pixel)


def leading(gram: Float, tolerance: float, most: int) -> tuple[Float, Float]:
    """Return orthonormal directions (n, k) of a Gram matrix, and their relative singular values.

    Those above the tolerance, ascending, ``most`` at most.
    """
    values, directions = np.linalg.eigh(gram)
    largest = max(float(values[-1]), 0.0)
    keep = np.flatnonzero(values > tolerance**2 * largest)[-most:]
    strength = np.sqrt(values[keep] / largest) if keep.size else np.empty(0)
    return directions[:, keep], strength


@dataclass(frozen=True, slots=True)
class CompressedModel:
    """Second derivatives of the weighted misfit, to the accuracy of the compression.

    ``A^T W^2 A`` is near ``U H U^T``, with the same ``U`` for every component.
    """

    basis: Float
    """``U``: templates by their compressed ones, shape (P, K)."""
    curvature: Float
    """``H``, shape (C, K, C, K)."""
    strength: Float
    """Singular values of the compressed templates relative to the largest, shape (K,), ascending;
    templates count as of equal length there."""

    @classmethod
    def of(
        cls,
        factors: Factors,
        inverse_noise: Float,
        *,
        template_tolerance: float = TEMPLATE_TOLERANCE,
        most: int | None = None,
    ) -> CompressedModel:
        """Return the compressed model.

        Parameters
        ----------
        factors : Factors
            LOSVDs and shifted templates.
        inverse_noise : ndarray, shape (S, L)
            Weights; their nearest separable ones are used.
        template_tolerance : float
            Relative singular value of the templates above which they are kept.
        most : int, optional
            At most so many compressed templates, K.
        """
        S, C, P, L = factors.shape
        by_spaxel, by_pixel = separable(inverse_noise)
        shifted = factors.shifted.astype(np.float64) * by_pixel[:, None, None]
        V = shifted.shape[1]
        flat = shifted.reshape(L * V, P)
        gram = flat.T @ flat
        length = np.sqrt(np.diagonal(gram))
        shrink = np.divide(1.0, length, out=np.zeros(P), where=length > 0)
        shape_basis, strength = leading(
            gram * shrink * shrink[:, None], template_tolerance, most or P
        )
        K = shape_basis.shape[1]
        small = (flat @ (shrink[:, None] * shape_basis)).reshape(L, V, K)
        by_velocity = np.einsum("lvk,lwk->vw", small, small, optimize=True)
        mixing, _ = leading(by_velocity, VELOCITY_TOLERANCE, V)
        U = mixing.shape[1]
        templates = np.matmul(mixing.T, small).reshape(L, U * K)
        pairs = (templates.T @ templates).reshape(U, K, U, K).transpose(0, 2, 1, 3)
        light = np.empty((S, C, U))
        for start in range(0, S, 64):
            part = slice(start, min(start + 64, S))
            light[part] = factors.kernels(part) @ mixing
        light *= by_spaxel[:, None, None]
        return cls(
            basis=length[:, None] * shape_basis,
            curvature=factors.scale**2
            * joined(light, np.ascontiguousarray(pairs).reshape(U * U, K * K), K),
            strength=strength,
        )

    def coarser(self, tolerance: float) -> CompressedModel:
        """Return the model of the compressed templates above a relative singular value."""
        first = int(np.searchsorted(self.strength, tolerance))
        if first == 0:
            return self
        return CompressedModel(
            basis=self.basis[:, first:],
            curvature=np.ascontiguousarray(self.curvature[:, first:, :, first:]),
            strength=self.strength[first:],
        )

    @property
    def n_compressed(self) -> int:
        """Compressed templates, K."""
        return int(self.basis.shape[1])

    def times(self, direction: Float) -> Float:
        """Return ``U H U^T`` times a direction (C, P)."""
        C, K = self.curvature.shape[:2]
        small = self.curvature.reshape(C * K, C * K) @ (direction @ self.basis).ravel()
        return np.asarray(small.reshape(C, K) @ self.basis.T)

    def gram(self, one: Members, other: Members) -> Float:
        """Return the second derivatives between two sets of columns, shape (W1, W2)."""
        C, K = self.curvature.shape[:2]
        left, right = self.basis[one.populations], self.basis[other.populations]
        result = np.empty((one.size, other.size))
        for c in np.unique(one.components):
            here = np.flatnonzero(one.components == c)
            rows = (left[here] @ self.curvature[c].reshape(K, C * K)).reshape(here.size, C, K)
            result[here] = np.einsum("awk,wk->aw", rows[:, other.components], right)
        return result

    def diagonal(self) -> Float:
        """Return the second derivative by each weight, shape (C, P)."""
        C = self.curvature.shape[0]
        blocks = self.curvature[np.arange(C), :, np.arange(C)]
        return np.asarray(np.einsum("pk,ckl,pl->cp", self.basis, blocks, self.basis, optimize=True))


def joined(light: Float, pairs: Float, K: int) -> Float:
    """Return ``H`` (C, K, C, K) of weighted light (S, C, U) and template pairs (U*U, K*K).

    By blocks of component pairs, the lower half of them.
    """
    S, C, U = light.shape
    result = np.empty((C, K, C, K))
    flat = light.reshape(S, C * U)
    size = max(1, min(C, BLOCK_BYTES // (8 * C * max(U * U, K * K, 1))))
    for start in range(0, C, size):
        stop = min(start + size, C)
        n = stop - start
        moments = (flat[:, start * U : stop * U].T @ flat[:, : stop * U]).reshape(n, U, stop, U)
        block = moments.transpose(0, 2, 1, 3).reshape(n * stop, U * U) @ pairs
        block = block.reshape(n, stop, K, K).transpose(0, 2, 1, 3)
        result[start:stop, :, :stop] = block
        result[:stop, :, start:stop] = block.transpose(2, 3, 0, 1)
    return result
