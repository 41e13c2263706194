"""Properties of every operator; `conftest.KINDS` lists them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cubefit.errors import InputError
from cubefit.inverse.operators import (
    DenseRows,
    Members,
    StoredOperator,
    require_shape,
    weighted_light,
)

seeds = st.integers(0, 2**32 - 1)
units = st.sampled_from([1e-20, 1.0, 1e10])
checked = settings(deadline=None, max_examples=60)


def close(found, expected, bound):
    """Assert that every element lies within its own bound."""
    error = np.abs(found - expected)
    assert (error <= bound).all(), (
        f"off by up to {np.max(error / np.maximum(bound, 1e-300))} bounds"
    )


@given(data=st.data(), seed=seeds, x_unit=units, r_unit=units)
@checked
def test_dot_test(kind, problems, data, seed, x_unit, r_unit):
    problem = data.draw(problems)
    operator, rng = kind.of(problem), np.random.default_rng(seed)
    S, C, P, L = operator.shape
    x, residual = x_unit * rng.normal(size=(C, P)), r_unit * rng.normal(size=(S, L))
    forward, backward = (
        np.vdot(operator.matvec(x), residual),
        np.vdot(x, operator.rmatvec(residual)),
    )
    bound = 4 * np.einsum("scpl,cp,sl", problem.uncertainty(kind), np.abs(x), np.abs(residual))
    close(forward, backward, bound)


@given(data=st.data(), seed=seeds, unit=units)
@checked
def test_matvec_against_dense(kind, problems, data, seed, unit):
    problem = data.draw(problems)
    operator = kind.of(problem)
    assert operator.shape == problem.shape
    x = unit * np.random.default_rng(seed).random(operator.shape[1:3])
    found, expected = operator.matvec(x), np.einsum("scpl,cp->sl", problem.models, x)
    assert found.dtype == np.float64
    close(found, expected, np.einsum("scpl,cp->sl", problem.uncertainty(kind), x))


@given(data=st.data(), seed=seeds, unit=units)
@checked
def test_rmatvec_against_dense(kind, problems, data, seed, unit):
    problem = data.draw(problems)
    operator = kind.of(problem)
    residual = unit * np.random.default_rng(seed).normal(size=(problem.shape[0], problem.shape[3]))
    found, expected = operator.rmatvec(residual), np.einsum("scpl,sl->cp", problem.models, residual)
    assert found.dtype == np.float64
    close(found, expected, np.einsum("scpl,sl->cp", problem.uncertainty(kind), np.abs(residual)))


@given(data=st.data(), seed=seeds, unit=units)
@checked
def test_rows_against_dense(kind, problems, data, seed, unit):
    problem = data.draw(problems)
    S, C, P, L = problem.shape
    rng = np.random.default_rng(seed)
    s, pixels = int(rng.integers(S)), rng.permutation(L)[: rng.integers(1, L + 1)]
    rows = kind.of(problem).rows(s, pixels)
    dense = np.moveaxis(problem.models[s][..., pixels], -1, 0)
    bound = np.moveaxis(problem.uncertainty(kind)[s][..., pixels], -1, 0)
    x, alpha = unit * rng.random((C, P)), unit * rng.normal(size=pixels.size)
    close(rows.dense(), dense, bound)
    close(rows.dot(x), np.einsum("kcp,cp->k", dense, x), np.einsum("kcp,cp->k", bound, x))
    close(
        rows.backproject(alpha),
        np.einsum("kcp,k->cp", dense, alpha),
        np.einsum("kcp,k->cp", bound, np.abs(alpha)),
    )
    flat, flat_bound = dense.reshape(pixels.size, -1), bound.reshape(pixels.size, -1)
    norms = np.linalg.norm(flat, axis=1) + np.linalg.norm(flat_bound, axis=1)
    slack = np.linalg.norm(flat_bound, axis=1)
    gram = rows.gram()
    assert gram.shape == (pixels.size, pixels.size)
    close(gram, flat @ flat.T, 3 * (np.outer(norms, slack) + np.outer(slack, norms)))
    np.testing.assert_allclose(gram, gram.T, rtol=1e-5)


@given(data=st.data())
@checked
def test_column_norms_against_dense(kind, problems, data):
    problem = data.draw(problems)
    expected = np.sqrt(np.einsum("scpl,scpl->cp", problem.models, problem.models))
    slack = np.sqrt(np.einsum("scpl,scpl->cp", *[problem.uncertainty(kind)] * 2))
    close(kind.of(problem).column_norms(), expected, 4 * slack)


@given(data=st.data(), seed=seeds)
@checked
def test_stored_and_matrix_free_agree(kinds, problems, data, seed):
    problem = data.draw(problems)
    rng = np.random.default_rng(seed)
    S, C, P, L = problem.shape
    x, residual = rng.random((C, P)), rng.normal(size=(S, L))
    bound = problem.uncertainty(kinds[0])
    stored, *others = (kind.of(problem) for kind in kinds)
    for other in others:
        close(stored.matvec(x), other.matvec(x), 2 * np.einsum("scpl,cp->sl", bound, x))
        close(
            stored.rmatvec(residual),
            other.rmatvec(residual),
            2 * np.einsum("scpl,sl->cp", bound, np.abs(residual)),
        )


@given(data=st.data(), seed=seeds)
@checked
def test_linear_in_x(kind, problems, data, seed):
    problem = data.draw(problems)
    operator, rng = kind.of(problem), np.random.default_rng(seed)
    first, second = rng.random((2, *operator.shape[1:3]))
    bound = np.einsum("scpl,cp->sl", problem.uncertainty(kind), first + second)
    close(
        operator.matvec(first + second), operator.matvec(first) + operator.matvec(second), 2 * bound
    )
    # A power of two is exact in floating point, whatever the dtype.
    np.testing.assert_array_equal(
        operator.matvec(2.0**33 * first), 2.0**33 * operator.matvec(first)
    )


def test_a_medium_sum_keeps_a_millionth_of_the_spaxels_maximum(kind, small_problem):
    problem = small_problem(8, (4, 31, 40, 50, 60), dark=0.2)
    x = np.random.default_rng(9).lognormal(sigma=3.0, size=(40, 50))
    expected = np.einsum("scpl,cp->sl", problem.models, x)
    brightest = expected.max(axis=1, keepdims=True)
    tolerance = 1e-6 if kind.dtype is np.float32 else 1e-13
    assert (np.abs(kind.of(problem).matvec(x) - expected) <= tolerance * brightest).all()


def test_dark_parts_give_nothing(kind, small_problem):
    problem = small_problem(1)
    problem.losvd[1] = 0.0
    problem.losvd[:, :, 2] = 0.0
    problem.losvd[:, 0] = 0.0
    operator = kind.of(problem)
    assert not operator.matvec(np.ones((3, 2)))[1].any()
    assert not operator.rmatvec(np.ones((3, 7)))[2].any()
    assert not operator.column_norms()[2].any()
    rows = operator.rows(1, np.array([4, 0]))
    assert not rows.dot(np.ones((3, 2))).any()
    assert not rows.backproject(np.ones(2)).any()
    assert not rows.gram().any()


def test_no_light_at_all(kind, small_problem):
    problem = small_problem(1)
    problem.losvd[:] = 0.0
    operator = kind.of(problem)
    assert operator.shape == (3, 3, 2, 7)
    assert not operator.matvec(np.ones((3, 2))).any()
    assert not operator.rmatvec(np.ones((3, 7))).any()
    assert not operator.column_norms().any()


def test_zero_in_zero_out(kind, small_problem):
    operator = kind.of(small_problem(1))
    assert not operator.matvec(np.zeros((3, 2))).any()
    assert not operator.rmatvec(np.zeros((3, 7))).any()


def test_layout_and_type_of_x_do_not_matter(kind, small_problem):
    operator = kind.of(small_problem(1))
    x = np.arange(6).reshape(2, 3).T
    expected = operator.matvec(np.ascontiguousarray(x, np.float64))
    for other in (x, x.astype(float), x.astype(np.float32), np.repeat(x * 1.0, 2, axis=1)[:, ::2]):
        np.testing.assert_array_equal(operator.matvec(other), expected)
    residual = np.arange(21).reshape(7, 3).T
    expected = operator.rmatvec(np.ascontiguousarray(residual, np.float64))
    for other in (residual, residual.astype(np.uint8), residual.astype(np.float32)):
        np.testing.assert_array_equal(operator.rmatvec(other), expected)


def test_nothing_given_is_changed(kind, small_problem):
    operator = kind.of(small_problem(1))
    x, residual, alpha = np.ones((3, 2)), np.ones((3, 7)), np.ones(2)
    rows = operator.rows(0, np.array([1, 2]))
    gram = rows.gram()
    products = (operator.matvec, operator.rmatvec, rows.dot, rows.backproject)
    for values, product in zip((x, residual, x, alpha), products, strict=True):
        product(values)
        assert (values == 1.0).all()
    gram[:] = 0.0
    assert rows.gram().all()


def test_nan_is_never_hidden(kind, small_problem):
    operator = kind.of(small_problem(1))
    x, residual = np.ones((3, 2)), np.ones((3, 7))
    x[0, 0] = residual[0, 0] = np.nan
    assert np.isnan(operator.matvec(x)).all()
    assert np.isnan(operator.rmatvec(residual)).all()
    assert np.isnan(operator.rows(0, np.array([1])).dot(x)).all()


@pytest.mark.parametrize("shape", [(2, 3), (6,), (3, 1), (1, 2), (3, 2, 1)])
def test_x_of_another_shape_is_refused(kind, small_problem, shape):
    with pytest.raises(InputError, match=r"x has shape .* needs \(3, 2\)"):
        kind.of(small_problem(1)).matvec(np.ones(shape))


@pytest.mark.parametrize("shape", [(7, 3), (21,), (4, 7), (1, 7), (3, 8)])
def test_a_residual_of_another_shape_is_refused(kind, small_problem, shape):
    with pytest.raises(InputError, match=r"residual has shape .* needs \(3, 7\)"):
        kind.of(small_problem(1)).rmatvec(np.ones(shape))


def test_a_spaxel_or_pixel_beyond_the_cube_is_refused(kind, small_problem):
    operator = kind.of(small_problem(1))
    with pytest.raises(IndexError):
        operator.rows(3, np.array([0]))
    with pytest.raises(IndexError):
        operator.rows(0, np.array([7]))


def test_require_shape_names_both_shapes():
    require_shape("x", np.ones((2, 3)), (2, 3))
    with pytest.raises(InputError, match=r"x has shape \(2, 3\), but the model needs \(3, 2\)"):
        require_shape("x", np.ones((2, 3)), (3, 2))


def test_weighted_light_sums_components_in_float64():
    """One component outshines the sum of many: float32 would lose them."""
    models = np.ones((5000, 1, 2), np.float32)
    x = np.full((5000, 1), 3e-8)
    x[0] = 1.0
    np.testing.assert_allclose(weighted_light(models, x), 1.0 + 4999 * 3e-8, rtol=1e-9)


@pytest.mark.parametrize("unit", [1e-30, 1e-23, 1e-7, 1.0, 1e13, 1e25])
def test_gram_of_stored_rows_in_any_unit(unit):
    matrix = np.random.default_rng(1).random((6, 4))
    rows = DenseRows((unit * matrix).astype(np.float32), 2)
    np.testing.assert_allclose(rows.gram(), unit**2 * matrix.T @ matrix, rtol=1e-6)


def weights_of(rng, shape):
    """Return inverse noise, some voxels and a whole spaxel masked."""
    weights = rng.uniform(0.1, 2.0, shape) * (rng.random(shape) < 0.8)
    weights[rng.integers(shape[0])] = 0.0
    return weights


@given(data=st.data(), seed=seeds, unit=units, with_data=st.booleans())
@checked
def test_misfit_is_residual_and_back_projection(kind, problems, data, seed, unit, with_data):
    problem = data.draw(problems)
    operator, rng = kind.of(problem), np.random.default_rng(seed)
    S, C, P, L = problem.shape
    x, weights = unit * rng.random((C, P)), weights_of(rng, (S, L))
    y = unit * problem.models.max() * rng.random((S, L)) if with_data else None
    found, gradient = operator.misfit(x, y, weights)
    expected, bound = operator.matvec(x), problem.uncertainty(kind)
    if y is not None:
        expected -= y
    close(found, expected * weights, 2 * np.einsum("scpl,cp->sl", bound, x) * weights)
    light = np.einsum("scpl,sl->cp", bound, np.abs(found * weights))
    close(gradient, operator.rmatvec(found * weights), 2 * light)


def test_misfit_refuses_another_shape_and_changes_nothing(kind, small_problem):
    operator = kind.of(small_problem(1))
    x, y, weights = np.ones((3, 2)), np.ones((3, 7)), np.ones((3, 7))
    operator.misfit(x, y, weights)
    for array in (x, y, weights):
        assert (array == 1.0).all()
    with pytest.raises(InputError, match=r"x has shape \(2, 3\)"):
        operator.misfit(x.T, y, weights)


@given(data=st.data(), seed=seeds)
@checked
def test_columns_against_dense(kind, problems, data, seed):
    problem = data.draw(problems)
    rng = np.random.default_rng(seed)
    S, C, P, L = problem.shape
    n = int(rng.integers(0, C * P + 1))
    numbers = rng.permutation(C * P)[:n]
    members = Members(numbers // P, numbers % P)
    make = kind.of(problem).columns(members)
    for _ in range(2):
        spaxels = rng.permutation(S)[: rng.integers(1, S + 1)]
        found = make(spaxels)
        assert found.shape == (n, spaxels.size, L)
        assert found.dtype == np.float64
        part = np.ix_(spaxels, np.arange(C), np.arange(P), np.arange(L))
        expected, bound = (
            np.moveaxis(m[part][:, members.components, members.populations], 0, 1)
            for m in (problem.models, problem.uncertainty(kind))
        )
        close(found, expected, bound)


@given(data=st.data())
@checked
def test_factors_multiply_to_the_models(kind, problems, data):
    problem = data.draw(problems)
    S, C, _P, _L = problem.shape
    factors = kind.of(problem).factors
    assert factors.shape == problem.shape
    every, reverse = factors.kernels(slice(None)), np.arange(S)[::-1]
    assert every.shape[:2] == (S, C)
    np.testing.assert_array_equal(factors.kernels(reverse), every[::-1])
    np.testing.assert_array_equal(factors.kernels(slice(1, S)), every[1:])
    np.testing.assert_array_equal(factors.kernels(np.array([S - 1, S - 1])), every[[S - 1] * 2])
    models = factors.scale * np.einsum(
        "scv,lvp->scpl", every.astype(np.float64), factors.shifted.astype(np.float64)
    )
    close(models, problem.models, problem.uncertainty(kind) + 1e-6 * problem.models)
    lit = every.any(axis=2)
    assert lit.sum() <= factors.n_pairs <= S * C


def dark_pairs(random_problem, seed):
    """Return a problem of which each spaxel sees a tenth of the components, and the light."""
    problem, rng = random_problem(seed, (40, 5, 30, 2, 6)), np.random.default_rng(seed)
    middle = np.sort(rng.random(40)) * 30
    lit = np.abs(np.arange(30) - middle[:, None]) < 2.5
    problem.losvd[~lit[:, None, :].repeat(5, axis=1)] = 0.0
    return problem, lit, rng


@pytest.mark.parametrize("seed", range(3))
def test_dark_pairs_are_left_out_and_change_nothing(kind, small_problem, seed):
    problem, lit, rng = dark_pairs(small_problem, seed)
    operator = kind.of(problem)
    assert lit.sum() <= operator.factors.n_pairs < 0.5 * lit.size
    x, residual = rng.random((30, 2)), rng.normal(size=(40, 6))
    bound = problem.uncertainty(kind)
    close(
        operator.matvec(x),
        np.einsum("scpl,cp->sl", problem.models, x),
        np.einsum("scpl,cp->sl", bound, x),
    )
    close(
        operator.rmatvec(residual),
        np.einsum("scpl,sl->cp", problem.models, residual),
        np.einsum("scpl,sl->cp", bound, np.abs(residual)),
    )
    expected = np.sqrt(np.einsum("scpl,scpl->cp", problem.models, problem.models))
    np.testing.assert_allclose(operator.column_norms(), expected, rtol=1e-5)


def test_a_problem_of_full_light_holds_every_pair_once(kind, small_problem):
    assert kind.of(small_problem(1)).factors.n_pairs == 9


def test_no_light_holds_no_pair(kind, small_problem):
    problem = small_problem(1)
    problem.losvd[:] = 0.0
    factors = kind.of(problem).factors
    assert factors.n_pairs == 0
    assert not factors.kernels(slice(None)).any()


def test_a_stored_operator_without_factors_says_so(small_problem, kinds):
    operator = StoredOperator(kinds[0].of(small_problem(1))._source)
    with pytest.raises(InputError, match="without the factors"):
        _ = operator.factors


def test_a_stored_operator_makes_its_factors_once(small_problem, kinds):
    operator = kinds[0].of(small_problem(1))
    assert operator.factors is operator.factors
