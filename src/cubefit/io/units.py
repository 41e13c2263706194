"""Units of files: as FITS wants them, and as people read them."""

from __future__ import annotations

import re
import warnings
from typing import Any, Final, Literal, TypeAlias

from astropy.units import CompositeUnit, Unit

Dialect: TypeAlias = Literal["generic", "fits"]
"""Which units there are: FITS knows no dex, for one."""

SURVEY_UNITS: Final = {"Ang": "Angstrom", "spaxel": "pix"}
"""Names of units in MaNGA's cubes, as the FITS standard has them."""
BELOW_THE_LINE: Final = ("s", "cm", "m", "Angstrom", "nm")
"""Units in the order in which journals divide by them; others follow."""


def known_unit(text: str, dialect: Dialect) -> str | None:
    """Return a unit in a dialect, or None where it is not one there: readers would complain."""
    unit = _parsed(text) if text else None
    if unit is None:
        return None
    try:
        return str(unit.to_string(dialect))
    except ValueError:
        return None


def readable_unit(text: str) -> str:
    """Return a unit with its powers above the line.

    Parameters
    ----------
    text : str
        As a file has it, such as ``10**(-20)*erg/s/cm**2/Angstrom``.

    Returns
    -------
    str
        Such as ``10⁻²⁰ erg s⁻¹ cm⁻² Å⁻¹``, as journals order it, empty for a plain number
        one; what is no unit to astropy stays as it is.
    """
    unit = _parsed(text)
    found = text if unit is None else _in_order(unit)
    return found.strip().removeprefix("1\N{MULTIPLICATION SIGN}")


def _parsed(text: str) -> Any:
    """Return a unit of astropy, None where it knows none."""
    standard = re.sub(r"[A-Za-z]+", lambda word: SURVEY_UNITS.get(word[0], word[0]), text)
    with warnings.catch_warnings():
        # MUSE's own unit has several slashes, of which astropy warns.
        warnings.simplefilter("ignore")
        try:
            return Unit(standard)
        except (ValueError, TypeError):
            return None


def _in_order(unit: Any) -> str:
    """Return scale, units with positive powers, then the others as journals order them."""
    if not hasattr(unit, "bases"):  # Magnitudes and the like have none.
        return str(unit.to_string("unicode"))
    names = BELOW_THE_LINE
    factors = [
        (power < 0, names.index(base.name) if base.name in names else len(names), base**power)
        for base, power in zip(unit.bases, unit.powers, strict=True)
    ]
    above = [factor for below, _, factor in factors if not below]
    below = [factor for is_below, _, factor in sorted(factors, key=lambda f: f[1]) if is_below]
    scale = CompositeUnit(unit.scale, [], [])
    parts = [part.to_string("unicode", fraction=False) for part in (scale, *above, *below)]
    return " ".join(filter(None, parts))
