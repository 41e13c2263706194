"""Units as people read them."""

import pytest

from cubefit.io.units import readable_unit


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("10**(-20)*erg/s/cm**2/Angstrom", "10⁻²⁰ erg Å⁻¹ s⁻¹ cm⁻²"),
        ("1E-16 erg/s/cm^2/AA", "10⁻¹⁶ erg Å⁻¹ s⁻¹ cm⁻²"),
        ("Jy", "Jy"),
        (" counts per fibre ", "counts per fibre"),
        ("", ""),
    ],
)
def test_units_are_shown_as_people_write_them(given, shown):
    assert readable_unit(given) == shown
