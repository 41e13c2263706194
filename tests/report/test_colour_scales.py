import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import LogNorm, Normalize, rgb_to_hsv

from cubefit.report.colour_scales import (
    DIVERGING,
    EMPTY_COLOUR,
    SEQUENTIAL,
    colour_map,
    colour_norm,
    robust_limits,
    round_ages,
    shown,
)

SMOOTH = np.linspace(2.0, 3.0, 200)


def luminance(name):
    rgb = mpl.colormaps[name](np.linspace(0.0, 1.0, 64))[:, :3]
    return rgb @ [0.2126, 0.7152, 0.0722]


def test_limits_hold_everything_without_outliers():
    assert robust_limits(SMOOTH) == (2.0, 3.0, "neither")


@pytest.mark.parametrize(
    ("outlier", "extend"), [([50.0], "max"), ([-50.0], "min"), ([50.0, -50.0], "both")]
)
def test_outliers_leave_the_limits_and_the_colour_bar_says_so(outlier, extend):
    low, high, found = robust_limits(np.append(SMOOTH, outlier))
    assert found == extend
    assert 1.9 < low < high < 3.1


def test_nan_drives_no_limits():
    assert robust_limits(np.append(SMOOTH, np.nan)) == (2.0, 3.0, "neither")
    assert robust_limits(np.full(3, np.nan)) == (0.0, 1.0, "neither")


def test_a_constant_has_room():
    low, high, _ = robust_limits(np.full(5, 4.0))
    assert low < 4.0 < high


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40))
def test_signed_scales_are_even_about_zero(values):
    norm, extend = colour_norm(np.array(values), "signed")
    assert norm.vmin == -norm.vmax < 0
    beyond = np.abs(values) > norm.vmax
    assert beyond.any() == (extend != "neither")


def test_light_of_decades_is_logarithmic_and_of_less_is_not():
    norm, extend = colour_norm(np.geomspace(1e-3, 1.0, 50), "log")
    assert isinstance(norm, LogNorm)
    assert (norm.vmin, norm.vmax) == pytest.approx((1e-3, 1.0))
    assert extend == "neither"
    norm, _ = colour_norm(np.linspace(1.0, 5.0, 50), "log")
    assert type(norm) is Normalize


def test_hardly_any_light_takes_no_decades():
    norm, extend = colour_norm(np.geomspace(1e-12, 1.0, 50), "log")
    assert norm.vmin == pytest.approx(1e-5)
    assert extend == "min"


def test_no_light_is_darkest_and_not_empty():
    values = np.append(np.geomspace(1e-3, 1.0, 50), [0.0, np.nan])
    norm, extend = colour_norm(values, "log")
    drawn = shown(values, norm)
    assert extend == "min"
    np.testing.assert_array_equal(drawn[:50], values[:50])
    assert 0 < drawn[50] < norm.vmin
    assert np.isnan(drawn[51])


def test_colours_keep_their_order_in_print():
    assert (np.diff(luminance(SEQUENTIAL)) > 0).all()
    halves = luminance(DIVERGING)
    assert (np.diff(halves[:30]) > 0).all()
    assert (np.diff(halves[-30:]) < 0).all()
    hue = rgb_to_hsv(mpl.colormaps[DIVERGING]([0.1, 0.9])[:, :3])[:, 0]
    assert abs(hue[0] - hue[1]) > 0.3  # blue against red, which all tell apart


def test_empty_pixels_are_grey():
    for scale in ("linear", "signed"):
        assert colour_map(scale).get_bad() == pytest.approx(mpl.colors.to_rgba(EMPTY_COLOUR))


@given(low=st.floats(-2.0, 1.2), span=st.floats(0.01, 3.0))
def test_ages_are_round_and_inside(low, span):
    ages = round_ages(low, low + span)
    assert 1 <= ages.size <= 12
    assert (np.diff(ages) > 0).all()
    assert 10.0**low * (1 - 1e-6) <= ages[0]
    assert ages[-1] <= 10.0 ** (low + span) * (1 + 1e-6)


def test_ages_of_a_library_are_the_usual_ones():
    np.testing.assert_allclose(round_ages(np.log10(0.06), np.log10(16.0)), [0.1, 1.0, 10.0])
    np.testing.assert_allclose(round_ages(np.log10(2.0), np.log10(12.0)), [2.0, 5.0, 10.0])
