"""What the templates of a fit are smoothed to."""

from __future__ import annotations

import numpy as np
import pytest

from cubefit.errors import InputError
from cubefit.galaxy.populations import line_spread_of
from cubefit.galaxy.settings import CubeTable

WAVE = np.exp(np.linspace(np.log(4950.0), np.log(5750.0), 600))
FWHM = np.linspace(3.1, 2.9, 600)
PIXEL = 1.25


def test_the_line_spread_of_a_cube_reaches_to_the_ends_of_its_pixels():
    spread = line_spread_of(CubeTable(path="cube.fits"), WAVE, FWHM, pixel=PIXEL)
    ends = WAVE[0] - 0.5 * PIXEL, WAVE[-1] + 0.5 * PIXEL
    np.testing.assert_allclose(spread(ends), [3.1, 2.9])
    with pytest.raises(InputError, match="The line spread of the cube is known from"):
        spread(WAVE[0] - 2.0 * PIXEL)


def test_a_cube_without_one_and_settings_without_one_have_none():
    table = CubeTable(path="cube.fits")
    assert line_spread_of(table, np.empty(0), np.empty(0), pixel=PIXEL) is None
