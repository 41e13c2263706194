"""Wavelength axes as FITS headers and other files state them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cubefit.errors import ConfigError, GridError, InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

ANGSTROM: Final = {
    "ANGSTROM": 1.0, "ANGSTROMS": 1.0, "ANG": 1.0, "A": 1.0, "0.1NM": 1.0,
    "NM": 10.0, "UM": 1e4, "MICRON": 1e4, "MICRONS": 1e4, "M": 1e10,
}  # fmt: skip
"""Units of wavelength in capitals, in Angstrom."""
WITHOUT_UNIT: Final = (500.0, 60_000.0)
"""Wavelengths without a unit are taken as Angstrom where they lie in this range."""
OPTICAL: Final = (1000.0, 60_000.0)
"""What logarithms of wavelengths must give, in Angstrom."""


def header_wave(header: Mapping[str, Any], size: int, where: str) -> NDArray[np.float64]:
    """Return the wavelengths of the third axis of a FITS cube.

    Linear axes, and logarithmic ones (CTYPE3 ending in ``-LOG``, FITS paper III), with
    CD3_3, or CDELT3 (times PC3_3).

    Parameters
    ----------
    header : mapping
        The header of the HDU.
    size : int
        Number of pixels L.
    where : str
        File and HDU, for errors.

    Returns
    -------
    ndarray, shape (L,)
        Pixel centres in Angstrom.

    Raises
    ------
    InputError
        If keys are missing, the unit is unknown, or the wavelength depends on the position.
    GridError
        If the wavelengths do not increase.
    """
    first = _number(header, "CRVAL3", where)
    step = _step(header, where)
    reference = _number(header, "CRPIX3", where) if "CRPIX3" in header else 1.0
    _require_own_axis(header, where)
    if not step > 0:
        raise GridError(
            f"{where}: the third axis has a step of {step:g}: wavelengths must increase; reorder "
            "the planes from blue to red."
        )
    kind = _ctype(header)
    pixels = np.arange(1.0, size + 1.0) - reference
    if kind.endswith("-LOG"):
        wave = first * np.exp(pixels * (step / first))
    elif kind[:4] in {"FREQ", "ENER", "VELO", "VOPT", "VRAD", "ZOPT", "BETA", "WAVN"}:
        raise InputError(
            f"{where}: CTYPE3 = {kind} is no wavelength: give a cube sampled in wavelength."
        )
    else:
        wave = first + step * pixels
    return wave * _angstrom(str(header.get("CUNIT3", "")), wave, where)


def header_medium(header: Mapping[str, Any]) -> str | None:
    """Return the medium that CTYPE3 states: AWAV is air and WAVE vacuum (FITS paper III)."""
    kind = _ctype(header).removesuffix("-LOG")
    return {"AWAV": "air", "WAVE": "vacuum"}.get(kind)


def medium_of(given: str | None, known: str | None, where: str) -> str:
    """Return the medium of the wavelengths: as given, else as known of the file.

    Raises
    ------
    ConfigError
        If what is given is neither "air" nor "vacuum".
    InputError
        If nothing is given and the file does not say.
    """
    if given is not None and given not in {"air", "vacuum"}:
        raise ConfigError(f"medium={given!r}: must be 'air' or 'vacuum'.")
    medium = given or known
    if medium is None:
        raise InputError(
            f"{where} does not say whether its wavelengths are in air or in vacuum: give "
            "medium='air' or medium='vacuum'."
        )
    if medium not in {"air", "vacuum"}:
        raise InputError(f"{where} states the medium {medium!r}: it must be 'air' or 'vacuum'.")
    return medium


def from_logarithm(values: NDArray[np.float64], where: str) -> NDArray[np.float64]:
    """Return wavelengths of their natural or decimal logarithms: what gives optical light.

    Raises
    ------
    GridError
        If neither does.
    """
    if values.size and values.max() < 20.0:
        for wave in (np.exp(values), 10.0**values):
            if OPTICAL[0] <= wave.min() and wave.max() <= OPTICAL[1]:
                return np.asarray(wave)
    raise GridError(
        f"{where}: {values.min(initial=math.inf):g} to {values.max(initial=-math.inf):g} are no "
        f"logarithms of wavelengths from {OPTICAL[0]:.0f} to {OPTICAL[1]:.0f} Angstrom: give "
        "ln(wavelength / Angstrom)."
    )


def _number(header: Mapping[str, Any], key: str, where: str) -> float:
    value: Any = header.get(key)
    # Not isinstance: bool is an int to Python, and a FITS logical is no number.
    if type(value) not in {int, float} or not math.isfinite(value):
        raise InputError(
            f"{where}: {key} = {value!r} is no number: the header needs CRVAL3 and CD3_3 or CDELT3."
        )
    return float(value)


def _step(header: Mapping[str, Any], where: str) -> float:
    if "CD3_3" in header:
        return _number(header, "CD3_3", where)
    rotation = _number(header, "PC3_3", where) if "PC3_3" in header else 1.0
    return _number(header, "CDELT3", where) * rotation


def _require_own_axis(header: Mapping[str, Any], where: str) -> None:
    mixed = [f"{m}{a}" for m in ("CD", "PC") for a in ("1_3", "2_3", "3_1", "3_2")]
    found = [key for key in mixed if header.get(key, 0.0) != 0.0]
    if found:
        raise InputError(
            f"{where}: {', '.join(found)} mix wavelength and position: give a cube whose third "
            "axis is wavelength alone."
        )


def _ctype(header: Mapping[str, Any]) -> str:
    return str(header.get("CTYPE3", "")).strip().upper()


def _angstrom(unit: str, wave: NDArray[np.float64], where: str) -> float:
    name = unit.strip().upper()
    if name in ANGSTROM:
        return ANGSTROM[name]
    plausible = WITHOUT_UNIT[0] <= wave.min() and wave.max() <= WITHOUT_UNIT[1]
    if not name and plausible:
        return 1.0
    raise InputError(
        f"{where}: CUNIT3 = {unit!r} with values {wave[0]:g} to {wave[-1]:g} is no unit of "
        "wavelength that is known: write Angstrom, nm, um or m into the header."
    )
