import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubefit.errors import ConfigError, InputError
from cubefit.prepare.resolution import LineSpread, matching_sigma_px, smoothed

seeds = st.integers(0, 2**32 - 1)


def band_limited(seed, size, n_spectra=2):
    """Return spectra of a few waves, which look the same in a mirror at their ends."""
    rng = np.random.default_rng(seed)
    waves = rng.uniform(0.2, 1.0, (size // 4, n_spectra)) * rng.choice([-1, 1], (size // 4, 1))
    phase = np.pi * (np.arange(size) + 0.5) / size
    return 2.0 * size + np.cos(np.outer(phase, np.arange(1, size // 4 + 1))) @ waves


def by_quadrature(flux, sigma_px):
    """Convolve with a Gaussian, pixel by pixel, by sums over samples 0.05 pixels apart.

    The spectrum between pixels is the sum of waves that runs through them.
    """
    size = flux.shape[0]
    n = np.arange(size)
    basis = np.cos(np.pi * np.outer(n + 0.5, n) / size)
    waves = np.linalg.solve(basis, flux)
    result = np.empty_like(flux)
    for pixel, sigma in enumerate(sigma_px):
        if sigma == 0:
            result[pixel] = flux[pixel]
            continue
        offsets = np.linspace(-8 * sigma, 8 * sigma, 2001)
        kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
        at = np.cos(np.pi * np.outer(pixel + offsets + 0.5, n) / size) @ waves
        result[pixel] = kernel @ at / kernel.sum()
    return result


# --- smoothing -------------------------------------------------------------------------------


@given(seed=seeds, widest=st.floats(0.05, 12.0))
def test_each_pixel_is_smoothed_by_its_own_gaussian(seed, widest):
    flux = band_limited(seed, 64)
    sigma = np.random.default_rng(seed).uniform(0.0, widest, 64)
    sigma[::7] = 0.0
    np.testing.assert_allclose(smoothed(flux, sigma), by_quadrature(flux, sigma), rtol=1e-9)


@given(seed=seeds, size=st.integers(2, 200))
def test_no_width_changes_nothing(seed, size):
    flux = np.random.default_rng(seed).random((size, 2, 3))
    np.testing.assert_array_equal(smoothed(flux, np.zeros(size)), flux)


@given(seed=seeds, size=st.integers(2, 200), widest=st.floats(0.0, 50.0))
def test_even_spectra_stay_even(seed, size, widest):
    sigma = np.random.default_rng(seed).uniform(0.0, widest, size)
    np.testing.assert_allclose(smoothed(np.full((size, 2), 3.0), sigma), 3.0, rtol=1e-11)


@given(seed=seeds, size=st.integers(2, 200), sigma=st.floats(0.0, 50.0))
def test_one_width_conserves_flux(seed, size, sigma):
    flux = np.random.default_rng(seed).random((size, 2))
    found = smoothed(flux, np.full(size, sigma))
    np.testing.assert_allclose(found.sum(axis=0), flux.sum(axis=0), rtol=1e-11)


@given(seed=seeds, one=st.floats(0.0, 8.0), other=st.floats(0.0, 8.0))
def test_widths_add_in_quadrature(seed, one, other):
    flux = np.random.default_rng(seed).random((100, 2))
    twice = smoothed(smoothed(flux, np.full(100, one)), np.full(100, other))
    np.testing.assert_allclose(
        twice, smoothed(flux, np.full(100, math.hypot(one, other))), atol=1e-9
    )


@given(seed=seeds, scale=st.floats(1e-20, 1e20))
def test_smoothing_is_linear(seed, scale):
    rng = np.random.default_rng(seed)
    flux, sigma = rng.random((80, 2)), rng.uniform(0.0, 3.0, 80)
    np.testing.assert_allclose(
        smoothed(scale * flux, sigma), scale * smoothed(flux, sigma), rtol=1e-10, atol=1e-10 * scale
    )
    np.testing.assert_allclose(
        smoothed(flux[:, :1] + flux[:, 1:], sigma)[:, 0],
        smoothed(flux, sigma).sum(axis=1),
        rtol=1e-10,
    )


@pytest.mark.parametrize("sigma", [0.4, 1.0, 5.0])
def test_a_line_gets_the_width_and_stays_where_it_is(sigma):
    pixels = np.arange(400.0)
    line = np.exp(-0.5 * ((pixels - 180.3) / 2.0) ** 2)
    found = smoothed(line, np.full(400, sigma))
    centre = np.average(pixels, weights=found)
    width = math.sqrt(np.average((pixels - centre) ** 2, weights=found))
    assert centre == pytest.approx(180.3, abs=1e-6)
    assert width == pytest.approx(math.hypot(2.0, sigma), rel=1e-6)


def test_smoothing_is_felt_only_nearby():
    step = np.where(np.arange(600) < 300, 1.0, 2.0)
    sigma = np.where(np.arange(600) < 100, 0.0, 4.0)
    found = smoothed(step, sigma)
    np.testing.assert_array_equal(found[:100], 1.0)
    np.testing.assert_allclose(found[100:260], 1.0, atol=1e-9)
    np.testing.assert_allclose(found[340:], 2.0, atol=1e-9)


@pytest.mark.parametrize(
    "sigma", [np.ones(9), -np.ones(10), np.full(10, np.nan), np.full(10, np.inf), 1.0]
)
def test_impossible_widths_are_refused(sigma):
    with pytest.raises(InputError, match="for each pixel"):
        smoothed(np.ones((10, 2)), sigma)


# --- matching --------------------------------------------------------------------------------

WAVE = np.linspace(4800.0, 9300.0, 1001)


@given(have=st.floats(0.1, 4.0), more=st.floats(0.0, 4.0))
def test_matching_adds_in_quadrature_to_the_instrument(have, more):
    want = have + more
    sigma_px, coarser = matching_sigma_px(WAVE, have, want)
    assert coarser is None
    fwhm_added = sigma_px * 4.5 * math.sqrt(8 * math.log(2))
    np.testing.assert_allclose(np.hypot(have, fwhm_added), want, rtol=1e-12)


def test_muse_against_miles_is_smoothed_where_it_is_coarser_and_reported_where_it_is_not():
    sigma_px, (first, last) = matching_sigma_px(WAVE, 2.51, LineSpread.named("muse")(WAVE))
    assert (sigma_px[(first <= WAVE) & (last >= WAVE)] == 0).all()
    assert (sigma_px[(first > WAVE) | (last < WAVE)] > 0).all()
    assert 6755 < first < 6770
    assert 8890 < last < 8905


def test_coarse_templates_are_refused_in_the_range_of_the_data_only():
    have = np.where(WAVE > 8950.0, 4.2, 2.51)
    with pytest.raises(
        InputError, match=r"from 89\d\d to 9300 A .*by 67 %.*resolution = \"as given"
    ):
        matching_sigma_px(WAVE, have, 2.51)
    sigma_px, coarser = matching_sigma_px(WAVE, have, 2.51, within=(4800.0, 8900.0))
    assert coarser is None
    assert not sigma_px.any()


def test_equal_resolution_but_for_rounding_is_no_difference():
    sigma_px, coarser = matching_sigma_px(WAVE, 2.51, 2.51 * (1 - 1e-12))
    assert coarser is None
    assert not sigma_px.any()


# --- line spread -----------------------------------------------------------------------------


def test_muse_is_as_published():
    muse = LineSpread.named("muse")
    assert muse(5000.0) == pytest.approx(5.866e-8 * 25e6 - 9.187e-4 * 5000 + 6.040)
    assert muse([4750.0, 9300.0]).shape == (2,)
    with pytest.raises(InputError, match="known from 4590"):
        muse(4000.0)


def test_a_table_is_interpolated_and_ends_where_it_ends():
    spread = LineSpread.table([5000.0, 6000.0, 8000.0], [3.0, 2.0, 4.0])
    np.testing.assert_allclose(spread([5000.0, 5500.0, 7000.0, 8000.0]), [3.0, 2.5, 3.0, 4.0])
    for outside in (4999.0, 8001.0, np.nan):
        with pytest.raises(InputError, match="known from 5000"):
            spread([6000.0, outside])


def test_the_ends_of_a_table_can_be_held_a_little_longer():
    spread = LineSpread.table([5000.0, 6000.0], [3.0, 2.0], name="a cube").held_beyond(1.0)
    np.testing.assert_allclose(spread([4999.0, 5500.0, 6001.0]), [3.0, 2.5, 2.0])
    with pytest.raises(InputError, match=r"line spread of a cube is known from 4999\.0 to 6001\.0"):
        spread(4998.0)
    with pytest.raises(ConfigError, match="only tables end"):
        LineSpread.constant(2.5).held_beyond(1.0)


@pytest.mark.parametrize(
    "spread",
    [
        LineSpread.constant(2.5),
        LineSpread.polynomial((6.0, -9e-4, 6e-8)),
        LineSpread.table([4000.0, 10_000.0], [3.0, 2.0]),
    ],
)
@given(z=st.floats(-0.05, 0.3))
def test_the_rest_frame_shrinks_wavelengths_and_widths(spread, z):
    rest = spread.at_redshift(z)
    wave = np.linspace(5000.0, 7000.0, 7)
    np.testing.assert_allclose(rest(wave), spread(wave * (1 + z)) / (1 + z), rtol=1e-12)
    back = rest.at_redshift(1 / (1 + z) - 1)
    np.testing.assert_allclose(back(wave), spread(wave), rtol=1e-12)
    low, high = spread.wave_range
    assert rest.wave_range == pytest.approx((low / (1 + z), high / (1 + z)))


def test_ends_of_the_rest_frame_are_inside_whatever_the_rounding():
    spread = LineSpread.table([4750.0, 9300.0], [3.0, 2.0])
    for z in np.linspace(0.0, 0.1, 101):
        rest = spread.at_redshift(float(z))
        assert rest(np.array(rest.wave_range)).shape == (2,)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: LineSpread.named("sauron"), ConfigError, "'sauron' is unknown"),
        (lambda: LineSpread.constant(0.0), ConfigError, "above 0"),
        (lambda: LineSpread.constant(math.nan), ConfigError, "finite"),
        (lambda: LineSpread.polynomial(()), ConfigError, "one or more"),
        (lambda: LineSpread.polynomial((1.0, -1e-3))(2000.0), InputError, "falls to -1"),
        (lambda: LineSpread.constant(2.0).at_redshift(-1.0), ConfigError, "above -1"),
        (lambda: LineSpread.table([2.0, 1.0], [1.0, 1.0]), InputError, "increase"),
        (lambda: LineSpread.table([1.0, 2.0], [1.0, 0.0]), InputError, "above 0"),
        (lambda: LineSpread.table([1.0, 2.0], [1.0]), InputError, "one length"),
        (lambda: LineSpread.table([1.0], [1.0]), InputError, "2 or more"),
    ],
)
def test_impossible_line_spreads_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
