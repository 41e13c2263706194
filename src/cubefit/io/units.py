"""Units as people read them."""

from __future__ import annotations

import warnings

from astropy.units import Unit


def readable_unit(text: str) -> str:
    """Return a unit with its powers above the line.

    Parameters
    ----------
    text : str
        As a file has it, such as ``10**(-20)*erg/s/cm**2/Angstrom``.

    Returns
    -------
    str
        Such as ``10⁻²⁰ erg Å⁻¹ s⁻¹ cm⁻²``, empty for a plain number one; what is no unit to astropy
        stays as it is.
    """
    with warnings.catch_warnings():
        # Headers with several slashes are discouraged, and clear.
        warnings.simplefilter("ignore")
        try:
            found = str(Unit(text).to_string("unicode", fraction=False))
        except (ValueError, TypeError):
            found = text
    return found.strip().removeprefix("1\N{MULTIPLICATION SIGN}")
