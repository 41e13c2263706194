import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls
from tests.inverse.cases import make_case
from tests.inverse.problems import FLOAT64, random_problem

from cubefit.inverse.compressed import CompressedModel
from cubefit.inverse.expected_total import one_population_total


def total_of(case, weights):
    """Return the total that the compressed model expects."""
    model = CompressedModel.of(case.shares(FLOAT64), template_tolerance=0.0)
    here = case.plain(FLOAT64).at(np.zeros(case.lit.shape))
    return one_population_total(model, here, weights)


@given(seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=30)
def test_it_is_the_best_fit_of_one_mix_of_populations(seed):
    case = make_case(seed, random_problem(seed, (5, 3, 3, 4, 20)), noise="separable")
    shares = case.weights / case.weights.sum()
    weighted = np.einsum("scpl,c,sl->slp", case.problem.models, shares, case.observed.inverse_noise)
    right = (case.observed.data * case.observed.inverse_noise).ravel()
    expected = nnls(weighted.reshape(-1, 4), right)[0].sum()
    assert total_of(case, case.weights) == pytest.approx(expected, rel=1e-5)
    assert total_of(case, 40.0 * case.weights) == pytest.approx(expected, rel=1e-5)


def test_data_made_that_way_give_their_total():
    problem = random_problem(1, (5, 3, 3, 4, 20))
    case = make_case(1, problem, noise="none")
    shares = case.weights / case.weights.sum()
    mix = np.array([1.0, 0.0, 4.0, 2.5])
    case.observed.data[:] = np.einsum("scpl,c,p->sl", problem.models, shares, mix)
    assert total_of(case, case.weights) == pytest.approx(7.5, rel=1e-6)


def test_data_below_zero_weigh_nothing():
    assert total_of(make_case(1, data="negative"), np.ones(3)) == 0.0
