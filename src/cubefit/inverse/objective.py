"""The objective of a fit: the weighted misfit over unmasked voxels, and the prior terms.

A Kaczmarz projection onto a row does not change when the row and its datum are scaled, so noise
moves its sweeps nowhere; it enters their seed and every figure of merit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cubefit.errors import InputError
from cubefit.inverse.operators import Operator
from cubefit.inverse.priors import Priors

Float = NDArray[np.float64]

SMALLEST_NOISE: Final = float(np.finfo(np.float64).tiny)
"""The inverse of a smaller number overflows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """``1/2 || (A x - y) / noise ||^2`` over the voxels in use, and ``1/2 |prior rows x|^2``.

    Build it with `Objective.of`, which checks its arrays.
    """

    data: Float
    """Observed spectra, shape (S, L); zero where a voxel is not in use."""
    inverse_noise: Float
    """One over the noise, shape (S, L); zero where a voxel is not in use."""
    has_noise: bool
    """False where no noise was given: every voxel then weighs one, and chi2 is a sum of squares."""
    priors: Priors | None = None
    """Prior terms; None where only the data count."""

    @classmethod
    def of(
        cls,
        data: Float,
        *,
        noise: Float | None = None,
        mask: NDArray[np.bool_] | None = None,
        voxel_mask: NDArray[np.bool_] | None = None,
    ) -> Objective:
        """Return the objective of a cube.

        Parameters
        ----------
        data : ndarray, shape (S, L)
            Observed spectra; may hold anything, NaN too, where masked.
        noise : ndarray, shape (S, L) or (L,), optional
            One sigma, same unit as the data, positive where in use.
        mask : ndarray of bool, shape (L,), optional
            True = use the pixel in every spaxel.
        voxel_mask : ndarray of bool, shape (S, L), optional
            True = use the voxel.

        Raises
        ------
        InputError
            If shapes or types do not fit, nothing is left, or a voxel in use has no finite value
            or positive noise.
        """
        if data.ndim != 2:
            raise InputError(f"/DataCube has shape {data.shape}: give (S, L).")
        require_fitting("mask", mask, data.shape[1:], boolean=True)
        require_fitting("voxel_mask", voxel_mask, data.shape, boolean=True)
        if noise is not None and noise.ndim == 1:
            require_fitting("noise", noise, data.shape[1:])
        else:
            require_fitting("noise", noise, data.shape)
        used = np.ones(data.shape, bool)
        if mask is not None:
            used &= mask
        if voxel_mask is not None:
            used &= voxel_mask
        if not used.any():
            raise InputError("The masks leave no voxel to fit: True means use, so invert them.")
        require_values(data, used, "/DataCube", "is not finite", np.isfinite)
        if noise is None:
            inverse_noise = used.astype(np.float64)
        else:
            spread = np.broadcast_to(noise, data.shape)
            require_values(
                spread,
                used,
                "/Noise",
                "is not a positive number",
                lambda n: np.isfinite(n) & (n >= SMALLEST_NOISE),
            )
            inverse_noise = np.divide(1.0, spread, out=np.zeros(data.shape), where=used)
        return cls(
            data=np.where(used, data, 0.0).astype(np.float64),
            inverse_noise=inverse_noise,
            has_noise=noise is not None,
        )

    @property
    def used(self) -> NDArray[np.bool_]:
        """True where a voxel counts, shape (S, L)."""
        return self.inverse_noise > 0

    @property
    def n_voxels(self) -> int:
        """Number of voxels in use."""
        return int(np.count_nonzero(self.inverse_noise))

    def chi2(self, model: Float) -> float:
        """Return ``|| (model - data) / noise ||^2`` of a model cube (S, L)."""
        return float(self.chi2_per_spaxel(model).sum())

    def chi2_per_spaxel(self, model: Float) -> Float:
        """Return the share of chi2 of each spaxel, shape (S,)."""
        require_fitting("The model", model, self.data.shape)
        scaled = (model - self.data) * self.inverse_noise
        return np.asarray(np.einsum("sl,sl->s", scaled, scaled))

    def at(self, operator: Operator, x: Float) -> Evaluation:
        """Return value and gradient at ``x`` (C, P): one ``A x`` and one ``A^T r``."""
        residual, gradient = operator.misfit(x, self.data, self.inverse_noise)
        chi2, prior = float(np.vdot(residual, residual)), 0.0
        if self.priors is not None:
            prior, gradient = self.priors.value(x), gradient + self.priors.gradient(x)
        return Evaluation(
            x=x, residual=residual, gradient=gradient, chi2=chi2, value=0.5 * chi2 + prior
        )

    def curvature(self, operator: Operator, direction: Float) -> Float:
        """Return the second derivative times ``direction`` (C, P)."""
        _, result = operator.misfit(direction, None, self.inverse_noise)
        return result if self.priors is None else result + self.priors.gradient(direction)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """The objective at one point."""

    x: Float
    """Weights, shape (C, P)."""
    residual: Float
    """``(A x - y) / noise``, shape (S, L); zero where a voxel is not in use."""
    gradient: Float
    """Shape (C, P), prior terms included."""
    chi2: float
    """Of the data alone."""
    value: float
    """The objective: half of chi2, and the prior terms."""


def require_fitting(
    name: str, array: NDArray[Any] | None, shape: tuple[int, ...], *, boolean: bool = False
) -> None:
    """Raise InputError unless an array, where given, has the shape and type that it needs."""
    if array is None:
        return
    if array.shape != shape:
        raise InputError(f"{name} has shape {array.shape}, the data need {shape}.")
    if boolean and array.dtype != bool:
        raise InputError(f"{name} has dtype {array.dtype}: give booleans, True = use.")


def require_values(
    values: Float, used: NDArray[np.bool_], name: str, fault: str, good: object
) -> None:
    """Raise InputError with the first voxel in use at which ``good`` does not hold."""
    bad = used & ~good(values)  # type: ignore[operator]
    if bad.any():
        s, pixel = (int(i) for i in np.argwhere(bad)[0])
        raise InputError(
            f"{name} {fault} in {int(bad.sum())} unmasked voxels, first at spaxel {s}, pixel "
            f"{pixel}: leave them out with mask= (length L) or voxel_mask= (S, L), True = use."
        )
