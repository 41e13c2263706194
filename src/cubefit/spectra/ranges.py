"""Grids in the units that people think in: Angstrom and km/s."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cubefit.spectra.grids import step_of, velocity_of_shift

Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Values from the first to the last."""

    n: int
    first: float
    last: float
    unit: str
    """Empty where it is not known."""
    step_kms: float | None = None
    """Of a uniform grid in wavelength or velocity."""

    def __str__(self) -> str:
        """Return the range in words."""
        told = f"{self.first:.6g} to {self.last:.6g} {self.unit}".rstrip()
        return told if self.step_kms is None else f"{told}, {self.step_kms:.4g} km/s a step"


def wavelength_range(ln_wave: Float) -> Range:
    """Return a uniform grid of pixel centres in ln(Angstrom), shape (n,), as wavelengths."""
    first, last = (float(wave) for wave in np.exp(ln_wave[[0, -1]]))
    step = float(velocity_of_shift(step_of(ln_wave)))
    return Range(n=ln_wave.size, first=first, last=last, unit="Angstrom", step_kms=step)


def velocity_range(velocity_kms: Float) -> Range:
    """Return a uniform grid of bin centres in km/s, shape (n,)."""
    first, last = (float(v) for v in velocity_kms[[0, -1]])
    return Range(
        n=velocity_kms.size, first=first, last=last, unit="km/s", step_kms=step_of(velocity_kms)
    )
