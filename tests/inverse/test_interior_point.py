import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.inverse.cases import Case, make_case
from tests.inverse.problems import FLOAT64, Problem, random_problem

from cubefit.inverse.compressed import CompressedModel
from cubefit.inverse.interior_point import (
    LEAST,
    MOST,
    SPREAD,
    Preconditioner,
    Scaled,
    centred,
    conjugate_gradients,
    inside,
    longest_step,
    rounds,
    triangular,
)

seeds = st.integers(0, 2**32 - 1)
checked = settings(deadline=None, max_examples=25)


def newton(seed, *, ratio=1.0, smooth=0.5, sizes=(4, 3, 3, 4, 25), template_tolerance=0.0):
    """Return a problem in scaled units, its preconditioner and a diagonal."""
    case = make_case(seed, random_problem(seed, sizes), noise="separable", ratio=ratio,
                     smooth=smooth)  # fmt: skip
    objective, unit = case.objective(FLOAT64), case.priors.unit[:, None]
    rng = np.random.default_rng(seed)
    seen = rng.random(case.lit.shape) < 0.8
    seen[0] = True
    shares = objective.misfit.shares
    model = CompressedModel.of(shares, template_tolerance=template_tolerance)
    problem = Scaled(objective, unit, seen)
    precondition = Preconditioner(model, case.priors, unit, seen)
    diagonal = np.where(seen, 10.0 ** rng.uniform(-3, 6, seen.shape), 1.0)
    precondition.factor(diagonal)
    return problem, precondition, diagonal, rng


@given(seed=seeds, ratio=st.sampled_from([0.0, 1.0]), smooth=st.sampled_from([0.0, 0.5]))
@checked
def test_the_preconditioner_is_the_inverse_where_nothing_is_truncated(seed, ratio, smooth):
    problem, precondition, diagonal, rng = newton(seed, ratio=ratio, smooth=smooth)
    step = np.where(problem.seen, rng.normal(size=problem.seen.shape), 0.0)
    right = problem.curvature(step) + diagonal * step
    np.testing.assert_allclose(precondition(right), step, atol=1e-6 * np.abs(step).max())


@given(seed=seeds, sizes=st.sampled_from([(2, 2, 1, 3, 5), (3, 2, 4, 1, 6), (2, 3, 2, 7, 4)]))
@checked
def test_it_is_symmetric_and_positive_and_leaves_fixed_weights_alone(seed, sizes):
    problem, precondition, _, rng = newton(seed, sizes=sizes, template_tolerance=0.1)
    one, other = rng.normal(size=(2, *problem.seen.shape))
    assert np.vdot(one, precondition(other)) == pytest.approx(
        np.vdot(other, precondition(one)), rel=1e-6, abs=1e-9
    )
    seen = np.where(problem.seen, one, 0.0)
    assert np.vdot(seen, precondition(seen)) > 0
    assert not precondition(one)[~problem.seen].any()


@given(seed=seeds)
@checked
def test_conjugate_gradients_mend_a_rough_preconditioner(seed):
    problem, precondition, diagonal, rng = newton(seed, template_tolerance=0.2)
    step = np.where(problem.seen, rng.normal(size=problem.seen.shape), 0.0)
    right = problem.curvature(step) + diagonal * step
    weight = rng.random(step.shape)
    allowed = 1e-6 * np.abs(weight * right).max()
    found = conjugate_gradients(problem, precondition, right, diagonal, weight, allowed)
    left = right - problem.curvature(found) - diagonal * found
    assert np.abs(weight * left).max() <= 2 * allowed
    assert not found[~problem.seen].any()


def test_no_right_side_is_no_step():
    problem, precondition, diagonal, _ = newton(1)
    nothing = np.zeros(problem.seen.shape)
    found = conjugate_gradients(problem, precondition, nothing, diagonal, nothing, 0.0)
    assert not found.any()


def test_longest_step_reaches_the_nearest_bound():
    value = np.array([1.0, 2.0, 3.0])
    assert longest_step(value, np.array([-2.0, -1.0, 5.0])) == 0.5
    assert longest_step(value, np.array([-0.5, -1.0, -1.0])) == 1.0
    assert longest_step(value, np.zeros(3)) == 1.0
    assert longest_step(np.array([0.0, 1.0]), np.array([0.0, 1.0])) == 1.0
    assert longest_step(np.array([0.0, 1.0]), np.array([-1.0, 1.0])) == 0.0


@given(seed=seeds)
@checked
def test_a_longest_step_leaves_nothing_negative(seed):
    value, change = np.random.default_rng(seed).random((2, 3, 4)) * [[[1.0]], [[-5.0]]]
    left = value + longest_step(value, change) * change
    assert left.min() >= -1e-15
    assert left.min() <= 1e-15 or longest_step(value, change) == 1.0


def test_inside_is_away_from_the_bounds():
    q = inside(np.array([[0.0, 4.0, 1e-3, 1e9]]))
    np.testing.assert_array_equal(q, [[LEAST, 4.0, LEAST, MOST]])


@given(seed=seeds)
@checked
def test_centred_bounds_the_spread_of_the_products(seed):
    rng = np.random.default_rng(seed)
    q, slack = 10.0 ** rng.uniform(-8, 8, (2, 3, 4))
    seen = rng.random((3, 4)) < 0.8
    seen[0, 0] = True
    q, slack = np.where(seen, q, 1.0), np.where(seen, slack, 0.0)
    mean = np.vdot(q, slack) / seen.sum()
    products = (q * centred(slack, q, seen))[seen]
    assert products.max() <= SPREAD * mean * (1 + 1e-12)
    assert products.min() >= mean / SPREAD * (1 - 1e-12)
    assert not centred(slack, q, seen)[~seen].any()
    even = np.where(seen, 2.0 / q, 0.0)
    np.testing.assert_allclose(centred(even, q, seen), even, rtol=1e-12)


def test_triangular_solves_every_system():
    rng = np.random.default_rng(1)
    factors = np.tril(rng.uniform(1.0, 2.0, (3, 4, 4)))
    right = rng.normal(size=(3, 4, 2))
    np.testing.assert_allclose(factors @ triangular(factors, right), right)
    turned = factors.transpose(0, 2, 1) @ triangular(factors, right, trans=True)
    np.testing.assert_allclose(turned, right)
    assert triangular(np.empty((3, 0, 0)), np.empty((3, 0, 2))).shape == (3, 0, 2)


def follow(case, start=None, most=60):
    """Return the points of a fit until it ends itself, and its certificate."""
    fit = case.exact(FLOAT64)
    start = np.zeros(case.lit.shape) if start is None else start
    points = []
    for here in rounds(fit.objective, fit.certificate, fit.model, start):
        points.append(here)
        assert len(points) < most, "rounds without end"
    return points, fit.certificate


def test_the_first_point_is_the_start_and_all_others_are_inside():
    case = make_case(4, random_problem(4, (4, 3, 3, 5, 9)), smooth=0.1)
    start = np.random.default_rng(4).random(case.lit.shape)
    points, _ = follow(case, start)
    np.testing.assert_array_equal(points[0].x, start)
    assert all((here.x > 0).all() for here in points[1:])


@pytest.mark.parametrize("seed", range(8))
def test_it_ends_by_itself_at_the_optimum(seed):
    """Rounding keeps the gap above any tolerance: the rounds once went on for ever."""
    problem = random_problem(seed, (3, 4, 3, 4, 6))
    case = make_case(seed, problem, data="exact", ratio=10.0 * (seed % 2), smooth=1.0)
    points, certificate = follow(case)
    least = case.least(FLOAT64)
    assert min(here.value for here in points) <= least * (1 + 1e-9) + case.rounding(FLOAT64)
    assert min(certificate.gap(here).absolute for here in points) < 1e-9 * case.value_of_zero


def test_late_rounds_gain_more_than_an_order_of_magnitude_each():
    case = make_case(5, random_problem(5, (8, 4, 4, 6, 15)), smooth=0.1)
    points, certificate = follow(case)
    gaps = [certificate.gap(here).relative for here in points]
    assert min(gaps) < 1e-9
    assert sum(1e-9 < gap < 1e-2 for gap in gaps) <= 6


def test_stiff_priors_on_columns_that_have_none_of_the_light():
    """Dark columns were held by a stiffness that smoothness outgrew: gradients then diverged."""
    problem = random_problem(9, (2, 2, 1, 5, 4))
    problem.shifted[:, 0] = 0.0
    case = make_case(9, problem, data="exact", smooth=100.0)
    points, _ = follow(case)
    best = min(points, key=lambda here: here.value)
    assert best.value <= case.least(FLOAT64) + 1e-9 * case.value_of_zero
    assert not best.x[:, 0].any()


def test_a_start_far_from_the_centre():
    """One step once left products of weight and slack so uneven that no other step was long."""
    case = make_case(11, random_problem(11, (4, 4, 4, 3, 4)), smooth=0.1, ratio=0.1)
    start = np.zeros(case.lit.shape)
    start[0, 0] = 1e6 * case.total
    points, _ = follow(case, start)
    assert min(h.value for h in points) <= case.least(FLOAT64) * (1 + 1e-9)


@pytest.mark.parametrize("seed", [147, 449, 624, 828, 1047, 1126])
def test_uneven_products_of_weight_and_slack_are_mended(seed):
    """Mehrotra's steps alone got short or lost their way on these."""
    problem = random_problem(seed, (2, 2, 3, 3, 5), dark=0.3)
    ratio = 0.0 if seed % 2 else 0.1
    case = make_case(seed, problem, noise="separable", ratio=ratio, smooth=1.0)
    points, _ = follow(case)
    least = case.least(FLOAT64)
    assert min(h.value for h in points) <= least * (1 + 1e-8) + 1e-11 * case.value_of_zero


CIRCLES = {
    "losvd": np.array(
        [
            [[0, 0, 0], [0, 0, 0], [4.8822, 4.6683, 0]],
            [[0.58134, 2.1732, 0], [0, 0, 0], [1.2725, 7.2883, 0]],
        ]
    ),
    "shifted": np.array(
        [
            [
                [6.4363, 4.9093, 6.422, 7.154, 5.6092],
                [4.9963, 2.8748, 8.8853, 8.0902, 8.5013],
                [7.5935, 7.5071, 4.0133, 9.5751, 6.6779],
            ],
            [
                [5.7736, 5.0135, 2.23, 7.4442, 3.7435],
                [4.0775, 4.8668, 3.2892, 6.5925, 7.3686],
                [4.3517, 4.7879, 1.6659, 5.8521, 2.5626],
            ],
            [
                [6.6934, 6.2352, 5.2369, 7.0019, 3.4592],
                [3.2314, 6.8067, 5.8491, 4.3786, 5.9717],
                [9.1071, 2.0098, 3.2115, 9.3733, 2.8145],
            ],
        ]
    ),
    "data": np.array(
        [[25.91, 27.149, 23.213, 29.108, 18.236], [38.263, 35.708, 35.146, 46.406, 25.057]]
    ),
    "noise": np.array(
        [[0.81171, 0.33777, 1.2904, 1.7436, 0.53233], [14.39, 5.9881, 22.878, 30.912, 9.4374]]
    ),
}
"""A problem on which Mehrotra's corrector goes in circles of six rounds."""


def test_steps_do_not_go_in_circles():
    case = Case(
        problem=Problem(CIRCLES["losvd"].astype(np.float32), CIRCLES["shifted"].astype(np.float32)),
        data=CIRCLES["data"],
        noise=CIRCLES["noise"],
        used=np.ones((2, 5), bool),
        ratio=0.0,
        smooth=1.0,
        seed=3,
    )
    points, certificate = follow(case)
    assert min(certificate.gap(here).relative for here in points) < 1e-9
