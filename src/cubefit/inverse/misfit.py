"""The weighted misfit of all spaxels: each question to it is one pass over their shares."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cubefit.errors import InputError
from cubefit.inverse.gram import stream_gram
from cubefit.inverse.operators import Float, Members
from cubefit.inverse.shares import Share, Shares, Sums


class Sizes(NamedTuple):
    """Lengths of the axes."""

    S: int
    V: int
    """Velocity bins that hold light."""
    C: int
    P: int
    L: int


def n_spaxels_of(share: Share) -> Sums:
    """Return the number of spaxels."""
    return (share.operator.shape[0],)


def n_pairs_of(share: Share) -> Sums:
    """Return the number of pairs of spaxel and component whose LOSVDs are held."""
    return (share.operator.factors.n_pairs,)


def common_shape(share: Share) -> tuple[int, int, int, bool]:
    """Return ``(C, P, L)`` and whether there is noise."""
    return *share.operator.shape[1:], share.observed.has_noise


def n_bins_of(share: Share) -> int:
    """Return the number of velocity bins that hold light."""
    return int(share.operator.factors.shifted.shape[1])


def sums_of_data(share: Share) -> Sums:
    """Return the voxels in use, ``z . W y``, ``|W y|^2`` and ``|y|^2``."""
    data, weights = share.observed.data, share.observed.inverse_noise
    weighted = data * weights
    return (
        share.observed.n_voxels,
        float(np.vdot(data, weights)),
        float(np.vdot(weighted, weighted)),
        float(np.vdot(data, data)),
    )


def lever_of(share: Share) -> Sums:
    """Return ``A^T W z``, shape (C, P), of the vector ``z`` that is one in every voxel in use."""
    return (share.operator.rmatvec(share.observed.inverse_noise),)


def chi2_of(share: Share, x: Float) -> Sums:
    """Return chi2 at ``x``, and the gradient of half of it, shape (C, P)."""
    observed = share.observed
    residual, gradient = share.operator.misfit(x, observed.data, observed.inverse_noise)
    return float(np.vdot(residual, residual)), gradient


def curvature_of(share: Share, direction: Float) -> Sums:
    """Return ``A^T W^2 A`` times a direction (C, P)."""
    return (share.operator.misfit(direction, None, share.observed.inverse_noise)[1],)


def overlap_of(share: Share, x: Float) -> Sums:
    """Return ``|W A x|^2`` and ``W A x . W y``."""
    weights = share.observed.inverse_noise
    model = share.operator.matvec(x) * weights
    return float(np.vdot(model, model)), float(np.vdot(model, share.observed.data * weights))


def gram_of(share: Share, one: Members, other: Members, n_bytes: float) -> Sums:
    """Return the second derivatives between two sets of columns, see `gram.stream_gram`."""
    return (stream_gram(share.operator, share.observed.inverse_noise, one, other, n_bytes),)


class Misfit:
    """``1/2 || (A x - y) / noise ||^2`` over the voxels in use of all spaxels.

    Parameters
    ----------
    shares : Shares of Share
        All spaxels.

    Raises
    ------
    InputError
        If no voxel is in use.
    """

    def __init__(self, shares: Shares[Share]) -> None:
        self.shares = shares
        (n_spaxels,) = shares.total(n_spaxels_of)
        n_components, n_populations, n_pixels, self.has_noise = shares.any_of(common_shape)
        self.shape: tuple[int, int, int, int] = (
            int(n_spaxels), n_components, n_populations, n_pixels,
        )  # fmt: skip
        """Sizes ``(S, C, P, L)``."""
        n_voxels, self.light_of_data, square, self.square_of_data = shares.total(sums_of_data)
        self.n_voxels = int(n_voxels)
        """Voxels in use."""
        self.chi2_of_zero = float(square)
        """``|W y|^2``; and ``light_of_data`` is ``z . W y``, ``square_of_data`` is ``|y|^2``."""
        if not self.n_voxels:
            raise InputError("The masks leave no voxel to fit: True means use, so invert them.")

    @property
    def n_spaxels(self) -> int:
        """Number of spaxels, S."""
        return self.shape[0]

    def sizes(self) -> Sizes:
        """Return the lengths of all axes."""
        S, C, P, L = self.shape
        return Sizes(S, self.shares.any_of(n_bins_of), C, P, L)

    def n_pairs(self) -> int:
        """Return the number of pairs of spaxel and component whose LOSVDs are held."""
        return int(self.shares.total(n_pairs_of)[0])

    def lever(self) -> Float:
        """Return ``A^T W z``, shape (C, P)."""
        return np.asarray(self.shares.total(lever_of)[0])

    def at(self, x: Float) -> tuple[float, Float]:
        """Return chi2 at ``x`` (C, P), and the gradient of half of it (C, P)."""
        chi2, gradient = self.shares.total(chi2_of, x)
        return chi2, gradient

    def curvature(self, direction: Float) -> Float:
        """Return ``A^T W^2 A`` times a direction (C, P)."""
        return np.asarray(self.shares.total(curvature_of, direction)[0])

    def gram(self, one: Members, other: Members, n_bytes: float) -> Float:
        """Return ``A_one^T W^2 A_other``, shape (W1, W2); those of ``one`` come first in ``other``.

        ``n_bytes`` is the memory for the columns of a batch of spaxels.
        """
        return np.asarray(self.shares.total(gram_of, one, other, n_bytes)[0])

    def scaled_to_data(self, x: Float) -> Float:
        """Return ``x`` times the non-negative factor that minimises the misfit.

        The result is never worse than ``x = 0``.
        """
        energy, overlap = self.shares.total(overlap_of, x)
        return x * (max(overlap, 0.0) / energy) if energy > 0 else np.zeros_like(x)
