import numpy as np
import pytest

from cubefit.errors import InputError
from cubefit.prepare.consistency import flux_unit


def test_scaled_fluxes_pass():
    found = flux_unit(np.full((3, 4), 250.0, np.float32))
    assert found.ok
    assert found.median == 250.0
    assert found.dark_spectra == 0


@pytest.mark.parametrize(("size", "factor"), [(3e-18, "1e\\+18"), (2e15, "1e-15")])
def test_a_unit_that_was_not_scaled_is_told_with_the_factor(size, factor):
    found = flux_unit(np.full((3, 4), size))
    assert not found.ok
    assert factor.replace("\\", "") in found.message


def test_negative_fluxes_are_told():
    flux = np.ones((4, 5))
    flux[0] = -1.0
    found = flux_unit(flux)
    assert found.ok
    assert found.negative_share == 0.25
    assert "1 of 4 spectra have a median that is not positive" in found.message
    found = flux_unit(-flux)
    assert not found.ok
    assert "too much sky" in found.message


def test_masked_fluxes_do_not_count():
    flux, mask = np.ones((2, 3)), np.ones((2, 3), bool)
    flux[0], mask[0] = -1e30, False
    flux[1, 0], mask[1, 0] = np.nan, False
    assert flux_unit(flux, mask).median == 1.0
    with pytest.raises(InputError, match="No pixel"):
        flux_unit(flux, np.zeros((2, 3), bool))
