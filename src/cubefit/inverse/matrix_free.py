"""The model without the HyperCube: ``models[s,c,p,l] = sum_v LOSVD[s,v,c] D[v,p,l]``.

Everything is a plain matrix product. At NGC 4365 size a full ``A x`` needs 1 GB of memory where
the HyperCube would take 616 GB of disk.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import DTypeLike, NDArray

from cubefit.errors import InputError
from cubefit.inverse.light import light_blocks
from cubefit.inverse.lit_blocks import LitKernels
from cubefit.inverse.operators import Factors, Float, Members, require_shape
from cubefit.inverse.routes import cheaper_route
from cubefit.inverse.scaling import LOSVD_FLOOR, order_one, power_of_two

NORM_BATCH: Final = 64
"""Spaxels at a time in `MatrixFreeOperator.column_norms`."""


@dataclass(frozen=True, slots=True)
class FactoredRows:
    """Rows of one spaxel as the product of its LOSVD and the shifted templates.

    Products pass through the (V, P) plane, which is smaller than (C, P): the rows themselves are
    never formed.
    """

    losvd: NDArray[np.floating]
    """Shape (V, m), scaled to order one, of the components with light."""
    components: NDArray[np.intp]
    """Shape (m,), which these are."""
    n_components: int
    """How many there are altogether, C."""
    shifted: NDArray[np.floating]
    """Shape (K, V, P), scaled to order one."""
    scale: float
    """Physical units per scaled unit."""

    def dot(self, x: Float) -> Float:
        """Return ``A_s x``."""
        K = self.shifted.shape[0]
        broadened, scale = order_one(self.losvd @ x[self.components], self.shifted.dtype)
        light = self.shifted.reshape(K, -1) @ broadened.ravel()
        return light.astype(np.float64) * (scale * self.scale)

    def backproject(self, alpha: Float) -> Float:
        """Return ``A_s^T alpha``."""
        K, V, P = self.shifted.shape
        scaled, scale = order_one(alpha, self.shifted.dtype)
        summed = (scaled @ self.shifted.reshape(K, V * P)).reshape(V, P)
        result = np.zeros((self.n_components, P))
        result[self.components] = self.losvd.T @ summed
        return result * (scale * self.scale)

    def gram(self) -> Float:
        """Return ``A_s A_s^T``.

        With ``LOSVD^T = Q R`` the rows are ``(R D) Q^T``, so the Gram matrix needs only ``R D``,
        V*P numbers a row instead of C*P.
        """
        K = self.shifted.shape[0]
        triangle = np.asarray(np.linalg.qr(self.losvd.T.astype(np.float64), mode="r"))
        scaled, scale = order_one(triangle, self.shifted.dtype)
        compact = np.matmul(scaled, self.shifted).reshape(K, -1)
        return np.asarray(compact @ compact.T, np.float64) * (scale * self.scale) ** 2

    def dense(self) -> NDArray[np.floating]:
        """Return ``A_s``, shape (K, C, P), in float64: physical units may not fit float32."""
        K, _, P = self.shifted.shape
        models = np.zeros((K, self.n_components, P))
        models[:, self.components] = np.matmul(self.losvd.T, self.shifted)
        return models * self.scale


class MatrixFreeOperator:
    """The model as products of LOSVDs and shifted templates.

    Parameters
    ----------
    losvd : ndarray, shape (S, V, C)
        LOSVD histograms, as they shall act (normalised or not).
    shifted : ndarray, shape (V, P, L)
        Shifted templates, see `cubefit.spectra.shifted_templates`.
    dtype : dtype
        float32 (fast) or float64 arithmetic. Of ``A^T r`` the last sum, over velocity bins or
        spaxels, is float64.
    lit_bins : ndarray of bool, shape (V,), optional
        Velocity bins with light anywhere in the cube, of which these spaxels are a part; default
        those with light here.
    brightest : float, optional
        Largest LOSVD value in that cube, against which faint ones count as zero; default that here.

    Raises
    ------
    InputError
        If the number of velocity bins disagrees.
    """

    def __init__(
        self,
        losvd: NDArray[np.floating],
        shifted: NDArray[np.floating],
        dtype: DTypeLike = np.float32,
        lit_bins: NDArray[np.bool_] | None = None,
        brightest: float | None = None,
    ) -> None:
        if losvd.ndim != 3 or shifted.ndim != 3 or losvd.shape[1] != shifted.shape[0]:
            raise InputError(
                f"LOSVD of shape {losvd.shape} and shifted templates of shape {shifted.shape} do "
                "not fit: give (S, V, C) and (V, P, L) with the same V."
            )
        self.dtype = np.dtype(dtype)
        lit = np.flatnonzero(losvd.any(axis=(0, 2)) if lit_bins is None else lit_bins)
        span = slice(int(lit[0]), int(lit[-1]) + 1) if lit.size else slice(0, 1)
        self._n_spaxels, _, self._n_components = losvd.shape
        scale = power_of_two(losvd if brightest is None else np.array([brightest]))
        has_light = np.asarray((losvd > LOSVD_FLOOR * scale).any(axis=1))
        self._kernels = LitKernels.holding(
            losvd[:, span], scale, self.dtype, light_blocks(has_light), shifted.shape[2]
        )
        self._place = np.full((self._n_spaxels, 2), -1)
        for i, block in enumerate(self._kernels.blocks):
            self._place[block.spaxels, 0] = i
            self._place[block.spaxels, 1] = np.arange(block.spaxels.size)
        # (L, V, P): a pixel's block is contiguous for row solvers.
        by_pixel = shifted[span].transpose(2, 0, 1)
        self._shifted, shifted_scale = order_one(by_pixel, self.dtype)
        self._scale = scale * shifted_scale
        self._route = cheaper_route(self._kernels, self._shifted)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Sizes ``(S, C, P, L)``."""
        L, _, P = self._shifted.shape
        return self._n_spaxels, self._n_components, P, L

    @property
    def n_bytes(self) -> int:
        """Bytes of LOSVDs and shifted templates."""
        return sum(block.n_bytes for block in self._kernels.blocks) + self._shifted.nbytes

    @property
    def factors(self) -> Factors:
        """The operator itself."""
        return self

    @property
    def shifted(self) -> NDArray[np.floating]:
        """Shifted templates, shape (L, V, P), scaled to order one."""
        return self._shifted

    @property
    def scale(self) -> float:
        """Physical units of a product of scaled LOSVDs and templates."""
        return self._scale

    @property
    def n_pairs(self) -> int:
        """Pairs of spaxel and component whose LOSVDs are held."""
        return sum(block.n_pairs for block in self._kernels.blocks)

    def kernels(self, spaxels: NDArray[np.intp] | slice) -> NDArray[np.floating]:
        """Return the LOSVDs of some spaxels, shape (n, C, V), scaled to order one."""
        places, (C, V) = self._place[spaxels], (self._n_components, self._shifted.shape[1])
        result = np.zeros((len(places), C, V), self.dtype)
        for i, block in enumerate(self._kernels.blocks):
            here = np.flatnonzero(places[:, 0] == i)
            if here.size:
                result[here] = block.dense(places[here, 1], C, V)
        result[:, self._kernels.order] = result.copy()
        return result

    def matvec(self, x: Float) -> Float:
        """Return ``A x`` as two chains of matrix products."""
        S, C, P, _ = self.shape
        require_shape("x", x, (C, P))
        weights, scale = order_one(x, self.dtype)
        return self._route.spectra(weights, S) * (scale * self._scale)

    def rmatvec(self, residual: Float) -> Float:
        """Return ``A^T r`` as two chains of matrix products."""
        S, C, _, L = self.shape
        require_shape("The residual", residual, (S, L))
        scaled, scale = order_one(residual, self.dtype)
        return self._route.gradient(scaled, C) * (scale * self._scale)

    def misfit(self, x: Float, data: Float | None, inverse_noise: Float) -> tuple[Float, Float]:
        """Return the weighted residual ``W (A x - y)`` and ``A^T W`` times it."""
        residual = self.matvec(x)
        if data is not None:
            residual -= data
        residual *= inverse_noise
        return residual, self.rmatvec(residual * inverse_noise)

    def rows(self, spaxel: int, pixels: NDArray[np.intp]) -> FactoredRows:
        """Return the rows of one spaxel, over its components and velocity bins with light."""
        kernels = self.kernels(slice(spaxel, spaxel + 1))[0]
        components = np.flatnonzero(kernels.any(axis=1))
        if not components.size:
            components = np.arange(1)
        kernels = kernels[components]
        lit = np.flatnonzero(kernels.any(axis=0))
        span = slice(int(lit[0]), int(lit[-1]) + 1) if lit.size else slice(0, 1)
        return FactoredRows(
            losvd=np.ascontiguousarray(kernels[:, span].T),
            components=components,
            n_components=self._n_components,
            shifted=self._shifted[pixels, span],
            scale=self._scale,
        )

    def columns(self, members: Members) -> Callable[[NDArray[np.intp]], Float]:
        """Return what makes some columns in given spaxels, by one product per population."""
        V, L = self._shifted.shape[1], self._shifted.shape[0]
        groups = []
        for p in np.unique(members.populations):
            here = np.flatnonzero(members.populations == p)
            # In float64, for physical units may not fit float32.
            template = np.ascontiguousarray(self._shifted[:, :, p].T, np.float64) * self._scale
            groups.append((here, members.components[here], template))

        def make(spaxels: NDArray[np.intp]) -> Float:
            kernels = np.ascontiguousarray(self.kernels(spaxels).transpose(1, 0, 2))
            n = len(spaxels)
            result = np.empty((members.size, n, L))
            for here, components, template in groups:
                stacked = kernels[components].reshape(-1, V)
                result[here] = (stacked @ template).reshape(-1, n, L)
            return result

        return make

    def column_norms(self) -> Float:
        """Return the norm of every column from two small Gram matrices over velocity bins.

        ``|A_cp|^2 = sum_vw (sum_s L_svc L_swc) (sum_l D_vpl D_wpl)``.
        """
        S, C, P, _ = self.shape
        V = self._shifted.shape[1]
        orbit = np.zeros((C, V, V))
        for start in range(0, S, NORM_BATCH):
            kernels = self.kernels(slice(start, min(start + NORM_BATCH, S)))
            orbit += np.matmul(kernels.transpose(1, 2, 0), kernels.transpose(1, 0, 2))
        squares = np.empty((C, P))
        for p in range(P):
            template = np.ascontiguousarray(self._shifted[:, :, p])
            squares[:, p] = orbit.reshape(C, -1) @ (template.T @ template).ravel().astype(
                np.float64
            )
        return np.asarray(np.sqrt(np.maximum(squares, 0.0))) * self._scale
