"""A small model of the model: templates and velocity bins compressed to what the data can tell.

With separable weights (one factor per spaxel, one per pixel) the matrix of second derivatives of
the compressed model follows from two small ones, over LOSVDs and over templates, without a pass
over the voxels:

    ``H[c,k,c',k'] = sum_uu' (sum_s w_s^2 L_suc L_su'c') (sum_l w_l^2 E_ukl E_u'k'l)``

It chooses columns and preconditions. What is fitted and certified is always the model itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from cubefit.inverse.operators import Float, Members
from cubefit.inverse.separable import SeparableWeights
from cubefit.inverse.shares import Share, Shares, Sums

TEMPLATE_TOLERANCE: Final = 1e-4
"""Singular values of the templates, relative to the largest, that are kept; see docs/solvers.md."""
VELOCITY_TOLERANCE: Final = 1e-5
"""Likewise of the velocity axis."""
BLOCK_BYTES: Final = 256_000_000
"""Of the products from which ``H`` is summed."""


def leading(gram: Float, tolerance: float, most: int) -> tuple[Float, Float]:
    """Return orthonormal directions (n, k) of a Gram matrix, and their relative singular values.

    Those above the tolerance, ascending, ``most`` at most.
    """
    values, directions = np.linalg.eigh(gram)
    largest = max(float(values[-1]), 0.0)
    keep = np.flatnonzero(values > tolerance**2 * largest)[-most:]
    strength = np.sqrt(values[keep] / largest) if keep.size else np.empty(0)
    return directions[:, keep], strength


class CompressedTemplates(NamedTuple):
    """What the shifted templates are compressed to."""

    n_components: int
    """C, of which the templates know nothing."""
    basis: Float
    """``U``: templates by their compressed ones, shape (P, K)."""
    strength: Float
    """See `CompressedModel`."""
    mixing: Float
    """Velocity bins by their compressed ones, shape (V, U)."""
    pairs: Float
    """``sum_l w_l^2 E_ukl E_u'k'l``, shape (U*U, K*K)."""


def compress(
    share: Share, by_pixel: Float, tolerance: float, most: int | None
) -> CompressedTemplates:
    """Return the compressed templates, weighted ``by_pixel`` (L,); the same of any share.

    Parameters
    ----------
    share : Share
        Its shifted templates count.
    by_pixel : ndarray, shape (L,)
        Weights.
    tolerance : float
        Relative singular value of the templates above which they are kept.
    most : int, optional
        At most so many compressed templates, K.
    """
    factors = share.operator.factors
    _, C, P, L = factors.shape
    shifted = factors.shifted.astype(np.float64) * by_pixel[:, None, None]
    V = shifted.shape[1]
    flat = shifted.reshape(L * V, P)
    gram = flat.T @ flat
    length = np.sqrt(np.diagonal(gram))
    shrink = np.divide(1.0, length, out=np.zeros(P), where=length > 0)
    shape_basis, strength = leading(gram * shrink * shrink[:, None], tolerance, most or P)
    K = shape_basis.shape[1]
    small = (flat @ (shrink[:, None] * shape_basis)).reshape(L, V, K)
    by_velocity = np.einsum("lvk,lwk->vw", small, small, optimize=True)
    mixing, _ = leading(by_velocity, VELOCITY_TOLERANCE, V)
    U = mixing.shape[1]
    templates = np.matmul(mixing.T, small).reshape(L, U * K)
    pairs = (templates.T @ templates).reshape(U, K, U, K).transpose(0, 2, 1, 3)
    return CompressedTemplates(
        C, length[:, None] * shape_basis, strength, mixing, pairs.reshape(U * U, K * K)
    )


@dataclass(frozen=True, slots=True)
class Light:
    """What a share adds to the curvature, its velocity axis compressed."""

    weighted: Float
    """Weights times LOSVDs, shape (n, C, U)."""
    pairs: Float
    """See `CompressedTemplates`."""
    square_unit: float
    """Physical units of a product of two."""

    @classmethod
    def of(cls, share: Share, weights: SeparableWeights, templates: CompressedTemplates) -> Light:
        """Return that of a share."""
        factors = share.operator.factors
        S, C = factors.shape[:2]
        light = np.empty((S, C, templates.mixing.shape[1]))
        for start in range(0, S, 64):
            part = slice(start, min(start + 64, S))
            light[part] = factors.kernels(part) @ templates.mixing
        light *= weights.by_spaxel(share.observed.inverse_noise)[:, None, None]
        return cls(light, templates.pairs, factors.scale**2)


def curvature_terms(light: Light, start: int, stop: int) -> Sums:
    """Return ``H`` between components ``start`` to ``stop`` and those below ``stop``."""
    n_spaxels, C, U = light.weighted.shape
    K = math.isqrt(light.pairs.shape[1])
    n = stop - start
    flat = light.weighted.reshape(n_spaxels, C * U)
    moments = (flat[:, start * U : stop * U].T @ flat[:, : stop * U]).reshape(n, U, stop, U)
    block = moments.transpose(0, 2, 1, 3).reshape(n * stop, U * U) @ light.pairs
    return (light.square_unit * block.reshape(n, stop, K, K).transpose(0, 2, 1, 3),)


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
        shares: Shares[Share],
        *,
        template_tolerance: float = TEMPLATE_TOLERANCE,
        most: int | None = None,
    ) -> CompressedModel:
        """Return the compressed model.

        Parameters
        ----------
        shares : Shares of Share
            All spaxels; of their weights the nearest separable ones are used.
        template_tolerance : float
            Relative singular value of the templates above which they are kept.
        most : int, optional
            At most so many compressed templates, K.
        """
        weights = SeparableWeights.of(shares)
        templates = shares.any_of(compress, weights.by_pixel, template_tolerance, most)
        curvature = joined(shares.each(Light.of, weights, templates), templates)
        return cls(templates.basis, curvature, templates.strength)

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


def joined(lights: Shares[Light], templates: CompressedTemplates) -> Float:
    """Return ``H`` (C, K, C, K), by blocks of component pairs, the lower half of them."""
    C, K, U = templates.n_components, templates.basis.shape[1], templates.mixing.shape[1]
    result = np.empty((C, K, C, K))
    size = max(1, min(C, BLOCK_BYTES // (8 * C * max(U * U, K * K, 1))))
    for start in range(0, C, size):
        stop = min(start + size, C)
        (block,) = lights.total(curvature_terms, start, stop)
        result[start:stop, :, :stop] = block
        result[:stop, :, start:stop] = block.transpose(2, 3, 0, 1)
    return result
