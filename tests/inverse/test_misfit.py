import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.inverse.cases import cases, make_case, misfit_of, random_observed

from cubefit.errors import InputError
from cubefit.inverse.misfit import Misfit
from cubefit.inverse.observed import Observed
from cubefit.inverse.operators import Members

seeds = st.integers(0, 2**32 - 1)
checked = settings(deadline=None, max_examples=40)


@given(case=cases())
@checked
def test_what_is_known_of_the_data_written_out(kind, case):
    misfit, weight = case.misfit(kind), case.observed.inverse_noise
    data = np.where(case.used, case.data, 0.0)
    assert misfit.shape == (*case.data.shape[:1], *case.lit.shape, *case.data.shape[1:])
    assert misfit.n_spaxels == case.data.shape[0]
    assert misfit.n_voxels == case.used.sum()
    assert misfit.has_noise is (case.noise is not None)
    assert misfit.light_of_data == pytest.approx(
        (data * weight).sum(), rel=1e-12, abs=1e-12 * np.abs(data * weight).sum()
    )
    assert misfit.chi2_of_zero == pytest.approx(case.observed.chi2(0.0 * data), rel=1e-12)
    assert misfit.square_of_data == pytest.approx((data**2).sum(), rel=1e-12)


@given(case=cases())
@checked
def test_sizes_are_those_of_the_factors(kind, case):
    misfit, factors = case.misfit(kind), kind.of(case.problem).factors
    assert misfit.sizes() == (*factors.shape[:1], factors.shifted.shape[1], *factors.shape[1:])
    assert misfit.n_pairs() == factors.n_pairs


@given(case=cases())
@checked
def test_chi2_gradient_and_curvature_are_those_of_the_dense_least_squares(kind, case):
    """Of weights that are not negative; columns without light count as zero there."""
    matrix, right = case.rows(kind)
    misfit, x = case.misfit(kind), np.random.default_rng(case.seed).random(case.lit.shape)
    x[np.abs(matrix).max(axis=0).reshape(x.shape) == 0] = 0.0
    model, tolerance = matrix @ x.ravel(), 100 * kind.rounding
    chi2, gradient = misfit.at(x)
    size = model + np.abs(right)
    assert abs(chi2 - np.sum((model - right) ** 2)) <= tolerance * np.sum(size**2)
    seen = misfit.lever().ravel() > 0
    error = gradient.ravel() - matrix.T @ (model - right)
    assert (np.abs(error) <= tolerance * (matrix.T @ size))[seen].all()
    bend = misfit.curvature(x).ravel()
    np.testing.assert_allclose(bend[seen], (matrix.T @ model)[seen], rtol=tolerance)
    np.testing.assert_allclose(misfit.lever().ravel()[seen], matrix.sum(axis=0)[seen],
                               rtol=tolerance)  # fmt: skip


@given(case=cases())
@checked
def test_gram_and_curvature_are_one_matrix(kind, case):
    misfit, (C, P) = case.misfit(kind), case.lit.shape
    every = Members.where(np.ones((C, P), bool))
    x = np.random.default_rng(case.seed).random((C, P))
    product = (misfit.gram(every, every, 1e6) @ x.ravel()).reshape(C, P)
    np.testing.assert_allclose(product, misfit.curvature(x), rtol=100 * kind.rounding)


@given(data=st.data(), seed=seeds)
@checked
def test_scaling_to_the_data_is_the_least_squares_factor(kind, problems, data, seed):
    problem = data.draw(problems)
    operator, rng = kind.of(problem), np.random.default_rng(seed)
    observed = random_observed(problem, rng)
    x = rng.random(operator.shape[1:3])
    scaled = misfit_of(operator, observed).scaled_to_data(x)
    best = observed.chi2(operator.matvec(scaled))
    for factor in (0.0, 0.9, 1.1):
        assert best <= observed.chi2(factor * operator.matvec(scaled)) * (1 + 1e-9)


def test_data_that_no_light_explains_scale_to_nothing(kind, small_problem):
    problem = small_problem(1)
    misfit = misfit_of(kind.of(problem), Observed.of(-np.ones((3, 7))))
    assert not misfit.scaled_to_data(np.ones((3, 2))).any()
    problem.losvd[:] = 0.0
    misfit = misfit_of(kind.of(problem), Observed.of(np.ones((3, 7))))
    assert not misfit.scaled_to_data(np.ones((3, 2))).any()


@pytest.mark.parametrize("cuts", [(), (1,), (1, 2)])
def test_shares_that_leave_no_voxel_are_refused_together(kind, cuts):
    case = make_case(1)
    case.used[:] = False
    with pytest.raises(InputError, match=r"leave no voxel.*invert"):
        Misfit(case.shares(kind, cuts))
    case.used[2, 0] = True
    assert Misfit(case.shares(kind, cuts)).n_voxels == 1
