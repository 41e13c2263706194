"""Units on the axes of pictures."""

import pytest

from cubefit.observation import Observation
from cubefit.results.units import UNKNOWN_FLUX, flux_unit_of, pixel_unit_of


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("10**(-20)*erg/s/cm**2/Angstrom", "10⁻²⁰ erg s⁻¹ cm⁻² Å⁻¹"),
        ("", UNKNOWN_FLUX),
        ("  ", UNKNOWN_FLUX),
        ("not a unit, but a sentence that no axis has room for", UNKNOWN_FLUX),
    ],
)
def test_fluxes_have_a_unit_that_fits_an_axis(given, shown):
    assert flux_unit_of(Observation(flux_unit=given)) == shown


def test_places_have_the_unit_that_was_given():
    assert pixel_unit_of(Observation(pixel_unit="arcsec")) == "arcsec"
    assert pixel_unit_of(Observation()) == "as given"
