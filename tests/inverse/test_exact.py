"""Properties of every solver with every operator; `cases` and `problems` hold the registries."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.inverse.cases import (
    DATA,
    DEGENERACIES,
    EXACT,
    SOLVERS,
    TOLERANCE,
    cases,
    make_case,
)
from tests.inverse.problems import FLOAT64, KINDS, Problem, random_problem

checked = settings(deadline=None, max_examples=20)
MOST_ROUNDS = 120


@pytest.fixture(scope="module", params=SOLVERS, ids=lambda s: s.name.replace(" ", "-"))
def solver(request):
    """Every solver in turn."""
    return request.param


@pytest.fixture(scope="module", params=EXACT, ids=lambda s: s.name.replace(" ", "-"))
def exact(request):
    """Both methods of the exact solver in turn."""
    return request.param


def zeros(case):
    """Return x = 0."""
    return np.zeros(case.lit.shape)


def finished(case, kind, start=None, **options):
    """Return the states of a fit."""
    states = []
    for state in case.exact(kind, **options).solve(
        zeros(case) if start is None else start, TOLERANCE
    ):
        states.append(state)
        assert state.round < MOST_ROUNDS, "rounds without end"
    return states


def best_of(states):
    """Return the state that a fit ends with."""
    return min(states, key=lambda s: (not s.converged, s.value))


def check_against_dense(case, kind):
    """Assert that every state is honest about its gap, and the best one the minimum."""
    least, rounding = case.least(kind), case.rounding(kind)
    states = finished(case, kind)
    for state in states:
        assert state.value - least <= state.gap.absolute + rounding
    assert abs(best_of(states).value - least) <= 1e-8 * least + rounding


@given(data=st.data())
@checked
def test_x_is_finite_and_never_negative(solver, kind, data):
    case = data.draw(solver.cases())
    start = np.random.default_rng(case.seed).normal(size=case.lit.shape)
    for x in solver.iterates(case, kind, np.maximum(start, 0.0)):
        assert x.shape == case.lit.shape
        assert np.isfinite(x).all()
        assert (x >= 0).all()


@given(data=st.data(), junk=st.sampled_from([np.nan, -np.inf, 1e300]))
@checked
def test_masked_voxels_may_hold_anything(solver, kind, data, junk):
    case = data.draw(solver.cases())
    noise = None if case.noise is None else np.where(case.used, case.noise, junk)
    dirty = replace(case, data=np.where(case.used, case.data, junk), noise=noise)
    pairs = zip(*(solver.iterates(c, kind, zeros(c)) for c in (case, dirty)), strict=True)
    for clean, same in pairs:
        np.testing.assert_array_equal(clean, same)


@given(data=st.data())
@checked
def test_columns_without_light_stay_zero(solver, kind, data):
    case = data.draw(solver.cases())
    dark = np.abs(case.rows(kind)[0]).max(axis=0).reshape(case.lit.shape) == 0
    for x in solver.iterates(case, kind, zeros(case)):
        assert not x[dark].any()


@given(data=st.data(), factor=st.sampled_from([2.0**-30, 2.0**20]))
@checked
def test_brighter_data_give_a_brighter_model(solver, kind, data, factor):
    """Noise grows with the data. The models of two near-optima differ by their gaps at most."""
    case = data.draw(solver.cases())
    brighter, operator = case.brighter(factor), kind.of(case.problem)
    *_, x = (x.copy() for x in solver.iterates(case, kind, zeros(case)))
    *_, scaled = (x.copy() for x in solver.iterates(brighter, kind, zeros(case)))
    difference = operator.matvec(scaled / factor - x) * case.observed.inverse_noise
    far = 0.0
    if solver in EXACT:
        fit = case.exact(kind)
        points = (fit.objective.at(v) for v in (x, scaled / factor))
        far = sum(fit.certificate.gap(here).absolute for here in points)
    assert np.vdot(difference, difference) <= 4 * far + case.rounding(kind)


@given(data=st.data(), factor=st.sampled_from([1e-3, 700.0]))
@checked
def test_noise_need_not_grow_with_the_data_where_there_are_no_priors(kind, data, factor):
    case = data.draw(cases())
    one = best_of(finished(case, kind))
    other = best_of(finished(case.brighter(factor, noise_too=False), kind))
    assert other.value / factor**2 == pytest.approx(one.value, rel=1e-8, abs=case.rounding(kind))


@given(data=st.data())
@checked
def test_against_dense_least_squares(exact, kind, data):
    check_against_dense(data.draw(exact.cases()), kind)


@pytest.mark.parametrize("degeneracy", DEGENERACIES)
@pytest.mark.parametrize(
    "sizes", [(3, 4, 1, 3, 7), (1, 3, 4, 4, 5), (4, 3, 3, 1, 6), (3, 1, 2, 3, 1)]
)
@pytest.mark.parametrize("cube", DATA)
def test_axes_of_length_one(exact, sizes, degeneracy, cube):
    """C = 1, S = 1, P = 1, and one velocity bin and pixel, each with dependent columns."""
    case = make_case(
        5, random_problem(5, sizes), degeneracy=degeneracy, data=cube, smooth=exact.smooth[-1]
    )
    check_against_dense(case, FLOAT64)


@given(seed=st.integers(0, 2**32 - 1))
@checked
def test_subnormal_tails_are_no_columns(exact, seed):
    """They hold weights of any size; the operator and the certificate leave them out alike."""
    problem = random_problem(seed, dark=0.4, losvd_unit=1e-6, template_unit=1e-20)
    check_against_dense(make_case(seed, problem, smooth=exact.smooth[-1]), FLOAT64)


@given(data=st.data())
@checked
def test_no_start_leads_to_a_better_answer(exact, data):
    case = data.draw(exact.cases())
    start = 2.0 * case.total * np.random.default_rng(case.seed).random(case.lit.shape)
    usual, other = (best_of(finished(case, FLOAT64, s)) for s in (zeros(case), start))
    assert usual.value <= other.value * (1 + 1e-8) + case.rounding(FLOAT64)
    assert other.value <= usual.value * (1 + 1e-8) + case.rounding(FLOAT64)


@given(data=st.data())
@checked
def test_the_answer_is_known_as_the_answer(exact, kind, data):
    case = data.draw(exact.cases())
    last = finished(case, kind)[-1]
    again = finished(case, kind, last.x)
    np.testing.assert_array_equal(again[0].x, last.x)
    if last.converged:
        assert len(again) == 1


@given(data=st.data())
@checked
def test_negative_starts_count_as_zero_and_nothing_given_is_changed(exact, data):
    case = data.draw(exact.cases())
    start = np.random.default_rng(case.seed).normal(size=case.lit.shape)
    kept = start.copy()
    first = next(case.exact(FLOAT64).solve(start, TOLERANCE))
    np.testing.assert_array_equal(start, kept)
    np.testing.assert_array_equal(
        first.x, np.where(case.exact(FLOAT64).certificate.seen, np.maximum(start, 0.0), 0.0)
    )


@given(data=st.data())
@checked
def test_a_masked_spaxel_is_no_spaxel(exact, data):
    case = data.draw(exact.cases())
    kept = case.observed.inverse_noise.any(axis=1)
    smaller = replace(
        case,
        problem=replace(case.problem, losvd=case.problem.losvd[kept]),
        data=case.data[kept],
        noise=None if case.noise is None else case.noise[kept],
        used=case.used[kept],
    )
    one, other = (best_of(finished(c, FLOAT64)) for c in (case, smaller))
    assert one.value == pytest.approx(other.value, rel=1e-8, abs=case.rounding(FLOAT64))


@given(data=st.data())
@checked
def test_the_size_of_batches_does_not_matter(kind, data):
    case = data.draw(cases(ratio=(0.0, 1.0)))
    one, other = (best_of(finished(case, kind, batch_bytes=b)) for b in (1.0, 1e9))
    assert one.value == pytest.approx(other.value, rel=1e-8, abs=case.rounding(kind))


@given(data=st.data())
@checked
def test_float32_stays_near_float64(exact, data):
    """Judged by the objective of float64."""
    case = data.draw(exact.cases())
    fit, least = case.exact(FLOAT64), best_of(finished(case, FLOAT64)).value
    for kind in KINDS[:-1]:
        x = best_of(finished(case, kind)).x
        value = fit.objective.at(np.where(fit.certificate.seen, x, 0.0))
        assert least * (1 - 1e-8) - case.rounding(FLOAT64) <= value.value
        assert value.value <= least + case.rounding(kind)


@pytest.mark.parametrize("noise", ["none", "separable", "general"])
def test_working_sets_end_soon_and_interior_points_too(noise):
    problem = random_problem(12, (12, 6, 10, 9, 20))
    case = make_case(12, problem, noise=noise, ratio=1.0)
    assert len(finished(case, FLOAT64)) < 12
    assert len(finished(replace(case, smooth=0.3), FLOAT64)) < 25


def test_data_without_light_are_fitted_by_nothing(exact, kind):
    case = make_case(3, data="negative", smooth=exact.smooth[-1])
    states = finished(case, kind)
    assert len(states) == 1
    assert not states[0].x.any()
    assert states[0].converged
    assert states[0].n_nonzero == 0


def test_a_model_without_light_is_fitted_by_nothing(exact, kind):
    problem = random_problem(4)
    problem.losvd[:] = 0.0
    case = make_case(4, problem, data="unlike", ratio=1.0, smooth=exact.smooth[-1])
    states = finished(case, kind)
    assert len(states) == 1
    assert states[0].gap.absolute == 0.0
    assert states[0].value == pytest.approx(case.value_of_zero)


def test_ratio_rows_alone_decide_between_components_that_look_alike(exact):
    """Data leave the ratio free, priors set it."""
    problem = random_problem(6, (4, 3, 2, 3, 9))
    problem.losvd[:, :, 1] = problem.losvd[:, :, 0]
    case = make_case(6, problem, data="exact", noise="none", ratio=1.0, smooth=exact.smooth[0])
    sums = best_of(finished(case, FLOAT64)).x.sum(axis=1)
    assert sums[0] / sums[1] == pytest.approx(case.weights[0] / case.weights[1], rel=1e-3)


def test_smoothness_smooths():
    roughness = []
    problem = random_problem(7, (5, 4, 3, 8, 12))
    for smooth in (0.01, 0.1, 1.0, 10.0):
        case = make_case(7, problem, smooth=smooth)
        x = best_of(finished(case, FLOAT64)).x / case.priors.unit[:, None]
        roughness.append(np.linalg.norm(np.diff(x, 2, axis=1)))
    assert (np.diff(roughness) < 0).all()


def test_data_of_zeros_end_whatever_the_start():
    losvd = np.zeros((3, 2, 3), np.float32)
    losvd[2, 1, 0] = 6.4e-7
    shifted = np.zeros((2, 4, 1), np.float32)
    shifted[:, 1:, 0] = [[0.45, 0.98, 0.63], [0.47, 0.28, 0.25]]
    case = replace(
        make_case(3, Problem(losvd=losvd, shifted=shifted), noise="none", smooth=0.01),
        data=np.zeros((3, 1)),
    )
    start = 2.0 * case.total * np.random.default_rng(case.seed).random(case.lit.shape)
    assert best_of(finished(case, FLOAT64, start)).value <= case.rounding(FLOAT64)
