"""The model without the HyperCube: ``models[s,c,p,l] = sum_v LOSVD[s,v,c] D[v,p,l]``.

Everything is a plain matrix product. At NGC 4365 size a full ``A x`` needs 1 GB of memory where
the HyperCube would take 616 GB of disk.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike, NDArray

from cubefit.errors import InputError
from cubefit.inverse.operators import Float, require_shape
from cubefit.inverse.scaling import LOSVD_FLOOR, order_one


@dataclass(frozen=True, slots=True)
class FactoredRows:
    """Rows of one spaxel as the product of its LOSVD and the shifted templates.

    Products pass through the (V, P) plane, which is smaller than (C, P): the rows themselves are
    never formed.
    """

    losvd: NDArray[np.floating]
    """Shape (V, C), scaled to order one."""
    shifted: NDArray[np.floating]
    """Shape (K, V, P), scaled to order one."""
    scale: float
    """Physical units per scaled unit."""

    def dot(self, x: Float) -> Float:
        """Return ``A_s x``."""
        K = self.shifted.shape[0]
        broadened, scale = order_one(self.losvd @ x, self.shifted.dtype)
        light = self.shifted.reshape(K, -1) @ broadened.ravel()
        return light.astype(np.float64) * (scale * self.scale)

    def backproject(self, alpha: Float) -> Float:
        """Return ``A_s^T alpha``."""
        K, V, P = self.shifted.shape
        scaled, scale = order_one(alpha, self.shifted.dtype)
        summed = (scaled @ self.shifted.reshape(K, V * P)).reshape(V, P)
        return (self.losvd.T @ summed).astype(np.float64) * (scale * self.scale)

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
        models = np.matmul(self.losvd.T, self.shifted)
        return np.asarray(np.multiply(models, self.scale, dtype=np.float64))


class MatrixFreeOperator:
    """The model as products of LOSVDs and shifted templates.

    Parameters
    ----------
    losvd : ndarray, shape (S, V, C)
        LOSVD histograms, as they shall act (normalised or not).
    shifted : ndarray, shape (V, P, L)
        Shifted templates, see `cubefit.spectra.shifted_templates`.
    dtype : dtype
        float32 (fast) or float64 arithmetic. Sums over velocity bins in ``A^T r`` are float64.

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
    ) -> None:
        if losvd.ndim != 3 or shifted.ndim != 3 or losvd.shape[1] != shifted.shape[0]:
            raise InputError(
                f"LOSVD of shape {losvd.shape} and shifted templates of shape {shifted.shape} do "
                "not fit: give (S, V, C) and (V, P, L) with the same V."
            )
        self.dtype = np.dtype(dtype)
        lit = np.flatnonzero(losvd.any(axis=(0, 2)))
        span = slice(int(lit[0]), int(lit[-1]) + 1) if lit.size else slice(0, 1)
        self._losvd, losvd_scale = order_one(losvd[:, span], self.dtype, LOSVD_FLOOR)
        # (L, V, P): a pixel's block is contiguous for row solvers, and BLAS takes the strided
        # (P, L) view of one velocity bin at full speed.
        by_pixel = shifted[span].transpose(2, 0, 1)
        self._shifted, shifted_scale = order_one(by_pixel, self.dtype)
        self._scale = losvd_scale * shifted_scale

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Sizes ``(S, C, P, L)``."""
        S, _, C = self._losvd.shape
        L, _, P = self._shifted.shape
        return S, C, P, L

    def matvec(self, x: Float) -> Float:
        """Return ``A x`` as two chains of matrix products."""
        S, C, P, L = self.shape
        V = self._shifted.shape[1]
        require_shape("x", x, (C, P))
        weights, scale = order_one(x, self.dtype)
        per_bin = np.empty((V, C, L), self.dtype)
        for v in range(V):
            np.matmul(weights, self._shifted[:, v].T, out=per_bin[v])
        model = self._losvd.reshape(S, V * C) @ per_bin.reshape(V * C, L)
        return np.asarray(model, np.float64) * (scale * self._scale)

    def rmatvec(self, residual: Float) -> Float:
        """Return ``A^T r`` as two chains of matrix products."""
        S, C, P, L = self.shape
        V = self._shifted.shape[1]
        require_shape("The residual", residual, (S, L))
        scaled, scale = order_one(residual, self.dtype)
        per_bin = (self._losvd.reshape(S, V * C).T @ scaled).reshape(V, C, L)
        result = np.zeros((C, P))
        for v in range(V):
            result += per_bin[v] @ self._shifted[:, v]
        return result * (scale * self._scale)

    def rows(self, spaxel: int, pixels: NDArray[np.intp]) -> FactoredRows:
        """Return the rows of one spaxel, over the velocity bins where it has light."""
        losvd = self._losvd[spaxel]
        lit = np.flatnonzero(losvd.any(axis=1))
        span = slice(int(lit[0]), int(lit[-1]) + 1) if lit.size else slice(0, 1)
        return FactoredRows(losvd[span], self._shifted[pixels, span], self._scale)

    def column_norms(self) -> Float:
        """Return the norm of every column from two small Gram matrices over velocity bins.

        ``|A_cp|^2 = sum_vw (sum_s L_svc L_swc) (sum_l D_vpl D_wpl)``.
        """
        _, C, P, _ = self.shape
        V = self._shifted.shape[1]
        orbit = np.empty((C, V * V))
        for c in range(C):
            kernel = np.ascontiguousarray(self._losvd[:, :, c])
            orbit[c] = (kernel.T @ kernel).ravel()
        squares = np.empty((C, P))
        for p in range(P):
            template = np.ascontiguousarray(self._shifted[:, :, p])
            squares[:, p] = orbit @ (template.T @ template).ravel().astype(np.float64)
        return np.asarray(np.sqrt(np.maximum(squares, 0.0))) * self._scale
