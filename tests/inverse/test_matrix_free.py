import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cubefit.errors import InputError
from cubefit.inverse.matrix_free import FactoredRows, MatrixFreeOperator
from cubefit.inverse.operators import Members
from cubefit.inverse.scaling import LOSVD_FLOOR

seeds = st.integers(0, 2**32 - 1)
checked = settings(deadline=None, max_examples=60)


@given(seed=seeds, weight=st.floats(0.01, 100.0))
@checked
def test_linear_in_the_losvd(small_problem, seed, weight):
    first, second = small_problem(seed), small_problem(seed + 1)
    x = np.random.default_rng(seed).random((3, 2))

    def light(losvd):
        return MatrixFreeOperator(losvd, first.shifted, dtype=np.float64).matvec(x)

    sum_of_both = first.losvd.astype(float) + weight * second.losvd.astype(float)
    np.testing.assert_allclose(
        light(sum_of_both), light(first.losvd) + weight * light(second.losvd), rtol=1e-12
    )


@given(seed=seeds, weight=st.floats(0.01, 100.0))
@checked
def test_linear_in_the_templates(small_problem, seed, weight):
    first, second = small_problem(seed), small_problem(seed + 1)
    x = np.random.default_rng(seed).random((3, 2))

    def light(shifted):
        return MatrixFreeOperator(first.losvd, shifted, dtype=np.float64).matvec(x)

    sum_of_both = first.shifted.astype(float) + weight * second.shifted.astype(float)
    np.testing.assert_allclose(
        light(sum_of_both), light(first.shifted) + weight * light(second.shifted), rtol=1e-12
    )


@given(seed=seeds)
@checked
def test_templates_may_be_negative(small_problem, seed):
    """Continuum-subtracted templates average to nothing; norms stay real numbers."""
    problem = small_problem(seed)
    shifted = problem.shifted - problem.shifted.mean(axis=0)
    losvd = np.ones_like(problem.losvd)
    operator = MatrixFreeOperator(losvd, shifted)
    assert (operator.column_norms() < 1e-3).all()
    np.testing.assert_allclose(operator.matvec(np.ones((3, 2))), 0.0, atol=1e-5)


def test_float64_is_not_float32_in_disguise(small_problem):
    problem = small_problem(4, (5, 20, 6, 7, 30))
    x = np.random.default_rng(4).random((6, 7))
    expected = np.einsum("scpl,cp->sl", problem.models, x)
    single = MatrixFreeOperator(problem.losvd, problem.shifted).matvec(x)
    double = MatrixFreeOperator(problem.losvd, problem.shifted, dtype=np.float64).matvec(x)
    np.testing.assert_allclose(double, expected, rtol=1e-14)
    assert 1e-9 < np.abs(single / expected - 1).max() < 1e-6


@pytest.mark.parametrize("sizes", [(1, 9, 2, 3, 5), (1, 2, 9, 3, 5), (1, 4, 4, 1, 1)])
def test_gram_with_more_and_with_fewer_bins_than_components(small_problem, sizes):
    problem = small_problem(6, sizes)
    pixels = np.arange(sizes[-1])[::-1]
    rows = MatrixFreeOperator(problem.losvd, problem.shifted, dtype=np.float64).rows(0, pixels)
    flat = problem.models[0].reshape(-1, sizes[-1])[:, pixels]
    np.testing.assert_allclose(rows.gram(), flat.T @ flat, rtol=1e-12)


def test_a_faint_spaxel_keeps_its_precision():
    """A spaxel at 1e-11 of the brightest: squares of its models are far below float32's range."""
    rng = np.random.default_rng(2)
    losvd = rng.uniform(0.1, 1.0, (2, 3, 4))
    losvd[1] *= 1e-11
    shifted = rng.uniform(0.1, 1.0, (3, 2, 5))
    shifted[:, :, 3] *= 1e-10
    rows = MatrixFreeOperator(losvd, shifted).rows(1, np.arange(5))
    dense = np.einsum("vc,vpl->lcp", losvd[1], shifted).reshape(5, -1)
    np.testing.assert_allclose(rows.gram(), dense @ dense.T, rtol=1e-5)
    np.testing.assert_allclose(rows.dense().reshape(5, -1), dense, rtol=1e-5)


@pytest.mark.parametrize("scale", [1e-60, 1e60])
def test_dense_rows_in_units_beyond_float32(scale):
    rows = FactoredRows(
        losvd=np.ones((1, 2), np.float32),
        components=np.arange(2),
        n_components=2,
        shifted=np.ones((3, 1, 2), np.float32),
        scale=scale,
    )
    np.testing.assert_array_equal(rows.dense(), np.full((3, 2, 2), scale))


@pytest.mark.parametrize("unit", [1e-60, 1e60])
def test_columns_in_units_beyond_float32(small_problem, unit):
    """Templates were once brought to physical units in the operator's own type."""
    problem = small_problem(3)
    operator = MatrixFreeOperator(problem.losvd, unit * problem.shifted.astype(float))
    found = operator.columns(Members(np.array([2, 0]), np.array([1, 1])))(np.array([1]))
    expected = problem.models[1, [2, 0], 1][:, None]
    np.testing.assert_allclose(found / unit, expected, rtol=1e-6)


def test_values_below_the_floor_count_as_zero():
    losvd = np.array([1.0, 2 * LOSVD_FLOOR, 0.5 * LOSVD_FLOOR]).reshape(3, 1, 1)
    model = MatrixFreeOperator(losvd, np.ones((1, 1, 3)), dtype=np.float64).matvec(np.ones((1, 1)))
    np.testing.assert_array_equal(model, [[1.0] * 3, [2 * LOSVD_FLOOR] * 3, [0.0] * 3])


@given(seed=seeds, cut=st.integers(1, 4), dtype=st.sampled_from([np.float32, np.float64]))
@checked
def test_a_part_of_a_cube_has_its_bins_and_its_faintest_light(small_problem, seed, cut, dtype):
    problem = small_problem(seed, (5, 6, 3, 2, 7), dark=0.4)
    whole = MatrixFreeOperator(problem.losvd, problem.shifted, dtype=dtype)
    lit_bins, brightest = problem.losvd.any(axis=(0, 2)), float(problem.losvd.max())
    for spaxels in (slice(0, cut), slice(cut, 5)):
        part = MatrixFreeOperator(
            problem.losvd[spaxels],
            problem.shifted,
            dtype=dtype,
            lit_bins=lit_bins,
            brightest=brightest,
        )
        assert part.scale == whole.scale
        np.testing.assert_array_equal(part.shifted, whole.shifted)
        np.testing.assert_array_equal(part.kernels(slice(None)), whole.kernels(spaxels))
        x = np.random.default_rng(seed).random((3, 2))
        np.testing.assert_allclose(part.matvec(x), whole.matvec(x)[spaxels], rtol=1e-5)


def test_what_is_given_is_not_changed(small_problem):
    problem, same = small_problem(3), small_problem(3)
    MatrixFreeOperator(problem.losvd, problem.shifted).column_norms()
    np.testing.assert_array_equal(problem.losvd, same.losvd)
    np.testing.assert_array_equal(problem.shifted, same.shifted)


@pytest.mark.parametrize(
    ("losvd", "shifted"), [((2, 3, 4), (4, 5, 6)), ((2, 3), (3, 5, 6)), ((2, 3, 4), (3, 5))]
)
def test_parts_that_do_not_fit_are_refused(losvd, shifted):
    with pytest.raises(InputError, match=r"do not fit: give \(S, V, C\) and \(V, P, L\)"):
        MatrixFreeOperator(np.ones(losvd), np.ones(shifted))
