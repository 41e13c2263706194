import numpy as np
import pytest

from cubefit.errors import InputError
from cubefit.prepare.consistency import flux_unit, resolution_order, template_range

WAVE = np.linspace(4800.0, 7000.0, 50)


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


def test_sharper_templates_pass():
    found = resolution_order(np.array(2.51), np.full(WAVE.size, 2.6), WAVE)
    assert found.ok
    assert found.worst_ratio == pytest.approx(2.51 / 2.6)
    # As sharp as the data is sharp enough.
    assert resolution_order(np.full(50, 2.6), np.full(50, 2.6), WAVE).ok


def test_coarser_templates_are_told_with_the_range():
    instrument = np.linspace(2.9, 2.3, 50)
    found = resolution_order(np.array(2.51), instrument, WAVE)
    assert not found.ok
    assert found.worst_wave == 7000.0
    assert "between 6282 and 7000 A" in found.message
    assert "at 7000 A (FWHM 2.51 against 2.30 A)" in found.message
    with pytest.raises(InputError, match="not positive"):
        resolution_order(np.array(0.0), instrument, WAVE)


def test_the_range_of_templates_is_told():
    observed = 8.5 + 2e-4 * np.arange(20)
    wide = 8.48 + 1e-4 * np.arange(500)
    found = template_range(wide, observed, (-500.0, 500.0))
    assert found.ok
    assert found.coverage.safe
    found = template_range(wide, observed, (-500.0, 9000.0))
    assert not found.ok
    assert "Give wider templates" in found.message
