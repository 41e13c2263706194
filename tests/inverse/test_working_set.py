import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.inverse.cases import cases, make_case
from tests.inverse.problems import FLOAT64, random_problem

from cubefit.inverse import working_set
from cubefit.inverse.certificate import Certificate
from cubefit.inverse.compressed import CompressedModel
from cubefit.inverse.operators import Members
from cubefit.inverse.working_set import beginning, propose, rounds, solve_members, steepest

seeds = st.integers(0, 2**32 - 1)
checked = settings(deadline=None, max_examples=40)


@given(
    seed=seeds,
    C=st.integers(1, 5),
    P=st.integers(1, 6),
    count=st.integers(1, 8),
    threshold=st.sampled_from([0.0, 0.5, 10.0]),
)
@checked
def test_steepest_are_the_largest_slopes_of_each_component(seed, C, P, count, threshold):
    slopes = np.random.default_rng(seed).normal(size=(C, P))
    chosen = steepest(slopes, count, threshold)
    for row, picked in zip(slopes, chosen, strict=True):
        expected = [p for p in np.argsort(-row)[:count] if row[p] > threshold]
        np.testing.assert_array_equal(np.flatnonzero(picked), sorted(expected))


def test_a_slope_at_the_threshold_is_none():
    assert not steepest(np.zeros((2, 3)), 2, 0.0).any()
    np.testing.assert_array_equal(steepest(np.array([[1.0, 2.0, 3.0]]), 1, 2.0), [[0, 0, 1]])


@given(case=cases(ratio=(0.0, 1.0)), data=st.data())
@checked
def test_solve_members_finds_the_minimum_over_the_chosen(case, data):
    rng = np.random.default_rng(case.seed)
    objective = case.objective(FLOAT64)
    seen = Certificate(objective.misfit).seen
    chosen = seen & (rng.random(seen.shape) < 0.7)
    start = np.where(chosen, case.total * rng.random(seen.shape), 0.0)
    matrix, _ = case.rows(FLOAT64)
    part = matrix[:, chosen.ravel()]
    here = objective.at(start)
    x = solve_members(part.T @ part, here.gradient, start, chosen, start)
    assert (x >= 0).all()
    assert not x[~chosen].any()
    found = objective.at(x)
    again = objective.at(solve_members(part.T @ part, found.gradient, x, chosen, x))
    rounding = case.rounding(FLOAT64) + 1e-12 * here.value
    assert found.value <= here.value * (1 + 1e-12) + rounding
    assert found.value <= again.value * (1 + 1e-8) + rounding


def follow(case, model=None, start=None, count=2):
    """Return the points of a fit until it ends by itself."""
    fit = case.exact(FLOAT64)
    points = []
    for here in rounds(
        fit.objective,
        fit.certificate,
        fit.model if model is None else model,
        np.zeros(case.lit.shape) if start is None else start,
        gap_tolerance=1e-9,
        count=count,
        n_bytes=1e6,
    ):
        points.append(here)
        assert len(points) < 100, "rounds without end"
    return points, fit.certificate


@pytest.mark.parametrize("count", [1, 2, 50])
@pytest.mark.parametrize("most", [1, 2, None])
def test_the_optimum_is_found_whatever_the_compressed_model_is_worth(most, count):
    case = make_case(3, random_problem(3, (6, 5, 5, 8, 20)), noise="general", ratio=1.0)
    model = CompressedModel.of(case.shares(FLOAT64), most=most)
    points, certificate = follow(case, model, count=count)
    assert points[-1].value == pytest.approx(case.least(FLOAT64), rel=1e-9)
    assert certificate.gap(points[-1]).relative < 1e-8


@pytest.mark.parametrize("seed", [3, 10, 17, 29, 250])
def test_masks_over_single_voxels_do_not_make_it_creep(seed):
    """They do not separate: steps of the compressed model alone gain a little for ever."""
    problem = random_problem(seed, (4, 4, 3, 5, 6))
    case = make_case(seed, problem, data="exact", noise="none", share_used=0.6)
    points, _ = follow(case)
    assert points[-1].value <= 1e-12 * case.value_of_zero
    assert len(points) < 30


@given(case=cases(ratio=(0.0, 0.1, 10.0)))
@checked
def test_points_never_get_worse_by_more_than_rounding(case):
    points, _ = follow(case)
    for before, after in itertools.pairwise(points):
        assert after.value <= before.value * (1 + 2e-12) + 1e-30 * case.value_of_zero


@given(case=cases(ratio=(0.0, 1.0)))
@checked
def test_a_proposal_is_not_negative_and_leaves_dark_columns_alone(case):
    fit = case.exact(FLOAT64)
    here = fit.objective.at(np.zeros(case.lit.shape))
    guess = propose(fit.model, case.priors, fit.certificate, here, count=2, threshold=0.0)
    assert np.isfinite(guess).all()
    assert (guess >= 0).all()
    assert not guess[~fit.certificate.seen].any()


def test_with_the_whole_model_the_proposal_is_the_answer():
    """Separable weights and full rank: the compressed quadratic is the true one."""
    case = make_case(2, random_problem(2, (5, 3, 3, 4, 20)), noise="separable")
    objective = case.objective(FLOAT64)
    certificate = Certificate(objective.misfit)
    model = CompressedModel.of(objective.misfit.shares, template_tolerance=0.0)
    here = objective.at(np.zeros(case.lit.shape))
    guess = propose(model, case.priors, certificate, here, count=2, threshold=0.0)
    assert objective.at(guess).value == pytest.approx(case.least(FLOAT64), rel=1e-8)


def test_members_are_in_c_order():
    chosen = np.array([[0, 1, 0], [1, 0, 1]], bool)
    members = Members.where(chosen)
    assert members.size == 3
    np.testing.assert_array_equal(members.components, [0, 1, 1])
    np.testing.assert_array_equal(members.populations, [1, 0, 2])


@pytest.mark.parametrize("most", [2, 1500])
def test_a_start_of_many_weights_is_thinned_out(monkeypatch, most):
    monkeypatch.setattr(working_set, "MOST_MEMBERS", most)
    case = make_case(5, random_problem(5, (6, 4, 3, 8, 12)))
    objective = case.objective(FLOAT64)
    start = case.total * np.random.default_rng(5).random(case.lit.shape)
    here = beginning(objective, start)
    zero = objective.at(np.zeros(start.shape))
    if most == 1500:
        np.testing.assert_array_equal(here.x, start)
        return
    assert (np.count_nonzero(here.x, axis=1) <= working_set.KEPT).all()
    assert here.value < zero.value
    # Where the weights below zero are wanted, nothing is the better start.
    dark = make_case(5, case.problem, data="negative")
    assert not beginning(dark.objective(FLOAT64), start).x.any()
    points, _ = follow(case, start=start)
    assert points[-1].value == pytest.approx(case.least(FLOAT64), rel=1e-8)
