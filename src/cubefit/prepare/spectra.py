"""Binned spectra on pixels of any width: what the steps of preparation hand to one another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cubefit.errors import InputError
from cubefit.prepare.air import require_medium

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spectra:
    """Spectra of S bins on L pixels; checked at birth."""

    flux: Float
    """Flux density averaged over the pixel, shape (S, L); anything where the mask is False."""
    noise: Float
    """One sigma, same unit and shape; anything where the mask is False. NaN in every pixel in use
    means that the noise is not known."""
    mask: Bool
    """True = use, shape (S, L)."""
    wave_edges: Float
    """Pixel edges in Angstrom, increasing, shape (L + 1,)."""
    medium: str
    """Of the wavelengths, "air" or "vacuum"."""

    def __post_init__(self) -> None:
        """Refuse arrays that do not fit together, or good pixels without flux or noise."""
        require_medium(self.medium)
        require_wave_edges(self.wave_edges)
        if self.flux.ndim != 2 or self.flux.shape[1] != self.wave_edges.size - 1:
            raise InputError(
                f"flux has shape {self.flux.shape}, but {self.wave_edges.size} pixel edges: give "
                "(bins, pixels), and one edge more than pixels."
            )
        for name in ("noise", "mask"):
            shape = getattr(self, name).shape
            if shape != self.flux.shape:
                raise InputError(
                    f"{name} has shape {shape}, flux {self.flux.shape}: give both the same."
                )
        if self.mask.dtype != np.bool_:
            raise InputError(f"mask is of type {self.mask.dtype}: give booleans, True = use.")
        self._require_numbers()

    def _require_numbers(self) -> None:
        good = np.isfinite(self.flux)
        if self.has_noise:
            good &= np.isfinite(self.noise) & (self.noise > 0)
        wrong = np.argwhere(self.mask & ~good)
        if wrong.size:
            s, pixel = (int(index) for index in wrong[0])
            raise InputError(
                f"{len(wrong)} pixels in use have no finite flux or no positive noise, the first "
                f"is pixel {pixel} of spectrum {s} (flux {self.flux[s, pixel]:.3g}, noise "
                f"{self.noise[s, pixel]:.3g}): mask them in the cube."
            )

    @property
    def has_noise(self) -> bool:
        """Whether the noise is known."""
        return not bool(self.mask.any() and np.isnan(self.noise[self.mask]).all())

    @property
    def wave(self) -> Float:
        """Pixel centres in Angstrom, shape (L,)."""
        return np.asarray(0.5 * (self.wave_edges[:-1] + self.wave_edges[1:]))

    @property
    def widths(self) -> Float:
        """Pixel widths in Angstrom, shape (L,)."""
        return np.diff(self.wave_edges)


def require_wave_edges(wave_edges: Float) -> None:
    """Raise InputError unless pixel edges are a vector of positive, finite, increasing values."""
    if wave_edges.ndim != 1 or wave_edges.size < 2:
        raise InputError(f"wave_edges has shape {wave_edges.shape}: give a vector of 2 or more.")
    if not (np.isfinite(wave_edges).all() and wave_edges[0] > 0):
        raise InputError("wave_edges holds values that are no wavelengths: give Angstrom.")
    if not (np.diff(wave_edges) > 0).all():
        first = int(np.argmin(np.diff(wave_edges) > 0))
        raise InputError(f"wave_edges does not increase after pixel {first}: sort the spectra.")
