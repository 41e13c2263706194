"""Spaxels in any number of shares are one cube: every answer of every fit is the same."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.inverse.cases import EXACT, TOLERANCE, ManyShares, cases, cuts_of, make_case
from tests.inverse.problems import FLOAT64, TINY_FLOAT32, random_problem

from cubefit.inverse.compressed import CompressedModel
from cubefit.inverse.operators import Members
from cubefit.inverse.seeds import jacobi_seed
from cubefit.inverse.separable import SeparableWeights
from cubefit.inverse.shares import OneShare

checked = settings(deadline=None, max_examples=40)


@pytest.fixture(scope="module", params=EXACT, ids=lambda s: s.name.replace(" ", "-"))
def exact(request):
    """Both methods of the exact solver in turn."""
    return request.param


def every(case):
    """Return all columns."""
    return Members.where(np.ones(case.lit.shape, bool))


def random_weights(case):
    """Return weights (C, P) that are not negative."""
    return case.total * np.random.default_rng(case.seed).random(case.lit.shape)


def test_one_share_asks_what_it_holds():
    share = OneShare(3.0)
    assert share.held == 3.0
    assert share.are_here
    assert share.total(lambda held, more: (held, held + more), 2.0) == (3.0, 5.0)
    assert share.any_of(lambda held, more: held * more, 2.0) == 6.0
    assert share.each(lambda held, more: held - more, 1.0).held == 2.0


def test_many_shares_add_what_they_hold():
    """The laws below rest on them."""
    shares = ManyShares([np.array([1.0, 2.0]), np.array([10.0, 20.0])])
    once, number = shares.total(lambda held, factor: (factor * held, 1), 2.0)
    np.testing.assert_array_equal(once, [22.0, 44.0])
    assert number == 2
    np.testing.assert_array_equal(shares.held[0], [1.0, 2.0])
    assert shares.any_of(np.sum) == 3.0
    assert shares.each(np.sum).held == [3.0, 30.0]


@given(case=cases(), data=st.data())
@checked
def test_they_know_the_same_of_the_data(kind, case, data):
    one, many = case.misfit(kind), case.misfit(kind, data.draw(cuts_of(case)))
    assert many.shape == one.shape
    assert many.sizes() == one.sizes()
    assert many.n_voxels == one.n_voxels
    assert many.has_noise is one.has_noise
    weighted = np.abs(case.observed.data * case.observed.inverse_noise).sum()
    assert many.light_of_data == pytest.approx(one.light_of_data, rel=0, abs=1e-13 * weighted)
    assert many.chi2_of_zero == pytest.approx(one.chi2_of_zero, rel=1e-13)
    assert many.square_of_data == pytest.approx(one.square_of_data, rel=1e-13)


@given(case=cases(), data=st.data())
@checked
def test_chi2_and_gradient_are_the_same(kind, case, data):
    x = random_weights(case)
    one, many = case.misfit(kind), case.misfit(kind, data.draw(cuts_of(case)))
    (chi2, gradient), (chi2_of_many, gradient_of_many) = one.at(x), many.at(x)
    operator, weight = kind.of(case.problem), case.observed.inverse_noise
    size = (operator.matvec(x) + np.abs(case.observed.data)) * weight
    tolerance = 10 * kind.rounding
    assert abs(chi2_of_many - chi2) <= tolerance * np.vdot(size, size)
    bound = tolerance * operator.rmatvec(size * weight)
    assert (np.abs(gradient_of_many - gradient) <= bound).all()


@given(case=cases(), data=st.data())
@checked
def test_lever_curvature_and_gram_are_the_same(kind, case, data):
    """Sums of what is not negative: each keeps its digits."""
    one, many = case.misfit(kind), case.misfit(kind, data.draw(cuts_of(case)))
    tolerance, x = 10 * kind.rounding, random_weights(case)
    np.testing.assert_allclose(many.lever(), one.lever(), rtol=tolerance)
    np.testing.assert_array_equal(many.lever() > 0, one.lever() > 0)
    np.testing.assert_allclose(many.curvature(x), one.curvature(x), rtol=tolerance)
    members = every(case)
    first = Members(members.components[:2], members.populations[:2])
    for n_bytes in (1.0, 1e9):
        found, expected = (m.gram(first, members, n_bytes) for m in (many, one))
        np.testing.assert_allclose(found, expected, rtol=tolerance)


@given(case=cases(), data=st.data())
@checked
def test_scaling_to_the_data_is_the_same(kind, case, data):
    x = random_weights(case)
    one, many = case.misfit(kind), case.misfit(kind, data.draw(cuts_of(case)))
    model = kind.of(case.problem).matvec(x) * case.observed.inverse_noise
    size = np.abs(case.observed.data * case.observed.inverse_noise)
    energy = np.vdot(model, model)
    # The overlap may cancel; its terms do not.
    bound = 10 * kind.rounding * (np.vdot(model, size) / energy if energy else 0.0)
    error = np.abs(many.scaled_to_data(x) - one.scaled_to_data(x))
    assert (error <= 2 * bound * x).all()


@given(case=cases(), data=st.data())
@checked
def test_separable_weights_are_the_same(kind, case, data):
    one, many = (
        SeparableWeights.of(case.shares(kind, cuts)) for cuts in ((), data.draw(cuts_of(case)))
    )
    np.testing.assert_allclose(many.by_pixel, one.by_pixel, rtol=1e-12)
    weights = case.observed.inverse_noise
    np.testing.assert_allclose(many.by_spaxel(weights), one.by_spaxel(weights), rtol=1e-12)


@given(case=cases(), data=st.data())
@checked
def test_the_compressed_model_is_the_same(kind, case, data):
    """As a whole: directions of equal strength may turn into each other."""
    cuts, members = data.draw(cuts_of(case)), every(case)
    one, many = (
        CompressedModel.of(case.shares(kind, c), template_tolerance=0.0) for c in ((), cuts)
    )
    found, expected = (model.gram(members, members) for model in (many, one))
    top = np.abs(expected).max(initial=0.0)
    tolerance = 1e-6 if kind.dtype is np.float32 else 1e-9
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * top)
    few, same = (CompressedModel.of(case.shares(kind, c), most=2) for c in (cuts, ()))
    assert few.n_compressed == same.n_compressed <= 2
    np.testing.assert_allclose(few.strength, same.strength, rtol=1e-6, atol=1e-6)


@given(case=cases(), data=st.data(), n_spaxels=st.integers(1, 5), n_pixels=st.integers(1, 9))
@checked
def test_the_seed_is_the_same(kind, case, data, n_spaxels, n_pixels):
    """Which rows it samples depends on no share; sums may round otherwise."""
    cuts, options = data.draw(cuts_of(case)), {"n_spaxels": n_spaxels, "n_pixels": n_pixels}
    one, many = (jacobi_seed(case.misfit(kind, c), seed=case.seed, **options) for c in ((), cuts))
    top = np.abs(one).max(initial=0.0)
    np.testing.assert_allclose(many, one, rtol=0, atol=1000 * kind.rounding * top)


def best_of(case, cuts, kind):
    """Return the state that a fit ends with."""
    states = []
    for state in case.exact(kind, cuts).solve(np.zeros(case.lit.shape), TOLERANCE):
        states.append(state)
        assert state.round < 120, "rounds without end"
    return min(states, key=lambda s: (not s.converged, s.value))


@given(data=st.data())
@checked
def test_the_whole_fit_is_the_same(exact, kind, data):
    """Both are the minimum, to within what each says of itself."""
    case = data.draw(exact.cases())
    cuts = data.draw(cuts_of(case))
    one, many = best_of(case, (), kind), best_of(case, cuts, kind)
    gap = max(one.gap.absolute, many.gap.absolute)
    assert abs(many.value - one.value) <= gap + case.rounding(kind)
    assert many.value == pytest.approx(one.value, rel=1e-8, abs=case.rounding(kind))
    assert many.chi2 >= 0
    seen = case.exact(kind).certificate.seen
    assert not many.x[~seen].any()


@given(seed=st.integers(0, 2**32 - 1), spaxel=st.integers(0, 2))
@checked
def test_a_share_of_subnormal_tails_has_no_columns_of_its_own(exact, seed, spaxel):
    """Against its own brightest value they would be light, and hold weights of any size."""
    problem = random_problem(seed, dark=0.4, losvd_unit=1e-6, template_unit=1e-20)
    problem.losvd[spaxel] = np.where(problem.losvd[spaxel] > 0, TINY_FLOAT32, 0.0)
    case = make_case(seed, problem, smooth=exact.smooth[-1])
    seen = [case.exact(FLOAT64, cuts).certificate.seen for cuts in ((), (1, 2))]
    np.testing.assert_array_equal(*seen)
    one, many = (best_of(case, cuts, FLOAT64) for cuts in ((), (1, 2)))
    assert many.value == pytest.approx(one.value, rel=1e-8, abs=case.rounding(FLOAT64))


def test_a_fit_of_many_shares_takes_as_many_rounds(exact):
    case = make_case(
        12, random_problem(12, (12, 6, 10, 9, 20)), ratio=1.0, smooth=exact.smooth[-1] and 0.3
    )
    rounds = [best_of(case, cuts, FLOAT64).round for cuts in ((), (5,), tuple(range(1, 12)))]
    assert max(rounds) - min(rounds) <= 2
