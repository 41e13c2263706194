"""The velocity grid of a galaxy's orbit library."""

import numpy as np
import pytest

from cubefit.errors import ConfigError
from cubefit.galaxy.orbits import velocities_of_step

VEL = np.linspace(-900.0, 900.0, 37)


@pytest.mark.parametrize("step", [10.0, 50.0, 60.0, 300.0])
def test_velocities_of_a_step_cover_the_library_with_one_at_zero(step):
    found = velocities_of_step(VEL, step)
    np.testing.assert_allclose(np.diff(found), step)
    assert 0.0 in found
    assert found[0] - 0.5 * step <= -925.0
    assert found[-1] + 0.5 * step >= 925.0


@pytest.mark.parametrize("step", [1e-5, 2.0, 1000.0])
def test_steps_that_make_no_sense_are_refused_before_anything_is_made(step):
    with pytest.raises(ConfigError, match=r"velocity_step = .* give from 2\.5 to 616\.667"):
        velocities_of_step(VEL, step)
