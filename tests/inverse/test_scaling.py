import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from cubefit.inverse.scaling import OPERAND_FLOOR, order_one, power_of_two

TINIEST, LARGEST = (float(getattr(np.finfo(np.float32), n)) for n in ("smallest_subnormal", "max"))
values = arrays(np.float64, array_shapes(max_dims=3, max_side=4), elements=st.floats(-1e300, 1e300))


@given(values=values)
@settings(deadline=None)
def test_scaled_values_are_order_one_and_scale_back(values):
    scaled, scale = order_one(values, np.float64)
    assert scaled.shape == values.shape
    assert scaled.flags.c_contiguous
    largest = np.abs(values).max()
    assert (largest == 0 and scale == 1.0) or 1.0 <= np.abs(scaled).max() < 2.0
    assert np.frexp(scale)[0] == 0.5
    kept = np.abs(values) >= OPERAND_FLOOR * scale
    np.testing.assert_array_equal((scaled * scale)[kept], values[kept])
    assert not scaled[~kept].any()


@given(value=st.floats(TINIEST, LARGEST, width=32), dtype=st.sampled_from([np.float32, np.float64]))
@settings(deadline=None)
def test_scaling_float32_is_exact(value, dtype):
    scaled, scale = order_one(np.array([value], np.float32), dtype)
    assert scaled.dtype == dtype
    assert 1.0 <= scaled[0] < 2.0
    assert float(scaled[0]) * scale == value


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([0.0], 1.0), ([], 1.0), ([3.0], 2.0), ([-5.0, 1.0], 4.0), ([1.0], 1.0), ([0.75], 0.5),
        ([5e-324], 5e-324), ([1.7e308], 2.0**1023),
    ],
)  # fmt: skip
def test_power_of_two(values, scale):
    assert power_of_two(np.array(values)) == scale


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.int8, np.float16])
def test_other_types_are_scaled_as_well(dtype):
    scaled, scale = order_one(np.array([[3, 5], [0, 100]], dtype), np.float32)
    np.testing.assert_array_equal(scaled * scale, [[3, 5], [0, 100]])


def test_what_is_given_stays_and_order_is_c():
    values = np.asfortranarray([[1.0, 4.0], [1e-30, 2.0]])
    scaled, _ = order_one(values, np.float32)
    assert scaled.flags.c_contiguous
    np.testing.assert_array_equal(values, [[1.0, 4.0], [1e-30, 2.0]])
    np.testing.assert_array_equal(scaled, [[0.25, 1.0], [0.0, 0.5]])


def test_the_floor_is_relative_to_the_largest():
    scaled, _ = order_one(np.array([1.0, 1e-3, 1e-5]) * 1e-30, np.float32, 1e-4)
    np.testing.assert_allclose(scaled != 0, [True, True, False])
