import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.inverse.cases import separable_weights, weighing
from tests.inverse.problems import FLOAT64, random_problem

from cubefit.inverse.separable import SeparableWeights
from cubefit.inverse.shares import one_share

seeds = st.integers(0, 2**32 - 1)


def separable(weights):
    """Return the factors of some weights (S, L), per spaxel and per pixel."""
    S, L = weights.shape
    operator = FLOAT64.of(random_problem(0, (S, 1, 1, 1, L)))
    found = SeparableWeights.of(one_share(operator, weighing(weights)))
    return found.by_spaxel(weights), found.by_pixel


@given(seed=seeds)
@settings(deadline=None, max_examples=30)
def test_separable_weights_are_found_exactly(seed):
    rng = np.random.default_rng(seed)
    weights = separable_weights(rng, (4, 6))
    by_spaxel, by_pixel = separable(weights)
    np.testing.assert_allclose(np.outer(by_spaxel, by_pixel), weights, atol=1e-12)


def test_other_weights_are_met_on_average():
    weights = np.random.default_rng(1).uniform(0.5, 2.0, (20, 30))
    near = np.outer(*separable(weights)) ** 2
    assert np.abs(near / weights**2 - 1).mean() < 1.0
    assert near.mean() == pytest.approx((weights**2).mean(), rel=0.05)


def test_no_weights_have_no_factors():
    by_spaxel, by_pixel = separable(np.zeros((3, 4)))
    assert not by_spaxel.any()
    assert not by_pixel.any()


@given(seed=seeds, spaxel=st.integers(0, 4))
@settings(deadline=None, max_examples=30)
def test_a_spaxel_is_weighed_by_itself(seed, spaxel):
    """Its factor does not depend on who else is asked about."""
    weights = np.random.default_rng(seed).random((5, 6))
    operator = FLOAT64.of(random_problem(0, (5, 1, 1, 1, 6)))
    found = SeparableWeights.of(one_share(operator, weighing(weights)))
    alone = found.by_spaxel(weights[spaxel : spaxel + 1])
    np.testing.assert_allclose(alone, found.by_spaxel(weights)[[spaxel]], rtol=1e-12)
