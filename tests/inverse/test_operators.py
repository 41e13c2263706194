"""Properties of every operator; `conftest.KINDS` lists them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cubefit.errors import InputError
from cubefit.inverse.operators import DenseRows, require_shape, weighted_light

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
