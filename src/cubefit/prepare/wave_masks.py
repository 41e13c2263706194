"""Wavelengths to leave out: named lists of lines and bands, and a user's own lines.

Emission lines belong to the galaxy and move with it; the lines of the night sky, the bands of the
Earth's air and the notch of the MUSE lasers stay where they are on the detector.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cubefit.errors import ConfigError
from cubefit.prepare.air import in_medium
from cubefit.spectra.grids import ln_shift

Float = NDArray[np.float64]
Frame: TypeAlias = Literal["observed", "rest"]

EMISSION_LINES: Final[dict[str, float]] = {
    "[OII] 3726": 3726.03,
    "[OII] 3729": 3728.82,
    "[NeIII] 3869": 3868.76,
    "[NeIII] 3967": 3967.47,
    "Hdelta": 4101.73,
    "Hgamma": 4340.46,
    "[OIII] 4363": 4363.21,
    "HeII 4686": 4685.71,
    "Hbeta": 4861.33,
    "[OIII] 4959": 4958.91,
    "[OIII] 5007": 5006.84,
    "[NI] 5198": 5197.90,
    "[NI] 5200": 5200.26,
    "HeI 5876": 5875.62,
    "[OI] 6300": 6300.30,
    "[OI] 6364": 6363.78,
    "[NII] 6548": 6548.05,
    "Halpha": 6562.80,
    "[NII] 6583": 6583.45,
    "[SII] 6716": 6716.44,
    "[SII] 6731": 6730.82,
    "[ArIII] 7136": 7135.79,
    "[SIII] 9069": 9068.60,
}
"""Rest wavelengths in air, Angstrom, of a galaxy's gas: laboratory and Ritz values of the NIST
Atomic Spectra Database, to 0.01 Angstrom ([ArIII] and [SIII] to 0.1)."""

SKY_LINES: Final[tuple[float, ...]] = (
    5577.34, 5889.95, 5895.92, 6300.30, 6363.78, 6533.04, 6863.96, 6923.22, 7276.41, 7316.28,
    7340.89, 7750.64, 7794.11, 7821.50, 7913.71, 7964.65, 7993.33, 8344.60, 8399.17, 8430.17,
    8465.36, 8827.10, 8885.85, 8919.64, 8958.08, 9037.95, 9375.96,
)  # fmt: skip
"""Observed wavelengths in air, Angstrom, of the bright lines of the night sky: [OI], sodium, and
OH as in Osterbrock et al. (1996, PASP 108, 277)."""

TELLURIC_BANDS: Final[tuple[tuple[float, float], ...]] = (
    (6860.0, 6950.0),
    (7160.0, 7340.0),
    (7590.0, 7720.0),
    (8130.0, 8350.0),
    (8930.0, 9800.0),
)
"""Observed ranges in air, Angstrom, where the Earth's oxygen (B and A band) and water absorb."""

MUSE_LASER_BANDS: Final[tuple[tuple[float, float], ...]] = ((5770.0, 6050.0),)
"""Observed range in air, Angstrom, around the sodium lasers that MUSE blocks with adaptive
optics: what nGIST leaves out for MUSE_WFMAON."""

SKY_HALF_WIDTH_KMS: Final = 200.0
"""Half width of a sky line's mask. Sky lines are as wide as the instrument's profile, whatever
the galaxy does: 3.7 Angstrom at 5577 are three sigma of MUSE's and of MaNGA's."""

NAMES: Final = ("emission", "sky", "telluric", "muse-laser")


def line_mask(
    wave: Float,
    names: Sequence[str] = ("emission", "sky"),
    *,
    medium: str,
    z: float = 0.0,
    frame: Frame = "observed",
    width_kms: float = 400.0,
    sky_width_kms: float = SKY_HALF_WIDTH_KMS,
    lines: Sequence[tuple[float, float]] = (),
) -> NDArray[np.bool_]:
    """Return which pixels have their centre in no line or band to leave out.

    Parameters
    ----------
    wave : ndarray, shape (L,)
        Pixel centres in Angstrom.
    names : sequence of str
        Any of "emission" (`EMISSION_LINES`, at the galaxy's redshift), "sky" (`SKY_LINES`),
        "telluric" (`TELLURIC_BANDS`) and "muse-laser" (`MUSE_LASER_BANDS`).
    medium : {"air", "vacuum"}
        Of ``wave``, and of ``lines``.
    z : float
        Redshift of the galaxy.
    frame : {"observed", "rest"}
        Of ``wave``: whether the redshift has been taken out.
    width_kms : float
        Half width of the mask of an emission line; it holds the galaxy's rotation and the lines'
        own widths.
    sky_width_kms : float
        Half width of the mask of a sky line; widen it for a resolution coarser than MUSE's.
    lines : sequence of (float, float)
        Further lines of the galaxy: rest wavelength in Angstrom, half width in km/s.

    Returns
    -------
    ndarray of bool, shape (L,)
        True = use.

    Raises
    ------
    ConfigError
        If a name is unknown, or a width, line, frame or medium impossible.
    """
    if frame not in {"observed", "rest"}:
        raise ConfigError(f"frame={frame!r}: must be 'observed' or 'rest'.")
    if not z > -1:
        raise ConfigError(f"z={z}: must be a finite number above -1.")
    _require_lines(lines, width_kms, sky_width_kms)
    stretch = 1.0 + z if frame == "rest" else 1.0
    observed = in_medium(wave, medium, "vacuum") * stretch
    use = np.ones(wave.shape, np.bool_)
    for low, high in _bands(names, z, width_kms, sky_width_kms) + _galaxy_lines(lines, medium, z):
        use &= (observed < low) | (observed > high)
    return use


def _bands(
    names: Sequence[str], z: float, width_kms: float, sky_width_kms: float
) -> list[tuple[float, float]]:
    """Return named ranges in observed vacuum wavelengths."""
    found: list[tuple[float, float]] = []
    for name in names:
        if name == "emission":
            gas = [(wave, width_kms) for wave in EMISSION_LINES.values()]
            found += _galaxy_lines(gas, "air", z)
        elif name == "sky":
            found += _galaxy_lines([(wave, sky_width_kms) for wave in SKY_LINES], "air", 0.0)
        elif name in {"telluric", "muse-laser"}:
            bands = TELLURIC_BANDS if name == "telluric" else MUSE_LASER_BANDS
            found += [(float(low), float(high)) for low, high in in_medium(bands, "air", "vacuum")]
        else:
            near = difflib.get_close_matches(name, NAMES, n=1)
            mend = f"did you mean {near[0]!r}?" if near else f"choose of {', '.join(NAMES)}."
            raise ConfigError(f"There is no list of lines called {name!r}: {mend}")
    return found


def _galaxy_lines(
    lines: Sequence[tuple[float, float]], medium: str, z: float
) -> list[tuple[float, float]]:
    """Return ranges around lines in observed vacuum wavelengths."""
    if not lines:
        return []
    centres, widths = np.array(lines, np.float64).T
    observed = in_medium(centres, medium, "vacuum") * (1.0 + z)
    factor = np.exp(ln_shift(widths))
    return [
        (float(low), float(high))
        for low, high in zip(observed / factor, observed * factor, strict=True)
    ]


def _require_lines(
    lines: Sequence[tuple[float, float]], width_kms: float, sky_width_kms: float
) -> None:
    for name, width in (("width_kms", width_kms), ("sky_width_kms", sky_width_kms)):
        if not 0 < width < 30_000:
            raise ConfigError(f"{name}={width}: must be positive, and below 30000 km/s.")
    for wave, half_width in lines:
        if not (wave > 0 and 0 < half_width < 30_000):
            raise ConfigError(
                f"The line ({wave}, {half_width}) is none: give a rest wavelength in Angstrom and "
                "a half width in km/s."
            )
