import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.inverse.cases import separable_weights, weighing
from tests.inverse.problems import random_problem

from cubefit.inverse import compressed
from cubefit.inverse.compressed import CompressedModel, CompressedTemplates, Light, joined, leading
from cubefit.inverse.matrix_free import MatrixFreeOperator
from cubefit.inverse.operators import Members
from cubefit.inverse.shares import OneShare, one_share

seeds = st.integers(0, 2**32 - 1)
checked = settings(deadline=None, max_examples=30)


def operator_of(problem):
    """Return the operator in float64."""
    return MatrixFreeOperator(problem.losvd, problem.shifted, dtype=np.float64)


def model_of(operator, inverse_noise, **options):
    """Return the compressed model of some weights (S, L)."""
    return CompressedModel.of(one_share(operator, weighing(inverse_noise)), **options)


def dense_curvature(operator, inverse_noise):
    """Return ``A^T W^2 A``, shape (C*P, C*P)."""
    S, C, P, L = operator.shape
    every = Members.where(np.ones((C, P), bool))
    flat = (operator.columns(every)(np.arange(S)) * inverse_noise).reshape(C * P, S * L)
    return flat @ flat.T


def curvature_of(model):
    """Return the compressed model's ``A^T W^2 A``."""
    C, P = model.curvature.shape[0], model.basis.shape[0]
    every = Members.where(np.ones((C, P), bool))
    return model.gram(every, every)


@given(data=st.data(), seed=seeds)
@checked
def test_without_truncation_the_curvature_is_that_of_the_model(problems, data, seed):
    operator = operator_of(data.draw(problems))
    S, _C, P, L = operator.shape
    weights = separable_weights(np.random.default_rng(seed), (S, L))
    model = model_of(operator, weights, template_tolerance=0.0)
    expected = dense_curvature(operator, weights)
    # The velocity axis is still cut at 1e-5 of its largest singular value.
    np.testing.assert_allclose(curvature_of(model), expected, atol=1e-8 * expected.max(initial=0))
    assert model.n_compressed <= P


@given(seed=seeds)
@checked
def test_full_rank_templates_and_bins_keep_every_digit(seed):
    operator = operator_of(random_problem(seed, (4, 3, 3, 4, 20)))
    weights = separable_weights(np.random.default_rng(seed), (4, 20))
    expected = dense_curvature(operator, weights)
    found = curvature_of(model_of(operator, weights))
    np.testing.assert_allclose(found, expected, atol=1e-10 * max(expected.max(), 1e-300))


@given(data=st.data(), seed=seeds)
@checked
def test_gram_times_and_diagonal_agree(problems, data, seed):
    operator, rng = operator_of(data.draw(problems)), np.random.default_rng(seed)
    S, C, P, L = operator.shape
    model = model_of(operator, rng.random((S, L)))
    matrix, direction = curvature_of(model), rng.normal(size=(C, P))
    top = np.abs(matrix).max(initial=0)
    np.testing.assert_allclose(
        model.times(direction).ravel(), matrix @ direction.ravel(), atol=1e-11 * C * P * top
    )
    np.testing.assert_allclose(model.diagonal().ravel(), np.diagonal(matrix), atol=1e-12 * top)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-12 * top)
    one, other = (Members.where(rng.random((C, P)) < 0.6) for _ in range(2))
    part = matrix[np.ix_(*(m.components * P + m.populations for m in (one, other)))]
    np.testing.assert_allclose(model.gram(one, other), part, atol=1e-12 * top)


def near_degenerate(seed=3):
    """Return an operator whose templates are mixtures of few spectra, to ever smaller parts."""
    problem = random_problem(seed, (5, 4, 3, 12, 30))
    strength = 10.0 ** -np.arange(12.0)
    mixed = np.einsum("pq,vql->vpl", np.random.default_rng(seed).random((12, 12)) * strength,
                      problem.shifted.astype(float))  # fmt: skip
    return MatrixFreeOperator(problem.losvd, mixed, dtype=np.float64)


def test_the_error_falls_with_the_tolerance():
    operator, weights = near_degenerate(), np.ones((5, 30))
    expected = dense_curvature(operator, weights)
    errors, sizes = [], []
    for tolerance in (1e-1, 1e-2, 1e-3, 1e-4):
        model = model_of(operator, weights, template_tolerance=tolerance)
        errors.append(np.abs(curvature_of(model) - expected).max() / expected.max())
        sizes.append(model.n_compressed)
    assert (np.diff(errors) < 0).all()
    assert (np.diff(sizes) > 0).all()
    assert (np.array(errors) < [1e-1, 1e-2, 1e-3, 1e-4]).all()


@pytest.mark.parametrize("tolerance", [1e-3, 1e-2])
def test_coarser_is_what_a_coarser_tolerance_gives(tolerance):
    operator, weights = near_degenerate(), np.ones((5, 30))
    fine = model_of(operator, weights)
    coarse, direct = (
        fine.coarser(tolerance),
        model_of(operator, weights, template_tolerance=tolerance),
    )
    assert coarse.n_compressed == direct.n_compressed < fine.n_compressed
    np.testing.assert_allclose(
        curvature_of(coarse), curvature_of(direct), atol=1e-6 * curvature_of(fine).max()
    )
    assert fine.coarser(0.0) is fine
    assert (coarse.strength >= tolerance).all()


def test_most_keeps_the_strongest():
    fine = model_of(near_degenerate(), np.ones((5, 30)))
    few = model_of(near_degenerate(), np.ones((5, 30)), most=2)
    assert few.n_compressed == 2
    np.testing.assert_array_equal(few.strength, fine.strength[-2:])
    assert few.strength[-1] == 1.0


def test_units_do_not_matter():
    problem = random_problem(2)
    weights = np.ones((3, 7))
    plain = curvature_of(model_of(operator_of(problem), weights))
    tiny = MatrixFreeOperator(1e-6 * problem.losvd, 1e-20 * problem.shifted, dtype=np.float64)
    np.testing.assert_allclose(
        curvature_of(model_of(tiny, 1e25 * weights)), 1e-2 * plain, rtol=1e-5
    )


@pytest.mark.parametrize("dark", ["losvd", "shifted", "weights"])
def test_no_light_is_no_curvature(dark):
    """The block of component pairs was once as large as one over nothing."""
    problem, weights = random_problem(1), np.ones((3, 7))
    {"losvd": problem.losvd, "shifted": problem.shifted, "weights": weights}[dark][:] = 0.0
    model = model_of(operator_of(problem), weights)
    assert not curvature_of(model).any()
    assert not model.times(np.ones((3, 2))).any()
    assert not model.diagonal().any()


def test_leading_directions_are_orthonormal_ascending_and_few():
    rows = np.random.default_rng(1).normal(size=(20, 5)) * [1.0, 1e-1, 1e-2, 1e-6, 0.0]
    directions, strength = leading(rows.T @ rows, 1e-4, 5)
    assert directions.shape == (5, 3)
    np.testing.assert_allclose(directions.T @ directions, np.eye(3), atol=1e-12)
    assert (np.diff(strength) > 0).all()
    assert strength[-1] == 1.0
    assert leading(rows.T @ rows, 1e-4, 2)[0].shape == (5, 2)
    nothing, none = leading(np.zeros((4, 4)), 1e-4, 4)
    assert nothing.shape == (4, 0)
    assert none.size == 0


@pytest.mark.parametrize("block_bytes", [1, 8 * 5 * 9 * 2, 256_000_000])
def test_blocks_of_components_do_not_matter(monkeypatch, block_bytes):
    rng = np.random.default_rng(1)
    light, pairs = rng.random((4, 5, 2)), rng.random((2, 2, 3, 3))
    pairs = pairs + pairs.transpose(1, 0, 3, 2)
    expected = np.einsum("scu,sdw,uwkl->ckdl", light, light, pairs)
    monkeypatch.setattr(compressed, "BLOCK_BYTES", block_bytes)
    pairs = pairs.reshape(4, 9)
    templates = CompressedTemplates(5, np.empty((7, 3)), np.empty(3), np.empty((6, 2)), pairs)
    found = joined(OneShare(Light(light, pairs, 1.0)), templates)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
