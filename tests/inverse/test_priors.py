import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cubefit.errors import ConfigError, InputError
from cubefit.inverse.operators import Members
from cubefit.inverse.priors import (
    Priors,
    expected_units,
    ratio_matrix,
    require_second_differences,
    second_differences,
    smoothness,
)

seeds = st.integers(0, 2**32 - 1)
shapes = st.lists(st.integers(1, 5), min_size=1, max_size=3).filter(lambda s: max(s) >= 3)
checked = settings(deadline=None, max_examples=40)


def random_priors(rng, C, P, *, ratio=True, smooth=True):
    """Return priors of random matrices: nothing here needs more."""
    bends = rng.normal(size=(P + 1, P))
    return Priors(
        ratio=rng.normal(size=(C - 1 if ratio else 0, C)),
        smooth=bends.T @ bends if smooth else np.zeros((P, P)),
        unit=rng.uniform(0.1, 10.0, C),
    )


def test_second_differences_written_out():
    np.testing.assert_array_equal(second_differences((4,)), [[1, -2, 1, 0], [0, 1, -2, 1]])
    np.testing.assert_array_equal(
        second_differences((2, 3)), [[1, -2, 1, 0, 0, 0], [0, 0, 0, 1, -2, 1]]
    )
    np.testing.assert_array_equal(
        second_differences((3, 2)), [[1, 0, -2, 0, 1, 0], [0, 1, 0, -2, 0, 1]]
    )


@pytest.mark.parametrize("shape", [(1,), (2,), (2, 2), (1, 2, 1)])
def test_short_axes_have_no_second_differences(shape):
    assert second_differences(shape).shape == (0, int(np.prod(shape)))


@given(shape=shapes, seed=seeds)
@checked
def test_second_differences_are_those_of_numpy(shape, seed):
    q = np.random.default_rng(seed).normal(size=shape)
    plain = [np.diff(q, 2, axis=a) for a in range(q.ndim)]
    expected = sum((d**2).sum() for d in plain)
    found = second_differences(shape) @ q.ravel()
    assert found @ found == pytest.approx(expected, rel=1e-12, abs=1e-12)
    assert found.size == sum(d.size for d in plain if d.size)


@given(shape=shapes, seed=seeds)
@checked
def test_linear_functions_are_smooth_and_parabolas_bend_evenly(shape, seed):
    rng = np.random.default_rng(seed)
    axes = np.meshgrid(*(np.arange(float(n)) for n in shape), indexing="ij")
    linear = rng.normal() + sum(rng.normal() * a for a in axes)
    rows = second_differences(shape)
    np.testing.assert_allclose(rows @ linear.ravel(), 0.0, atol=1e-12)
    bent = rows @ (linear + 0.5 * sum(a**2 for a in axes)).ravel()
    np.testing.assert_allclose(bent, 1.0, atol=1e-12)


@given(seed=seeds, C=st.integers(1, 4), P=st.integers(1, 5), ratio=st.booleans())
@checked
def test_value_gradient_gram_and_diagonal_are_one_quadratic(seed, C, P, ratio):
    rng = np.random.default_rng(seed)
    priors = random_priors(rng, C, P, ratio=ratio)
    x, step = rng.random((2, C, P))
    every = Members.where(np.ones((C, P), bool))
    gram = priors.gram(every, every)
    assert priors.value(x) == pytest.approx(0.5 * x.ravel() @ gram @ x.ravel(), rel=1e-10)
    np.testing.assert_allclose(priors.gradient(x).ravel(), gram @ x.ravel(), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(priors.diagonal().ravel(), np.diagonal(gram), rtol=1e-12)
    difference = (priors.value(x + 1e-4 * step) - priors.value(x - 1e-4 * step)) / 2e-4
    assert np.vdot(priors.gradient(x), step) == pytest.approx(difference, rel=1e-6, abs=1e-6)
    np.testing.assert_array_equal(gram, gram.T)
    assert (np.linalg.eigvalsh(gram) > -1e-10 * gram.max()).all()
    one, other = Members.where(rng.random((C, P)) < 0.5), Members.where(rng.random((C, P)) < 0.5)
    part = gram[np.ix_(*(m.components * P + m.populations for m in (one, other)))]
    np.testing.assert_array_equal(priors.gram(one, other), part)


def test_no_priors_are_no_priors():
    priors, x = Priors.none(3, 2), np.ones((3, 2))
    assert not priors.has_ratio
    assert not priors.is_smooth
    assert priors.value(x) == 0.0
    assert not priors.gradient(x).any()
    assert not priors.diagonal().any()


def test_priors_know_what_they_hold():
    rng = np.random.default_rng(1)
    only_ratio, only_smooth = (
        random_priors(rng, 3, 4, smooth=False), random_priors(rng, 3, 4, ratio=False)
    )  # fmt: skip
    assert (only_ratio.has_ratio, only_ratio.is_smooth) == (True, False)
    assert (only_smooth.has_ratio, only_smooth.is_smooth) == (False, True)


@given(seed=seeds, strength=st.sampled_from([0.1, 1.0, 50.0]), unit=st.sampled_from([1e-20, 1.0]))
@checked
def test_ratio_rows_vanish_at_the_wanted_ratios_whatever_the_total(seed, strength, unit):
    rng = np.random.default_rng(seed)
    weights = rng.uniform(0.1, 1.0, 4)
    rows = ratio_matrix(weights, unit * 3.0, strength, np.array([0, 1, 3]), 2)
    assert rows.shape == (3, 4)
    np.testing.assert_allclose(rows @ (unit * weights), 0.0, atol=1e-12 * strength)
    assert (np.abs(rows @ (unit * rng.uniform(0.1, 1.0, 4))) > 0).any()
    # One expected weight too much costs half of the strength squared.
    expected = weights * (unit * 3.0 / weights.sum())
    expected[0] *= 2.0
    np.testing.assert_allclose(rows @ expected, [strength, 0.0, 0.0], atol=1e-12 * strength)
    np.testing.assert_allclose(
        ratio_matrix(7.0 * weights, unit * 3.0, strength, np.array([0, 1, 3]), 2), rows, rtol=1e-12
    )


def test_smoothness_is_the_gram_matrix_of_the_second_differences():
    rows = second_differences((2, 4))
    np.testing.assert_allclose(smoothness((2, 4), 3.0), 9.0 * rows.T @ rows)


@pytest.mark.parametrize("shape", [(2,), (1, 2), (2, 2, 2), ()])
def test_smoothness_needs_three_points(shape):
    with pytest.raises(ConfigError, match="no second differences, which take three points"):
        smoothness(shape, 0.1)
    with pytest.raises(ConfigError, match="regularization=auto"):
        require_second_differences(shape, "auto")


def test_expected_units_average_to_the_total():
    weights = np.array([1.0, 3.0, 4.0])
    np.testing.assert_allclose(expected_units(weights, 16.0, 3, 2), [1.0, 3.0, 4.0])
    np.testing.assert_allclose(expected_units(None, 12.0, 3, 2), [2.0, 2.0, 2.0])
    np.testing.assert_allclose(
        expected_units(np.array([0.0, 1.0, 3.0]), 8.0, 3, 1), [4.0, 2.0, 6.0]
    )


@pytest.mark.parametrize("total", [0.0, -1.0, np.nan, np.inf])
def test_a_total_that_is_no_weight_is_refused(total):
    with pytest.raises(InputError, match="total weight"):
        expected_units(None, total, 3, 2)
