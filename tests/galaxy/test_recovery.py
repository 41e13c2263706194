"""From a cube, an orbit library and SSPs on disk to the truth that they were made of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from tests.galaxy.mock import Sight, fit_mock, rotation_errors, spaxel_errors

from cubefit import FitResult
from cubefit.demo import mean_rms


def require_truth(fitted, *, mass, age, metal, age_of_orbits, metal_of_orbits):
    """Compare a run with the truth: relative error of the mass, and dex for the others."""
    galaxy, result = fitted.galaxy, FitResult.from_file(fitted.report.h5_path)
    found = result.weights_of("mass").values.reshape(galaxy.mass.shape)
    light = result.weights_of("light").values.reshape(galaxy.mass.shape)
    true_light = galaxy.mass * galaxy.light
    masses = [x.sum(axis=1) for x in (found, galaxy.mass)]
    assert np.abs(masses[0] - masses[1]).sum() < mass * galaxy.mass.sum()
    assert spaxel_errors(galaxy, light, true_light, galaxy.log_age) < age
    assert spaxel_errors(galaxy, light, true_light, galaxy.metal) < metal
    assert mean_rms(light, true_light, galaxy.log_age) < age_of_orbits
    assert mean_rms(light, true_light, galaxy.metal) < metal_of_orbits
    young, old = rotation_errors(galaxy, result)
    assert abs(young) < 0.1
    assert abs(old) < 0.05


def test_a_small_galaxy_is_recovered(fitted):
    assert fitted.report.findings == []
    require_truth(
        fitted, mass=0.02, age=0.005, metal=0.012, age_of_orbits=0.12, metal_of_orbits=0.1
    )


def test_the_medium_galaxy_is_recovered(tmp_path):
    fitted = fit_mock(tmp_path, replace(Sight(), size="medium"), more="[products]\npictures = []")
    assert fitted.report.findings == []
    require_truth(fitted, mass=0.1, age=0.01, metal=0.02, age_of_orbits=0.15, metal_of_orbits=0.12)
