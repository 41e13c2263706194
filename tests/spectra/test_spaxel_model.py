"""One spaxel's model is what the models of its components add up to."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubefit.errors import GridError
from cubefit.spectra.shifted_templates import shifted_templates
from cubefit.spectra.spaxel_model import SpaxelModel

T, L, V, C, P = 160, 40, 9, 4, 6
TEM_PIX = 8.5 + 3e-4 * np.arange(T)
OBS_PIX = TEM_PIX[40] + 6e-4 * np.arange(L)
VELOCITY = 150.0 * (np.arange(V) - 4)


@pytest.fixture(scope="module")
def templates():
    return np.random.default_rng(0).random((P, T)).astype(np.float32)


@given(seed=st.integers(0, 2**32 - 1), dark=st.sets(st.integers(0, V - 1)))
def test_it_is_the_sum_over_shifted_templates(templates, seed, dark):
    rng = np.random.default_rng(seed)
    losvd, x = rng.random((V, C)), rng.random((C, P))
    losvd[list(dark)] = 0.0
    shifted = shifted_templates(templates, TEM_PIX, OBS_PIX, VELOCITY, dtype=np.float64)
    expected = np.einsum("vc,cp,vpl->l", losvd, x, shifted)
    model = SpaxelModel(templates, TEM_PIX, OBS_PIX, VELOCITY)
    for _ in range(2):
        np.testing.assert_allclose(model.spectrum(losvd, x), expected, rtol=1e-9, atol=1e-12)


def test_a_dark_spaxel_is_dark(templates):
    model = SpaxelModel(templates, TEM_PIX, OBS_PIX, VELOCITY)
    np.testing.assert_array_equal(model.spectrum(np.zeros((V, C)), np.ones((C, P))), np.zeros(L))


def test_templates_too_short_for_the_velocities_with_light_are_refused(templates):
    fast = 4000.0 * (np.arange(V) - 4)
    model = SpaxelModel(templates, TEM_PIX, OBS_PIX, fast)
    slow = np.zeros((V, C))
    slow[4] = 1.0
    assert np.isfinite(model.spectrum(slow, np.ones((C, P)))).all()
    with pytest.raises(GridError, match="Templates cover"):
        model.spectrum(np.ones((V, C)), np.ones((C, P)))
