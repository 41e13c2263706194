"""Wavelengths in air and in vacuum."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cubefit.errors import ConfigError, InputError

SHORTEST_ANGSTROM: Final = 2000.0
"""Vacuum wavelength from which on air wavelengths are defined."""

ROUNDS: Final = 5
"""Of the inversion: the refractive index changes so slowly that each round gains 5 digits."""


def require_medium(medium: object, name: str = "medium") -> str:
    """Return ``medium``, or raise ConfigError unless it is "air" or "vacuum"."""
    if medium not in ("air", "vacuum"):
        raise ConfigError(f"{name}={medium!r}: must be 'air' or 'vacuum'.")
    return str(medium)


def vacuum_to_air(wave: ArrayLike) -> NDArray[np.float64]:
    """Return the wavelength in standard air of a wavelength in vacuum.

    The refractive index is that of Birch & Downs (1994, Metrologia 31, 315), as in VALD.

    Parameters
    ----------
    wave : array_like
        Vacuum wavelength in Angstrom, at least 2000.

    Returns
    -------
    ndarray
        Air wavelength in Angstrom, same shape.

    Raises
    ------
    InputError
        Below 2000 Angstrom, where the formula does not hold.
    """
    vacuum = np.asarray(wave, np.float64)
    _require_defined(vacuum, SHORTEST_ANGSTROM)
    return np.asarray(vacuum / _refractive_index(vacuum))


def air_to_vacuum(wave: ArrayLike) -> NDArray[np.float64]:
    """Return the wavelength in vacuum of a wavelength in standard air: undoes `vacuum_to_air`.

    Parameters
    ----------
    wave : array_like
        Air wavelength in Angstrom, at least that of 2000 in vacuum.

    Returns
    -------
    ndarray
        Vacuum wavelength in Angstrom, same shape.

    Raises
    ------
    InputError
        Below, where the formula does not hold.
    """
    air = np.asarray(wave, np.float64)
    _require_defined(air, float(vacuum_to_air(SHORTEST_ANGSTROM)) * (1.0 - 1e-14))
    vacuum = air
    for _ in range(ROUNDS):
        vacuum = air * _refractive_index(vacuum)
    return np.asarray(vacuum)


def in_medium(wave: ArrayLike, have: str, want: str) -> NDArray[np.float64]:
    """Return wavelengths (Angstrom) given in the medium ``have`` as they are in ``want``.

    Parameters
    ----------
    wave : array_like
        Wavelength in Angstrom.
    have, want : {"air", "vacuum"}

    Returns
    -------
    ndarray
        Same shape; the very same values where the media are the same.

    Raises
    ------
    ConfigError
        If a medium is neither.
    InputError
        Below 2000 Angstrom, where air is not defined, unless the media are the same.
    """
    if require_medium(have) == require_medium(want):
        return np.array(wave, np.float64)
    return vacuum_to_air(wave) if want == "air" else air_to_vacuum(wave)


def _refractive_index(vacuum: NDArray[np.float64]) -> NDArray[np.float64]:
    wavenumber2 = (1e4 / vacuum) ** 2
    return np.asarray(
        1.0 + 8.34254e-5 + 2.406147e-2 / (130.0 - wavenumber2) + 1.5998e-4 / (38.9 - wavenumber2)
    )


def _require_defined(wave: NDArray[np.float64], lowest: float) -> None:
    if not (wave >= lowest).all():
        raise InputError(
            f"Air wavelengths are defined from 2000 Angstrom on, and {np.min(wave):.6g} is below: "
            "start redder, and check redshift and unit."
        )
