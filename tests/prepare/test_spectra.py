import numpy as np
import pytest

from cubefit.errors import ConfigError, InputError
from cubefit.prepare.spectra import Spectra


def make(**changes):
    arrays = {
        "flux": np.ones((2, 3)),
        "noise": np.ones((2, 3)),
        "mask": np.ones((2, 3), bool),
        "wave_edges": np.array([5000.0, 5001.0, 5003.0, 5004.0]),
        "medium": "air",
    }
    return Spectra(**(arrays | changes))


def test_centres_and_widths_of_pixels():
    spectra = make()
    np.testing.assert_allclose(spectra.wave, [5000.5, 5002.0, 5003.5])
    np.testing.assert_allclose(spectra.widths, [1.0, 2.0, 1.0])
    assert spectra.has_noise


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0, 0.0])
def test_masked_pixels_may_hold_anything(value):
    flux, noise, mask = np.ones((2, 3)), np.ones((2, 3)), np.ones((2, 3), bool)
    flux[1, 2], noise[1, 2], mask[1, 2] = value, value, False
    assert not make(flux=flux, noise=noise, mask=mask).mask[1, 2]


def test_noise_that_is_not_known_is_nan_everywhere():
    assert not make(noise=np.full((2, 3), np.nan)).has_noise
    half = np.array([[1.0, 1.0, 1.0], [np.nan] * 3])
    with pytest.raises(InputError, match=r"3 pixels in use .* pixel 0 of spectrum 1"):
        make(noise=half)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"medium": "water"}, ConfigError, "must be 'air' or 'vacuum'"),
        ({"wave_edges": np.array([1.0, 2.0, 3.0])}, InputError, "one edge more than pixels"),
        ({"wave_edges": np.array([1.0, 2.0, 2.0, 3.0])}, InputError, "increase after pixel 1"),
        ({"wave_edges": np.array([0.0, 2.0, 2.5, 3.0])}, InputError, "no wavelengths"),
        ({"wave_edges": np.array([1.0])}, InputError, "vector of 2 or more"),
        ({"noise": np.ones((3, 2))}, InputError, r"noise has shape \(3, 2\)"),
        ({"mask": np.ones((2, 3))}, InputError, "give booleans"),
        ({"flux": np.array([[1, 1, 1], [1, np.nan, 1]])}, InputError, "pixel 1 of spectrum 1"),
        ({"noise": np.array([[1, 0, 1], [1, 1, 1.0]])}, InputError, "pixel 1 of spectrum 0"),
    ],
)
def test_refuses_what_does_not_fit(changes, error, words):
    with pytest.raises(error, match=words):
        make(**changes)
