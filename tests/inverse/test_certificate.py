import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.inverse.cases import cases, make_case, misfit_of
from tests.inverse.problems import FLOAT64

from cubefit.errors import InputError
from cubefit.inverse.certificate import Certificate, Gap, Lowest
from cubefit.inverse.observed import Observed

checked = settings(deadline=None, max_examples=40)
any_case = cases(ratio=(0.0, 1.0), smooth=(0.0, 0.1, 10.0))


@given(case=any_case, scale=st.sampled_from([0.0, 0.1, 1.0, 100.0]))
@checked
def test_the_gap_bounds_the_distance_to_the_minimum_from_any_point(kind, case, scale):
    x = scale * case.total * np.random.default_rng(case.seed).random(case.lit.shape)
    objective = case.objective(kind)
    certificate = Certificate(objective.misfit)
    here = objective.at(np.where(certificate.seen, x, 0.0))
    gap = certificate.gap(here)
    rounding = case.rounding(kind) + 1e-6 * here.value * (kind.dtype is np.float32)
    assert 0.0 <= gap.absolute <= here.value * (1 + 1e-12)
    assert here.value - case.least(kind) <= gap.absolute + rounding
    assert gap.slope >= 0


@given(case=any_case)
@checked
def test_lever_light_and_slopes_written_out(kind, case):
    operator = kind.of(case.problem)
    certificate = Certificate(case.misfit(kind))
    weight = case.observed.inverse_noise
    np.testing.assert_array_equal(certificate.lever, operator.rmatvec(weight))
    np.testing.assert_array_equal(certificate.seen, certificate.lever > 0)
    x = np.random.default_rng(case.seed).random(case.lit.shape)
    assert certificate.light(x) == pytest.approx(
        np.vdot(weight, operator.matvec(x)), rel=1e-5, abs=1e-300
    )
    assert certificate.light_of_data == pytest.approx(np.vdot(weight, case.observed.data))
    assert certificate.n_voxels == case.used.sum()
    gradient = np.random.default_rng(case.seed).normal(size=case.lit.shape)
    slopes = certificate.slopes(gradient)
    assert not slopes[~certificate.seen].any()
    seen = certificate.seen
    np.testing.assert_allclose(slopes[seen] * certificate.lever[seen], -gradient[seen], rtol=1e-12)


def test_the_gap_is_the_difference_of_primal_and_dual_value(kind):
    case = make_case(3)
    operator, certificate = kind.of(case.problem), Certificate(case.misfit(kind))
    here = case.objective(kind).at(np.full(case.lit.shape, 0.7))
    gap = certificate.gap(here)
    data, weight = case.observed.data, case.observed.inverse_noise
    residual, _ = operator.misfit(here.x, data, weight)
    theta = residual + gap.slope * case.used
    dual = -0.5 * np.vdot(theta, theta) - np.vdot(theta, data * weight)
    feasible = operator.rmatvec(theta * weight)
    assert feasible.min() >= -1e-5 * np.abs(feasible).max()
    assert gap.absolute == pytest.approx(min(here.value - dual, here.value), rel=1e-5)
    assert gap.relative == gap.absolute / here.value


def test_the_gap_vanishes_at_the_optimum_and_nowhere_near_it():
    case = make_case(4)
    exact = case.exact(FLOAT64)
    *_, last = exact.solve(np.zeros(case.lit.shape), 1e-12)
    assert last.gap.relative < 1e-12
    moved = exact.objective.at(last.x * 1.001)
    assert exact.certificate.gap(moved).relative > 1e-9


def test_templates_below_zero_are_refused(kind):
    case = make_case(1)
    case.problem.shifted[:, 1] *= -1.0
    with pytest.raises(InputError, match="population 1 on component 0 sums to a negative number"):
        Certificate(case.misfit(kind))


@pytest.mark.parametrize(("value", "slack"), [(1.0, 0.25), (1e-20, 1e-21), (1.0, 7.0), (1.0, -1.0)])
def test_bound_is_between_nothing_and_the_value(small_problem, kind, value, slack):
    certificate = Certificate(misfit_of(kind.of(small_problem(1)), Observed.of(np.ones((3, 7)))))
    gap = certificate.bound(value=value, slack=slack, slope=0.0, light=0.0)
    assert gap.absolute == min(max(slack, 0.0), value)
    # Of what rounding leaves of the data, a share says nothing.
    assert gap.relative == pytest.approx(gap.absolute / (value if value > 1e-10 else 10.5))


@pytest.mark.parametrize("value", [0.0, -1e-30])
def test_a_value_of_zero_or_below_it_by_rounding_has_no_gap(small_problem, kind, value):
    certificate = Certificate(misfit_of(kind.of(small_problem(1)), Observed.of(np.zeros((3, 7)))))
    assert certificate.bound(value=value, slack=1e-30, slope=0.0, light=0.0) == Gap(0.0, 0.0, 0.0)


def test_lowest_tells_falling_from_rounding():
    lowest = Lowest()
    assert lowest.falls(2.0, Gap(1.0, 0.5, 0.0))
    assert not lowest.falls(2.0, Gap(1.0, 0.5, 0.0))
    assert not lowest.falls(2.0 - 1e-15, Gap(0.95, 0.5, 0.0))
    assert lowest.falls(1.9, Gap(1.0, 0.5, 0.0))
    assert not lowest.falls(1.95, Gap(0.9, 0.5, 0.0))
    assert lowest.falls(1.95, Gap(0.5, 0.5, 0.0))
