"""Grids in Angstrom and km/s."""

import numpy as np
import pytest

from cubefit.inputs import Grids
from cubefit.spectra.grids import SPEED_OF_LIGHT_KMS
from cubefit.spectra.ranges import Range, velocity_range, wavelength_range

LN_WAVE = np.log(4800.0) + 1e-4 * np.arange(1001)


def test_a_wavelength_grid_has_its_ends_in_angstrom_and_its_step_in_velocity():
    found = wavelength_range(LN_WAVE)
    assert (found.n, found.unit) == (1001, "Angstrom")
    assert (found.first, found.last) == pytest.approx((4800.0, 4800.0 * np.exp(0.1)))
    assert found.step_kms == pytest.approx(SPEED_OF_LIGHT_KMS * np.expm1(1e-4))
    assert str(found) == "4800 to 5304.82 Angstrom, 29.98 km/s a step"


def test_a_velocity_grid_stays_in_velocity():
    assert str(velocity_range(np.linspace(-400, 400, 9))) == "-400 to 400 km/s, 100 km/s a step"


def test_what_has_no_unit_has_none():
    assert str(Range(n=2, first=0.1, last=3.0, unit="")) == "0.1 to 3"


def test_grids_are_a_table_in_a_notebook():
    grids = Grids(tem_pix=LN_WAVE, obs_pix=LN_WAVE[100:900], vel_pix=np.linspace(-400, 400, 9))
    table = grids._repr_html_()
    assert table.count("<tr>") == 3
    assert "800: 4848.24 to 5251.51 Angstrom" in table
    assert "9: -400 to 400 km/s, 100 km/s a step" in table
