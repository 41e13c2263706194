"""Units as people read them."""

import pytest

from cubefit.io.units import readable_unit


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("10**(-20)*erg/s/cm**2/Angstrom", "10⁻²⁰ erg s⁻¹ cm⁻² Å⁻¹"),
        ("1E-16 erg/s/cm^2/AA", "10⁻¹⁶ erg s⁻¹ cm⁻² Å⁻¹"),
        (
            "1.5e-17 Angstrom^-1 s^-1 W arcsec^-2 m^-2",
            "1.5\N{MULTIPLICATION SIGN}10⁻¹⁷ W s⁻¹ m⁻² Å⁻¹ arcsec⁻²",
        ),
        ("mag(AB)", "mag(AB)"),
        ("1E-17 erg/s/cm^2/Ang/spaxel", "10⁻¹⁷ erg s⁻¹ cm⁻² Å⁻¹ pix⁻¹"),
        ("Jy", "Jy"),
        (" counts per fibre ", "counts per fibre"),
        ("", ""),
    ],
)
def test_units_are_shown_as_people_write_them(given, shown):
    assert readable_unit(given) == shown
