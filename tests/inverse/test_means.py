import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cubefit.inverse.means import (
    component_masses,
    component_means,
    component_scatters,
    spaxel_masses,
    spaxel_means,
    spaxel_scatters,
)


@given(seed=st.integers(0, 2**32 - 1), unit=st.sampled_from([1e-20, 1.0, 1e10]))
@settings(deadline=None)
def test_masses_and_means_against_numpy(seed, unit):
    rng = np.random.default_rng(seed)
    x, values = unit * rng.random((3, 5)), rng.normal(size=5)
    np.testing.assert_allclose(component_masses(x), [row.sum() for row in x])
    np.testing.assert_allclose(
        component_means(x, values), [np.average(values, weights=row) for row in x], atol=1e-12
    )


@given(seed=st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_a_mean_lies_between_its_values_and_ignores_scale(seed):
    rng = np.random.default_rng(seed)
    x, values = rng.random((3, 5)), rng.normal(size=5)
    means = component_means(x, values)
    assert (means >= values.min() - 1e-12).all()
    assert (means <= values.max() + 1e-12).all()
    np.testing.assert_allclose(component_means(7.0 * x, values), means)


def test_a_component_without_mass_has_no_mean():
    x = np.array([[0.0, 0.0], [0.0, 2.0]])
    np.testing.assert_array_equal(component_means(x, np.array([1.0, 3.0])), [np.nan, 3.0])
    np.testing.assert_array_equal(component_masses(x), [0.0, 2.0])


def test_values_of_another_length_are_refused():
    with pytest.raises(ValueError, match="mismatch"):
        component_means(np.ones((3, 2)), np.ones(3))


def brute_force(weights, values):
    """Sum, mean and standard deviation, one weight at a time; NaN where there is no weight."""
    total = sum(weights.ravel())
    if not total > 0:
        return total, np.nan, np.nan
    pairs = list(zip(weights.ravel(), np.broadcast_to(values, weights.shape).ravel(), strict=True))
    mean = sum(w * v for w, v in pairs) / total
    return total, mean, np.sqrt(sum(w * (v - mean) ** 2 for w, v in pairs) / total)


@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 6)),
    filled=st.floats(0.0, 1.0),
    offset=st.sampled_from([0.0, -3.0, 1e4]),
    unit=st.sampled_from([1e-20, 1.0, 1e10]),
)
@settings(deadline=None)
def test_sums_over_components_and_populations(seed, shape, filled, offset, unit):
    rng = np.random.default_rng(seed)
    S, C, P = shape
    share = rng.random((S, C)) * (rng.random((S, C)) < 0.8)
    x = unit * rng.random((C, P)) * (rng.random((C, P)) < filled)
    values = offset + rng.normal(size=P)
    full = share[:, :, None] * x
    by_spaxel = [brute_force(full[s], values) for s in range(S)]
    by_component = [brute_force(x[c], values) for c in range(C)]
    for found, expected in (
        ((spaxel_masses(share, x), spaxel_means(share, x, values),
          spaxel_scatters(share, x, values)), np.transpose(by_spaxel)),
        ((component_masses(x), component_means(x, values), component_scatters(x, values)),
         np.transpose(by_component)),
    ):  # fmt: skip
        np.testing.assert_allclose(found[0], expected[0], rtol=1e-12)
        np.testing.assert_allclose(found[1], expected[1], rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(found[2], expected[2], rtol=1e-6, atol=1e-7)


@given(seed=st.integers(0, 2**32 - 1), value=st.floats(-10, 10))
@settings(deadline=None)
def test_one_population_has_no_scatter(seed, value):
    rng = np.random.default_rng(seed)
    x, values = np.zeros((3, 5)), rng.normal(size=5)
    values[2] = value
    x[:, 2] = rng.random(3) + 0.1
    np.testing.assert_allclose(component_scatters(x, values), 0.0, atol=1e-6)
    np.testing.assert_allclose(spaxel_scatters(np.ones((2, 3)), x, values), 0.0, atol=1e-6)
    np.testing.assert_allclose(spaxel_means(np.ones((2, 3)), x, values), value, atol=1e-12)
