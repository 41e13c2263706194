import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cubefit.inverse.means import component_masses, component_means


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
