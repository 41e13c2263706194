import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

from cubefit.inverse import active_set
from cubefit.inverse.active_set import by_library, exchange, nnls_gram, solve_on

seeds = st.integers(0, 2**32 - 1)
checked = settings(deadline=None, max_examples=100)


def small_case(seed, n_rows, n_columns, flaw):
    """Return columns of unit length (or zero) and a right side."""
    rng = np.random.default_rng(seed)
    matrix = rng.random((n_rows, n_columns))
    if flaw == "any sign":
        matrix = rng.normal(size=matrix.shape)
    if flaw == "twins":
        matrix[:, -1] = matrix[:, 0]
    if flaw == "dark":
        matrix[:, 0] = 0.0
    if flaw == "near":
        matrix = matrix[:, :1] + 1e-6 * matrix
    length = np.linalg.norm(matrix, axis=0)
    return matrix / np.where(length > 0, length, 1.0), rng.normal(size=n_rows)


def misfit(matrix, right, x):
    """Return half the squared misfit."""
    return 0.5 * np.sum((matrix @ x - right) ** 2)


@given(
    seed=seeds,
    n_rows=st.integers(1, 8),
    n_columns=st.integers(1, 12),
    flaw=st.sampled_from(["no", "any sign", "twins", "dark", "near"]),
    guess=st.sampled_from([0.0, 0.5, 1.0]),
)
@example(seed=0, n_rows=1, n_columns=12, flaw="no", guess=1.0)
@checked
def test_against_scipy(seed, n_rows, n_columns, flaw, guess):
    matrix, right = small_case(seed, n_rows, n_columns, flaw)
    gram, target = matrix.T @ matrix, matrix.T @ right
    start = (np.random.default_rng(seed).random(n_columns) < guess).astype(float)
    tolerance = 1e-13 * np.abs(target).max()
    x = nnls_gram(gram, target, start, tolerance=tolerance)
    assert x.shape == (n_columns,)
    assert (x >= 0).all()
    least = misfit(matrix, right, nnls(matrix, right)[0])
    assert misfit(matrix, right, x) <= least + 1e-10 * right @ right


@given(seed=seeds)
@checked
def test_the_conditions_of_the_optimum_hold(seed):
    matrix, right = small_case(seed, 12, 8, "any sign")
    gram, target = matrix.T @ matrix, matrix.T @ right
    x = nnls_gram(gram, target, np.zeros(8))
    slope = gram @ x - target
    np.testing.assert_allclose(slope[x > 0], 0.0, atol=1e-10)
    assert (slope > -1e-10).all()


def test_a_guess_of_the_answer_is_the_answer_at_once(monkeypatch):
    matrix, right = small_case(3, 12, 8, "any sign")
    gram, target = matrix.T @ matrix, matrix.T @ right
    x = nnls_gram(gram, target, np.zeros(8))
    monkeypatch.setattr(active_set, "MOST_EXCHANGES", 1)
    monkeypatch.setattr(active_set, "by_library", None)
    np.testing.assert_array_equal(nnls_gram(gram, target, x), x)


def test_where_exchanges_go_in_circles_the_library_takes_over(monkeypatch):
    matrix, right = small_case(3, 12, 8, "any sign")
    gram, target = matrix.T @ matrix, matrix.T @ right
    expected = nnls_gram(gram, target, np.zeros(8))
    monkeypatch.setattr(active_set, "MOST_EXCHANGES", 0)
    assert exchange(gram, target, np.ones(8, bool), 0.0) is None
    np.testing.assert_allclose(nnls_gram(gram, target, np.zeros(8)), expected, atol=1e-9)


def test_the_library_copes_with_columns_that_repeat_each_other():
    column = np.ones((4, 1)) / 2.0
    gram = (column @ np.ones((1, 4))).T @ (column @ np.ones((1, 4)))
    x = by_library(gram, np.ones(4))
    assert x.sum() == pytest.approx(1.0)


def test_a_gram_matrix_that_rounding_made_indefinite_is_lifted():
    gram = np.array([[1.0, 1.0 + 1e-9], [1.0 + 1e-9, 1.0]])
    assert exchange(gram, np.ones(2), np.ones(2, bool), 0.0) is None
    x = nnls_gram(gram, np.ones(2), np.ones(2))
    assert x.sum() == pytest.approx(1.0, rel=1e-6)
    assert (x >= 0).all()


def test_solve_on_a_support():
    matrix, right = small_case(3, 12, 5, "any sign")
    gram, target = matrix.T @ matrix, matrix.T @ right
    support = np.array([True, False, True, True, False])
    x = solve_on(gram, target, support)
    np.testing.assert_allclose(
        x[support], np.linalg.lstsq(matrix[:, support], right, rcond=None)[0], rtol=1e-9
    )
    assert not x[~support].any()
    assert not solve_on(gram, target, np.zeros(5, bool)).any()


def test_no_columns_have_no_weights():
    assert nnls_gram(np.empty((0, 0)), np.empty(0), np.empty(0)).size == 0
