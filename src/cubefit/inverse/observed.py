"""Observed spectra and their weights: which voxels count, and how much.

A Kaczmarz projection onto a row does not change when the row and its datum are scaled, so noise
moves its sweeps nowhere; it enters their seed and every figure of merit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cubefit.errors import InputError
from cubefit.inverse.operators import Float

SMALLEST_NOISE: Final = float(np.finfo(np.float64).tiny)
"""The inverse of a smaller number overflows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """Spectra of a cube, or of a part of its spaxels.

    Build it with `Observed.of`, which checks its arrays.
    """

    data: Float
    """Observed spectra, shape (S, L); zero where a voxel is not in use."""
    inverse_noise: Float
    """One over the noise, shape (S, L); zero where a voxel is not in use."""
    has_noise: bool
    """False where no noise was given: every voxel then weighs one, and chi2 is a sum of squares."""

    @classmethod
    def of(
        cls,
        data: Float,
        *,
        noise: Float | None = None,
        mask: NDArray[np.bool_] | None = None,
        voxel_mask: NDArray[np.bool_] | None = None,
        part_from: int | None = None,
    ) -> Observed:
        """Return the spectra of a cube with their weights.

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
        part_from : int, optional
            These are some spaxels of a cube, this one its first: they may all be masked.

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
        if part_from is None and not used.any():
            raise InputError("The masks leave no voxel to fit: True means use, so invert them.")
        first = part_from or 0
        require_values(data, used, "/DataCube", "is not finite", np.isfinite, first)
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
                first,
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
    values: Float,
    used: NDArray[np.bool_],
    name: str,
    fault: str,
    good: Callable[[Float], NDArray[np.bool_]],
    first: int,
) -> None:
    """Raise InputError with the first voxel in use at which ``good`` does not hold.

    ``first`` is the number of the first spaxel.
    """
    bad = used & ~good(values)
    if bad.any():
        s, pixel = (int(i) for i in np.argwhere(bad)[0])
        s += first
        raise InputError(
            f"{name} {fault} in {int(bad.sum())} unmasked voxels, first at spaxel {s}, pixel "
            f"{pixel}: leave them out with mask= (length L) or voxel_mask= (S, L), True = use."
        )
