"""From observed to rest-frame wavelengths, in air or vacuum, with the flux conserved."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from cubefit.errors import ConfigError
from cubefit.prepare.air import in_medium, require_medium
from cubefit.prepare.spectra import Spectra, require_wave_edges

Float = NDArray[np.float64]


def rest_frame_edges(wave_edges: Float, medium: str, *, z: float, to_medium: str) -> Float:
    """Return pixel edges at rest: to vacuum, divided by ``1 + z``, to the wanted medium.

    Air is dispersive: its index belongs to the wavelength at which the light entered the air, so
    that a redshift acts on wavelengths in vacuum only.

    Parameters
    ----------
    wave_edges : ndarray, shape (L + 1,)
        Observed pixel edges in Angstrom, increasing.
    medium : {"air", "vacuum"}
        Theirs.
    z : float
        Redshift of the galaxy, above -1; 0 changes the medium only.
    to_medium : {"air", "vacuum"}
        Of the edges returned.

    Returns
    -------
    ndarray, shape (L + 1,)
        Angstrom.

    Raises
    ------
    ConfigError
        If the redshift or a medium is impossible.
    InputError
        If the edges do not increase.
    """
    _require_redshift(z)
    require_wave_edges(wave_edges)
    if z == 0:
        return in_medium(wave_edges, medium, to_medium)
    require_medium(to_medium, "to_medium")
    return in_medium(in_medium(wave_edges, medium, "vacuum") / (1.0 + z), "vacuum", to_medium)


def in_rest_frame(spectra: Spectra, *, z: float, to_medium: str) -> Spectra:
    """Return spectra at rest; flux density times pixel width stays what it is in every pixel.

    Flux density and noise grow by the width of the observed pixel over that at rest, ``1 + z``
    but for the change of medium. No pixel is resampled.

    Parameters
    ----------
    spectra : Spectra
        Observed.
    z, to_medium
        See `rest_frame_edges`.

    Returns
    -------
    Spectra

    Raises
    ------
    ConfigError
        If the redshift or the medium is impossible.
    """
    edges = rest_frame_edges(spectra.wave_edges, spectra.medium, z=z, to_medium=to_medium)
    stretch = spectra.widths / np.diff(edges)
    return Spectra(
        flux=spectra.flux * stretch,
        noise=spectra.noise * stretch,
        mask=spectra.mask,
        wave_edges=edges,
        medium=to_medium,
    )


def _require_redshift(z: float) -> None:
    if not (math.isfinite(z) and z > -1):
        raise ConfigError(f"z={z}: must be a finite number above -1.")
    if z > 20:
        raise ConfigError(f"z={z}: no redshift; was it given in km/s? Divide by 299792.458.")
