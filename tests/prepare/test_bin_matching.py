import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubefit.errors import ConfigError, InputError
from cubefit.prepare.bin_matching import bin_of_pixels, pixel_size

seeds = st.integers(0, 2**32 - 1)


def image(nx, ny, step=0.2, centre=(0.0, 0.0)):
    y, x = np.indices((ny, nx))
    return (
        step * (x.ravel() - 0.5 * (nx - 1)) + centre[0],
        step * (y.ravel() - 0.5 * (ny - 1)) + centre[1],
    )


@given(seed=seeds, noise=st.floats(0.0, 0.04))
def test_every_pixel_gets_the_bin_of_its_own_place(seed, noise):
    rng = np.random.default_rng(seed)
    x, y = image(7, 5)
    binnum = np.concatenate((np.arange(4), rng.integers(-1, 4, 31)))
    order = rng.permutation(35)
    moved = noise * rng.uniform(-1, 1, (2, 35))
    found = bin_of_pixels(x, y, (x + moved[0])[order], (y + moved[1])[order], binnum[order])
    np.testing.assert_array_equal(found, binnum)
    assert found.dtype == np.int32


def test_pixels_beyond_the_map_are_in_no_bin():
    x, y = image(9, 9)
    x_bins, y_bins = image(3, 3)
    found = bin_of_pixels(x, y, x_bins, y_bins, np.arange(9)).reshape(9, 9)
    np.testing.assert_array_equal(found[3:6, 3:6].ravel(), np.arange(9))
    assert (found >= 0).sum() == 9


def test_negative_ids_of_any_kind_are_in_no_bin():
    x, y = image(2, 2)
    found = bin_of_pixels(x, y, x, y, np.array([0, -1, -7, 1]))
    assert found.tolist() == [0, -1, -1, 1]


def test_a_shifted_map_is_refused_with_the_shift():
    x, y = image(6, 6)
    x_bins, y_bins = image(6, 6, centre=(3.0, -2.0))
    with pytest.raises(InputError, match=r"36 of 36 bins .*moved by \(3, -2\) all bins have") as e:
        bin_of_pixels(x, y, x_bins, y_bins, np.arange(36))
    assert "x -0.5 to 0.5 and y -0.5 to 0.5" in str(e.value)


def test_a_mirrored_map_is_refused_with_the_axis():
    x, y = image(8, 6, centre=(1.2, 0.0))
    x_bins, y_bins = -x, y
    with pytest.raises(InputError, match="after this change of the cube: x mirrored"):
        bin_of_pixels(x, y, x_bins, y_bins, np.arange(48))


def test_a_map_of_smaller_pixels_needs_a_tolerance():
    x, y = image(4, 4, step=1.0)
    x_bins, y_bins = image(16, 16, step=0.25)
    binnum = np.arange(256) // 64
    with pytest.raises(InputError, match="a larger tolerance"):
        bin_of_pixels(x, y, *image(40, 40, step=0.1, centre=(0.013, 0.0)), np.arange(1600))
    found = bin_of_pixels(x, y, x_bins, y_bins, binnum, tolerance=0.4)
    np.testing.assert_array_equal(found, np.arange(16) // 4)


def test_the_size_of_a_pixel_is_its_neighbours_distance():
    assert pixel_size(*image(5, 4, step=0.3)) == pytest.approx(0.3)


def test_refuses_what_does_not_fit():
    x, y = image(2, 2)
    binnum = np.arange(4)
    with pytest.raises(InputError, match=r"x_bins, y_bins have shapes \(4,\), \(3,\)"):
        bin_of_pixels(x, y, x, y[:3], binnum)
    with pytest.raises(InputError, match="not finite"):
        bin_of_pixels(x, np.full(4, np.nan), x, y, binnum)
    with pytest.raises(InputError, match="give the tolerance"):
        bin_of_pixels(x, y, x[:1], y[:1], binnum[:1])
    with pytest.raises(InputError, match="without gaps"):
        bin_of_pixels(x, y, x, y, np.array([0, 2, 2, 2]))
    with pytest.raises(ConfigError, match="tolerance=0"):
        bin_of_pixels(x, y, x, y, binnum, tolerance=0.0)
