from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cubefit.config import SolverCfg
from cubefit.errors import ConfigError, InputError
from cubefit.inverse.kaczmarz import (
    KaczmarzState,
    draw_pixels,
    project_rows,
    smoother_of,
    spaxel_order,
    sweeps,
)
from cubefit.inverse.matrix_free import MatrixFreeOperator
from cubefit.inverse.observed import Observed
from cubefit.inverse.operators import DenseRows
from cubefit.inverse.priors import second_differences
from cubefit.inverse.ratio import RatioRows
from cubefit.io.orbits import bundled_orbits

seeds = st.integers(0, 2**32 - 1)
relaxations = st.floats(0.05, 1.9)
checked = settings(deadline=None, max_examples=50)

ZEROS = np.zeros((3, 2))
"""Where to start on `small_problem`'s usual sizes."""


def last(states):
    """Return the final state."""
    *_, state = states
    return state


def project_one_by_one(matrix, data, x, lr):
    """Project ``x`` (N,) onto each row of ``matrix`` (K, N) in turn: plain Kaczmarz."""
    for row, y in zip(matrix, data, strict=True):
        if row.any():
            x = x + lr * (y - row @ x) / (row @ row) * row
    return x


def plain_sweeps(models, observed, config, x):
    """Run `sweeps` row by row in float64; yield x after each spaxel."""
    S = models.shape[0]
    for epoch in range(config.epochs):
        for s in spaxel_order(S, config, epoch):
            rng = np.random.default_rng([config.seed, epoch, int(s)])
            pixels = draw_pixels(observed.used[s], config, rng)
            matrix = models[s].reshape(-1, models.shape[-1])[:, pixels].T
            flat = project_one_by_one(matrix, observed.data[s, pixels], x.ravel(), config.lr)
            x = flat.reshape(x.shape)
            if config.project_nonneg:
                x = np.maximum(x, 0.0)
            yield x


def some_used(rng, shape):
    """Return a voxel mask that leaves something."""
    used = rng.random(shape) < 0.8
    used[rng.integers(shape[0]), rng.integers(shape[1])] = True
    return used


@given(seed=seeds, n_rows=st.integers(1, 12), n_columns=st.integers(1, 8), lr=relaxations)
@settings(deadline=None)
def test_successive_projections_are_one_triangular_solve(seed, n_rows, n_columns, lr):
    rng = np.random.default_rng(seed)
    matrix = rng.random((n_rows, n_columns))
    matrix[rng.random(n_rows) < 0.2] = 0.0
    data, x = rng.normal(size=n_rows), rng.normal(size=n_columns)
    rows = DenseRows(matrix.T.copy(), 1)
    alpha = project_rows(rows, data - matrix @ x, lr)
    expected = project_one_by_one(matrix, data, x, lr)
    np.testing.assert_allclose(x + rows.backproject(alpha)[0], expected, atol=1e-9)
    assert not alpha[~matrix.any(axis=1)].any()


def test_one_full_projection_fulfils_its_row():
    rows = DenseRows(np.array([[1.0], [2.0]]), 1)
    x = rows.backproject(project_rows(rows, np.array([10.0]), 1.0))
    np.testing.assert_allclose(x, [[2.0, 4.0]])


@given(data=st.data(), seed=seeds, lr=relaxations, order=st.sampled_from(["random", "sequential"]))
@checked
def test_sweeps_equal_the_row_loop(kind, problems, data, seed, lr, order):
    """To a few millionths of x in float32: the Gram matrix's rounding, not lost convergence."""
    problem = data.draw(problems)
    problem.losvd[problem.losvd < 1e-30] = 0.0  # Not every operator sees these.
    S, C, P, L = problem.shape
    rng = np.random.default_rng(seed)
    y = rng.random((S, L)) * max(problem.models.max(), 1e-30)
    observed = Observed.of(y, voxel_mask=some_used(rng, (S, L)))
    config = SolverCfg(epochs=2, pixels_per_aperture=4, lr=lr, row_order=order, seed=seed)
    start, operator = rng.random((C, P)), kind.of(problem)
    expected = list(plain_sweeps(problem.models, observed, config, start))
    found = [state.x.copy() for state in sweeps(operator, observed, config, KaczmarzState(x=start))]
    tolerance = 1e-4 if kind.dtype is np.float32 else 1e-9
    np.testing.assert_allclose(found, expected, atol=tolerance * max(1.0, np.abs(expected).max()))


@pytest.mark.parametrize("lr", [0.25, 1.0, 1.9])
def test_float32_follows_float64_on_a_real_orbit_library(lr):
    """Neighbouring rows are all but parallel, and LOSVDs reach down to subnormal numbers."""
    losvd = bundled_orbits("small").losvd
    S, V, C = losvd.shape
    rng, P, L = np.random.default_rng(1), 12, 150
    smooth = np.convolve(rng.normal(size=400), np.exp(-0.5 * np.linspace(-3, 3, 13) ** 2), "same")
    spectra = 5.0 + smooth + 0.1 * np.sin(np.outer(np.arange(P), np.linspace(0, 6, 400)))
    shifted = np.array(
        [[np.interp(np.arange(L) + 100 - v, np.arange(400), t) for t in spectra] for v in range(V)]
    )
    single, double = (MatrixFreeOperator(losvd, shifted, dtype=d) for d in (np.float32, np.float64))
    truth = rng.random((C, P)) * (rng.random((C, P)) < 0.3)
    y = double.matvec(truth) * rng.normal(1.0, 0.01, (S, L))
    observed, config = Observed.of(y), SolverCfg(epochs=2, lr=lr)
    start = KaczmarzState(x=np.zeros((C, P)))
    x32, x64 = (last(sweeps(op, observed, config, start)).x for op in (single, double))
    np.testing.assert_allclose(x32, x64, atol=1e-4 * x64.max())
    np.testing.assert_allclose(double.matvec(x32), double.matvec(x64), atol=1e-5 * y.max())


@given(data=st.data(), seed=seeds, lr=relaxations, unit=st.sampled_from([1e-20, 1.0, 1e10]))
@checked
def test_x_is_never_negative(kind, problems, data, seed, lr, unit):
    problem = data.draw(problems)
    S, C, P, L = problem.shape
    rng = np.random.default_rng(seed)
    observed = Observed.of(unit * rng.normal(size=(S, L)))
    ratio = RatioRows.of(rng.uniform(0.1, 1.0, C), C, SolverCfg())
    config = SolverCfg(epochs=2, lr=lr, ratio_prob=0.5, seed=seed)
    start = KaczmarzState(x=rng.random((C, P)))
    for state in sweeps(kind.of(problem), observed, config, start, ratio):
        assert np.isfinite(state.x).all()
        assert (state.x >= 0).all()


def test_without_projection_x_may_be_negative(kind, small_problem):
    operator, observed = kind.of(small_problem(1)), Observed.of(-np.ones((3, 7)))
    free = last(sweeps(operator, observed, SolverCfg(project_nonneg=False), KaczmarzState(x=ZEROS)))
    bound = last(sweeps(operator, observed, SolverCfg(), KaczmarzState(x=ZEROS)))
    assert (free.x < 0).any()
    assert not bound.x.any()


@given(seed=seeds, exponent=st.integers(-60, 30), with_ratio=st.booleans())
@checked
def test_brighter_data_give_a_heavier_x(kind, small_problem, seed, exponent, with_ratio):
    """A power of two is exact in floating point: not one bit may differ."""
    rng = np.random.default_rng(seed)
    operator, y, x0 = kind.of(small_problem(seed)), rng.normal(0.5, 1, (3, 7)), rng.random((3, 2))
    config = SolverCfg(epochs=2, pixels_per_aperture=5, ratio_prob=0.5, seed=seed)
    ratio = RatioRows.of(np.arange(1.0, 4.0), 3, config) if with_ratio else None
    a = 2.0**exponent
    x, brighter = (
        last(sweeps(operator, Observed.of(f * y), config, KaczmarzState(x=f * x0), ratio)).x
        for f in (1.0, a)
    )
    np.testing.assert_array_equal(brighter, a * x)


@given(seed=seeds, a=st.floats(1e-20, 1e10))
@checked
def test_any_factor_scales_x(kind, small_problem, seed, a):
    rng = np.random.default_rng(seed)
    operator, y = kind.of(small_problem(seed)), rng.random((3, 7))
    x, scaled = (
        last(sweeps(operator, Observed.of(f * y), SolverCfg(), KaczmarzState(x=ZEROS))).x
        for f in (1.0, a)
    )
    np.testing.assert_allclose(scaled / a, x, atol=1e-5 * x.max() + 1e-12)


@given(seed=seeds)
@checked
def test_noise_weighs_no_row_of_a_projection(kind, small_problem, seed):
    """A projection onto a row is the same whatever its noise; only the rmse is in sigma."""
    rng = np.random.default_rng(seed)
    operator, y, noise = kind.of(small_problem(seed)), rng.random((3, 7)), rng.uniform(1, 2, (3, 7))
    plain, weighted = (
        last(sweeps(operator, observed, SolverCfg(), KaczmarzState(x=ZEROS)))
        for observed in (Observed.of(y), Observed.of(y, noise=noise))
    )
    np.testing.assert_array_equal(plain.x, weighted.x)
    assert weighted.rmse < plain.rmse


def usual(small_problem, seed=3):
    """Return a problem, spectra, settings and ratio rows with everything in play."""
    rng = np.random.default_rng(seed)
    observed = Observed.of(rng.random((3, 7)), voxel_mask=some_used(rng, (3, 7)))
    config = SolverCfg(epochs=3, pixels_per_aperture=4, ratio_prob=0.5, seed=seed)
    return small_problem(seed), observed, config, RatioRows.of(np.arange(1.0, 4.0), 3, config)


def test_the_same_seed_gives_the_same_bits(kind, small_problem):
    problem, observed, config, ratio = usual(small_problem)

    def run(settings_):
        return last(sweeps(kind.of(problem), observed, settings_, KaczmarzState(x=ZEROS), ratio)).x

    np.testing.assert_array_equal(run(config), run(config))
    assert (run(config) != run(SolverCfg(epochs=3, pixels_per_aperture=4, seed=4))).any()


@pytest.mark.parametrize("visited", range(10))
def test_stop_and_resume_equal_one_run(kind, small_problem, visited):
    problem, observed, config, ratio = usual(small_problem)
    operator, start = kind.of(problem), KaczmarzState(x=ZEROS)
    whole = [
        (s.epoch, s.position, s.spaxel, s.rmse, s.x.copy())
        for s in sweeps(operator, observed, config, start, ratio)
    ]
    assert len(whole) == 9
    stopped = last([start, *islice(sweeps(operator, observed, config, start, ratio), visited)])
    kept = KaczmarzState(x=stopped.x.copy(), epoch=stopped.epoch, position=stopped.position)
    resumed = [
        (s.epoch, s.position, s.spaxel, s.rmse, s.x.copy())
        for s in sweeps(operator, observed, config, kept, ratio)
    ]
    assert [r[:4] for r in resumed] == [w[:4] for w in whole[visited:]]
    for one, other in zip(resumed, whole[visited:], strict=True):
        np.testing.assert_array_equal(one[4], other[4])


def test_each_epoch_visits_every_spaxel_once_in_another_order(kind, small_problem):
    problem = small_problem(2, (12, 3, 2, 2, 3))
    states = [
        (s.epoch, s.position, s.spaxel)
        for s in sweeps(
            kind.of(problem),
            Observed.of(np.ones((12, 3))),
            SolverCfg(epochs=2),
            KaczmarzState(x=np.zeros((2, 2))),
        )
    ]
    assert [s[:2] for s in states] == [(e, p) for e in range(2) for p in range(1, 13)]
    first, second = ([s[2] for s in states if s[0] == epoch] for epoch in range(2))
    assert sorted(first) == sorted(second) == list(range(12))
    assert first != second


def test_sequential_visits_spaxels_and_pixels_in_order():
    config = SolverCfg(row_order="sequential", pixels_per_aperture=5)
    np.testing.assert_array_equal(spaxel_order(6, config, 3), np.arange(6))
    pixels = draw_pixels(np.ones(40, bool), config, np.random.default_rng(1))
    assert pixels.size == 5
    assert (np.diff(pixels) > 0).all()


@given(seed=seeds, n_pixels=st.integers(1, 40), most=st.integers(1, 50))
@settings(deadline=None)
def test_pixels_are_drawn_once_and_never_masked(seed, n_pixels, most):
    rng = np.random.default_rng(seed)
    used = rng.random(n_pixels) < 0.6
    pixels = draw_pixels(used, SolverCfg(pixels_per_aperture=most), rng)
    assert pixels.size == np.unique(pixels).size == min(most, used.sum())
    assert used[pixels].all()


def test_random_pixels_are_not_ascending():
    pixels = draw_pixels(np.ones(99, bool), SolverCfg(), np.random.default_rng(1))
    assert (np.diff(pixels) < 0).any()


@given(seed=seeds, junk=st.sampled_from([np.nan, np.inf, -1e300]))
@checked
def test_masked_voxels_may_hold_anything(kind, small_problem, seed, junk):
    rng = np.random.default_rng(seed)
    y, used = rng.random((3, 7)), some_used(rng, (3, 7))
    clean, dirty = (
        last(
            sweeps(
                kind.of(small_problem(seed)),
                Observed.of(cube, noise=np.where(used, 1.0, cube), voxel_mask=used),
                SolverCfg(),
                KaczmarzState(x=ZEROS),
            )
        ).x
        for cube in (y, np.where(used, y, junk))
    )
    np.testing.assert_array_equal(clean, dirty)


def test_masked_and_dark_spaxels_leave_x_alone(kind, small_problem):
    problem = small_problem(1)
    problem.losvd[1] = 0.0
    used = np.ones((3, 7), bool)
    used[2] = False
    observed = Observed.of(np.ones((3, 7)), voxel_mask=used)
    config = SolverCfg(row_order="sequential")
    states = [
        (s.rmse, s.x.copy())
        for s in sweeps(kind.of(problem), observed, config, KaczmarzState(x=ZEROS))
    ]
    (lit, x), (dark, after_dark), (masked, after_masked) = states
    assert lit == 1.0
    assert dark == 1.0
    assert np.isnan(masked)
    assert x.all()
    np.testing.assert_array_equal(after_dark, x)
    np.testing.assert_array_equal(after_masked, x)


def test_a_dark_row_leaves_the_others_as_they_are(kind, small_problem):
    problem = small_problem(1)
    problem.shifted[:, :, 3] = 0.0
    rows = kind.of(problem).rows(0, np.arange(7))
    residual = np.arange(1.0, 8.0)
    alpha = project_rows(rows, residual, 0.5)
    lit = np.array([0, 1, 2, 4, 5, 6])
    assert alpha[3] == 0.0
    others = project_rows(kind.of(problem).rows(0, lit), residual[lit], 0.5)
    np.testing.assert_allclose(alpha[lit], others, rtol=1e-3)


@pytest.mark.parametrize("row_order", ["random", "sequential"])
def test_consistent_data_converge(kind, small_problem, row_order):
    problem = small_problem(11, (6, 5, 3, 2, 12))
    true = np.array([[1.0, 0.0], [0.5, 2.0], [0.0, 3.0]])
    y = np.einsum("scpl,cp->sl", problem.models, true)
    observed, config = Observed.of(y), SolverCfg(epochs=300, lr=1.0, row_order=row_order)
    states = sweeps(kind.of(problem), observed, config, KaczmarzState(x=ZEROS))
    x = last(states).x
    model = np.einsum("scpl,cp->sl", problem.models, x)
    np.testing.assert_allclose(model, y, rtol=1e-4)
    np.testing.assert_allclose(x, true, atol=2e-3)


def test_ratio_rows_pull_the_components_together(kind, small_problem):
    """Data that cannot tell the components apart leave the ratios to the weights."""
    problem = small_problem(1)
    problem.losvd[:] = problem.losvd[:, :, :1]
    weights = np.array([1.0, 2.0, 4.0])
    config = SolverCfg(epochs=400, ratio_prob=1.0, ratio_eta=0.5)
    x0 = np.array([[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]])
    observed = Observed.of(np.einsum("scpl,cp->sl", problem.models, x0))
    ratio = RatioRows.of(weights, 3, config)
    operator, start = kind.of(problem), KaczmarzState(x=x0)
    sums = last(sweeps(operator, observed, config, start, ratio)).x.sum(axis=1)
    np.testing.assert_allclose(sums / sums[2], weights / 4.0, rtol=1e-3)
    np.testing.assert_allclose(last(sweeps(operator, observed, config, start)).x, x0, rtol=1e-4)


def test_the_start_is_not_changed_and_may_be_of_any_type(kind, small_problem):
    operator, observed = kind.of(small_problem(1)), Observed.of(np.ones((3, 7)))
    whole = np.arange(6).reshape(2, 3).T
    found = last(sweeps(operator, observed, SolverCfg(), KaczmarzState(x=whole))).x
    same = last(sweeps(operator, observed, SolverCfg(), KaczmarzState(x=whole.astype(float)))).x
    np.testing.assert_array_equal(found, same)
    np.testing.assert_array_equal(whole, [[0, 3], [1, 4], [2, 5]])


def test_no_epoch_left_is_no_step(kind, small_problem):
    operator, observed = kind.of(small_problem(1)), Observed.of(np.ones((3, 7)))
    for done in (KaczmarzState(x=ZEROS, epoch=2), KaczmarzState(x=ZEROS, epoch=1, position=3)):
        assert not list(sweeps(operator, observed, SolverCfg(epochs=2), done))


@pytest.mark.parametrize(
    ("x", "cube", "words"),
    [
        (np.zeros((2, 3)), (3, 7), r"x has shape \(2, 3\), but the model needs \(3, 2\)"),
        (np.zeros(6), (3, 7), r"x has shape \(6,\)"),
        (np.full((3, 2), np.nan), (3, 7), "NaN or infinite"),
        (np.full((3, 2), np.inf), (3, 7), "NaN or infinite"),
        (ZEROS, (4, 7), r"cube has shape \(4, 7\), but the model needs \(3, 7\)"),
        (ZEROS, (2, 7), r"cube has shape \(2, 7\)"),
        (ZEROS, (3, 8), r"cube has shape \(3, 8\)"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_first_step(kind, small_problem, x, cube, words):
    states = sweeps(
        kind.of(small_problem(1)), Observed.of(np.ones(cube)), SolverCfg(), KaczmarzState(x=x)
    )
    with pytest.raises(InputError, match=words):
        next(states)


def test_no_regularization_has_no_smoother():
    assert smoother_of((3, 4), SolverCfg(), 10) is None


def test_smoothing_without_three_points_is_refused():
    with pytest.raises(ConfigError, match="no second differences"):
        smoother_of((2, 2), SolverCfg(regularization=0.1), 10)


@pytest.mark.parametrize("shape", [(5,), (2, 4), (3, 3), (1, 3, 2)])
@pytest.mark.parametrize("strength", [0.1, 10.0])
def test_the_smoother_keeps_linear_functions_and_smooths_all_others(shape, strength):
    smoother = smoother_of(shape, SolverCfg(regularization=strength, lr=0.5), 4)
    P = int(np.prod(shape))
    np.testing.assert_allclose(smoother, smoother.T, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(smoother.sum(axis=1), 1.0, rtol=1e-9)
    axes = np.meshgrid(*(np.arange(float(n)) for n in shape), indexing="ij")
    for axis in axes:
        np.testing.assert_allclose(axis.ravel() @ smoother, axis.ravel(), atol=1e-9)
    bends = second_differences(shape)
    q = np.random.default_rng(1).random((20, P))
    before, after = (np.linalg.norm(bends @ v.T, axis=0) for v in (q, q @ smoother))
    assert (after < before).all()
    # It is the minimum that it claims to be.
    weight = 0.5 * strength**2 / 4
    np.testing.assert_allclose(
        (q @ smoother - q) + weight * q @ smoother @ bends.T @ bends, 0.0, atol=1e-9
    )


def test_more_spaxels_smooth_less_each():
    bends, q = second_differences((6,)), np.random.default_rng(1).random(6)
    config = SolverCfg(regularization=1.0)
    roughness = [np.linalg.norm(bends @ (q @ smoother_of((6,), config, n))) for n in (1, 10, 100)]
    assert (np.diff(roughness) > 0).all()


def test_smoothed_sweeps_are_smoother_and_stop_and_resume_like_others(kind, small_problem):
    problem = small_problem(3, (4, 3, 2, 6, 9))
    y = np.einsum("scpl,cp->sl", problem.models, np.random.default_rng(3).random((2, 6)))
    observed, start = Observed.of(y), KaczmarzState(x=np.zeros((2, 6)))
    bends, roughness = second_differences((6,)), []
    for strength in (0.0, 0.5, 5.0):
        config = SolverCfg(epochs=2, regularization=strength)
        smoother = smoother_of((6,), config, 4)

        def run(state, config=config, smoother=smoother):
            states = sweeps(kind.of(problem), observed, config, state, smoother=smoother)
            return [(s.epoch, s.position, s.x.copy()) for s in states]

        whole = run(start)
        epoch, position, x = whole[2]
        resumed = run(KaczmarzState(x=x, epoch=epoch, position=position))
        np.testing.assert_array_equal(resumed[-1][2], whole[-1][2])
        assert (whole[-1][2] >= 0).all()
        roughness.append(np.linalg.norm(bends @ whole[-1][2].T))
    assert (np.diff(roughness) < 0).all()
