"""A piece of a cube in memory: all its spatial pixels in a range of wavelengths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cubefit.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class CubeBlock:
    """All spatial pixels of a cube from one wavelength pixel to another.

    Raises
    ------
    InputError
        If the arrays disagree in shape.
    """

    wave: slice
    """Its pixels along the wavelengths of the cube, of length n."""
    flux: NDArray[np.float32]
    """Flux as in the file, shape (nPix, n); where the mask is False it may hold anything."""
    noise: NDArray[np.float32]
    """One sigma in the unit of the flux, shape (nPix, n); where the mask is False it may hold
    anything. NaN everywhere for a cube without noise."""
    mask: NDArray[np.bool_]
    """True = use, shape (nPix, n)."""

    def __post_init__(self) -> None:
        """Refuse arrays that do not fit together."""
        n = self.wave.stop - self.wave.start
        for name in ("flux", "noise", "mask"):
            shape = getattr(self, name).shape
            if len(shape) != 2 or shape != self.flux.shape or shape[1] != n:
                raise InputError(
                    f"CubeBlock.{name} has shape {shape} for {n} wavelengths and flux of shape "
                    f"{self.flux.shape}: give flux, noise and mask of shape (nPix, n)."
                )
