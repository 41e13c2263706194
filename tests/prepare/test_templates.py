import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import erf

from cubefit.errors import ConfigError, GridError, InputError
from cubefit.prepare.air import air_to_vacuum, vacuum_to_air
from cubefit.prepare.resolution import FWHM_PER_SIGMA, LineSpread
from cubefit.prepare.ssp_library import SSPLibrary
from cubefit.prepare.templates import needed_wave_range, prepared_templates, template_ln_grid
from cubefit.spectra.grids import edges_between, edges_of, require_cover, step_of

LINES = (4861.33, 5015.7, 5175.0, 5270.0)
SIGMA = 2.5 / math.sqrt(8 * math.log(2))
OBS = np.log(4800.0) + 2e-4 * np.arange(550)


def spectrum(edges, sigma=SIGMA):
    """Return lines of one width on a slope, averaged over pixels."""
    flux = 2.0 + 1e-4 * (0.5 * (edges[1:] + edges[:-1]) - 5000.0)
    for line in LINES:
        profile = np.diff(erf((edges - line) / (math.sqrt(2) * sigma))) / np.diff(edges)
        flux = flux - 0.8 * SIGMA * math.sqrt(math.pi / 2) * profile
    return flux


def library_on(wave, **changes):
    scale = np.array([[1.0, 3.0, 0.2], [2.0, 5.0, 0.1]])[..., None]
    arrays = {
        "templates": spectrum(edges_between(wave))[:, None, None, None] * scale,
        "wave": wave,
        "metals": np.array([-0.4, 0.2]),
        "ages": np.array([1.0, 3.0, 10.0]),
        "alphas": np.zeros(1),
        "masses": np.array([[0.9, 0.8, 0.7], [0.85, 0.75, 0.65]])[..., None],
        # As measured on the library's pixels: 2.5 before they averaged the lines.
        "fwhm": FWHM_PER_SIGMA * np.hypot(2.5 / FWHM_PER_SIGMA, np.gradient(wave) / math.sqrt(12)),
        "medium": "air",
        "source": "lines",
    }
    return SSPLibrary(**(arrays | changes))


@pytest.fixture
def library():
    return library_on(np.arange(4600.0, 5600.0, 0.9))


@pytest.fixture
def ln_wave():
    return template_ln_grid(OBS, guard_px=60)


# --- the grid --------------------------------------------------------------------------------


@given(
    oversampling=st.integers(1, 5),
    low=st.floats(-3000.0, 0.0),
    high=st.floats(0.0, 3000.0),
    size=st.integers(2, 100),
)
def test_the_grid_covers_the_data_and_the_velocities(oversampling, low, high, size):
    observed = OBS[:size]
    grid = template_ln_grid(observed, oversampling=oversampling, guard_kms=(low, high))
    assert step_of(grid) == pytest.approx(2e-4 / oversampling, rel=1e-9)
    cover = require_cover(grid, observed, (low, high))
    assert 64 < cover.spare_px < 69
    place = (observed - grid[0]) / step_of(grid)
    np.testing.assert_allclose(place, np.round(place), atol=1e-6)


def test_the_guard_in_pixels_is_counted_from_the_centres():
    grid = template_ln_grid(OBS, oversampling=2, guard_px=90)
    assert grid.size == 2 * (OBS.size - 1) + 1 + 180
    np.testing.assert_allclose(grid[90:-90:2], OBS, rtol=1e-12)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, ConfigError, "Give one of"),
        ({"guard_px": 3, "guard_kms": (-1.0, 1.0)}, ConfigError, "Give one of"),
        ({"guard_px": -1}, ConfigError, "guard_px"),
        ({"guard_px": 1, "oversampling": 0}, ConfigError, "oversampling"),
        ({"guard_kms": (300.0, -300.0)}, ConfigError, "lowest velocity first"),
    ],
)
def test_impossible_grids_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        template_ln_grid(OBS, **options)


def test_a_grid_of_angstrom_is_refused():
    with pytest.raises(GridError, match="looks like Angstrom"):
        template_ln_grid(np.exp(OBS), guard_px=3)


def test_the_needed_range_is_that_of_the_edges_in_the_library_s_medium(ln_wave):
    edges = np.exp(edges_of(ln_wave)[[0, -1]])
    options = {"medium": "vacuum", "library_medium": "air"}
    assert needed_wave_range(ln_wave, **options) == pytest.approx(tuple(vacuum_to_air(edges)))
    wide = needed_wave_range(ln_wave, **options, widest_fwhm=3.0)
    assert wide == pytest.approx((vacuum_to_air(edges[0]) - 12.0, vacuum_to_air(edges[1]) + 12.0))


# --- flux, media, resolution -----------------------------------------------------------------


def test_spectra_arrive_on_the_grid(library, ln_wave):
    grid = prepared_templates(library, ln_wave, medium="air", normalization="mass")
    expected = spectrum(np.exp(edges_of(ln_wave)))
    np.testing.assert_allclose(
        grid.templates[:, 0, 0, 0] * grid.divisor[0, 0, 0], expected, atol=8e-3
    )  # a percent of a line as narrow as its pixels are wide
    np.testing.assert_array_equal(grid.ln_wave, ln_wave)
    assert grid.resolution == "as the library gives it"
    assert (grid.medium, grid.source, grid.coarser) == ("air", "lines", None)


@pytest.mark.parametrize(("have", "want"), [("air", "vacuum"), ("vacuum", "air"), ("air", "air")])
def test_lines_stand_where_the_data_have_them_and_flux_is_kept(library, ln_wave, have, want):
    library = replace(library, medium=have)
    grid = prepared_templates(library, ln_wave, medium=want, normalization="mass")
    convert = {("air", "vacuum"): air_to_vacuum, ("vacuum", "air"): vacuum_to_air}.get(
        (have, want), np.asarray
    )
    for line in LINES:
        near = np.abs(np.exp(ln_wave) - float(convert(line))) < 8.0
        depth = 2.2 - grid.templates[near, 0, 0, 0] * grid.divisor[0, 0, 0]
        depth -= np.linspace(depth[0], depth[-1], depth.size)
        centre = np.average(np.exp(ln_wave[near]), weights=depth)
        assert centre == pytest.approx(float(convert(line)), abs=0.02)
    # Flux between two edges of the library, known there exactly.
    first, last = np.searchsorted(library.wave_edges, [4850.0, 5350.0])
    ends = np.log(convert(library.wave_edges[[first, last]]))
    even = np.linspace(ends[0], ends[1], 1001)
    found = prepared_templates(
        library, 0.5 * (even[1:] + even[:-1]), medium=want, normalization="mass"
    )
    total = np.diff(np.exp(even)) @ (found.templates * found.divisor)[:, 1, 0, 0]
    widths = np.diff(library.wave_edges)[first:last]
    assert total == pytest.approx(widths @ library.templates[first:last, 1, 0, 0], rel=1e-7)


@pytest.mark.parametrize("redshift", [0.0, 0.05])
def test_lines_get_the_width_of_the_instrument(library, ln_wave, redshift):
    instrument = LineSpread.polynomial((4.2, -1e-4)).at_redshift(redshift)
    grid = prepared_templates(
        library, ln_wave, medium="air", line_spread=instrument, normalization="mass"
    )
    wave = np.exp(ln_wave)
    for line in LINES:
        fwhm = (4.2 - 1e-4 * line * (1 + redshift)) / (1 + redshift)
        expected = spectrum(np.exp(edges_of(ln_wave)), fwhm / math.sqrt(8 * math.log(2)))
        near = np.abs(wave - line) < 8.0
        found = grid.templates[near, 0, 0, 0] * grid.divisor[0, 0, 0]
        np.testing.assert_allclose(found, expected[near], atol=1.5e-3)
    assert "smoothed to that of polynomial" in grid.resolution


def test_pixels_of_the_data_are_not_counted_twice(library, ln_wave):
    """A line spread measured on pixels holds their averaging, which models do themselves."""
    true = LineSpread.constant(4.0)
    measured = LineSpread.constant(math.hypot(4.0, FWHM_PER_SIGMA * 1.25 / math.sqrt(12)))
    options = {"medium": "air", "normalization": "mass"}
    one, two = (
        prepared_templates(library, ln_wave, line_spread=spread, **options).templates
        for spread in (true, measured.without_pixel(1.25))
    )
    np.testing.assert_allclose(one, two, rtol=1e-9)
    z = 0.1
    assert float(measured.without_pixel(1.25).at_redshift(z)(4800.0)) == pytest.approx(4.0 / 1.1)


def test_uneven_pixels_are_smoothed_as_even_ones(library, ln_wave):
    # Steps of 0.9 Angstrom, then of 0.45: as where libraries of stars are joined.
    wave = np.concatenate([np.arange(4600.0, 5010.0, 0.9), np.arange(5010.0, 5600.0, 0.45)])
    options = {"medium": "air", "line_spread": LineSpread.constant(5.0), "normalization": "mass"}
    found = prepared_templates(library_on(wave), ln_wave, **options)
    expected = prepared_templates(library, ln_wave, **options)
    np.testing.assert_allclose(found.templates, expected.templates, rtol=1e-3)
    wide = prepared_templates(library_on(wave[:], fwhm=library_on(wave).fwhm), ln_wave, **options)
    np.testing.assert_allclose(wide.templates, found.templates, rtol=1e-12)


def test_the_guard_takes_the_line_spread_of_the_ends_of_the_data(library, ln_wave):
    ends = (4900.0, 5200.0)
    table = LineSpread.table(ends, (3.0, 3.5))
    with pytest.raises(InputError, match="known from 4900"):
        prepared_templates(library, ln_wave, medium="air", line_spread=table)
    grid = prepared_templates(library, ln_wave, medium="air", line_spread=table, data_range=ends)
    even = prepared_templates(
        library, ln_wave, medium="air", line_spread=LineSpread.constant(3.5), data_range=ends
    )
    red = np.exp(ln_wave) > 5215.0
    np.testing.assert_allclose(
        (grid.templates * grid.divisor)[red], (even.templates * even.divisor)[red], rtol=1e-9
    )


def test_equal_resolution_leaves_templates_as_they_are(library, ln_wave):
    plain = prepared_templates(library, ln_wave, medium="air")
    matched = prepared_templates(
        library, ln_wave, medium="air", line_spread=LineSpread.constant(2.5)
    )
    np.testing.assert_allclose(matched.templates, plain.templates, rtol=1e-12)


def test_what_lies_beyond_does_not_matter(library, ln_wave):
    low, high = needed_wave_range(ln_wave, medium="air", library_medium="air", widest_fwhm=4.0)
    options = {"medium": "air", "line_spread": LineSpread.constant(4.0)}
    whole = prepared_templates(library, ln_wave, **options)
    part = prepared_templates(library.trimmed((low, high)), ln_wave, **options)
    np.testing.assert_allclose(part.templates, whole.templates, rtol=1e-9)


def test_coarse_templates_are_refused_or_reported(library, ln_wave):
    with pytest.raises(InputError, match="coarser than the data"):
        prepared_templates(library, ln_wave, medium="air", line_spread=LineSpread.constant(2.0))
    grid = prepared_templates(library, ln_wave, medium="air", line_spread=LineSpread.constant(2.4))
    assert grid.coarser == pytest.approx((np.exp(ln_wave[0]), np.exp(ln_wave[-1])), abs=1.0)
    assert ("templates coarser than the data") in dict(grid.rows())


def test_unknown_resolution_is_refused_where_it_matters(library, ln_wave):
    unknown = replace(library, fwhm=None)
    prepared_templates(unknown, ln_wave, medium="air")
    with pytest.raises(InputError, match="says nothing of its resolution"):
        prepared_templates(unknown, ln_wave, medium="air", line_spread=LineSpread.constant(3.0))


# --- normalisation and masses ----------------------------------------------------------------


def test_light_weights_are_light(library, ln_wave):
    grid = prepared_templates(library, ln_wave, medium="air", data_range=(4800.0, 5300.0))
    wave = np.exp(ln_wave)
    inside = (wave >= 4800.0) & (wave <= 5300.0)
    widths = np.diff(np.exp(edges_of(ln_wave)))[inside]
    mean = np.average(grid.templates[inside], axis=0, weights=widths)
    np.testing.assert_allclose(mean, 1.0, rtol=1e-12)
    np.testing.assert_array_equal(grid.divisor, grid.light)
    np.testing.assert_allclose(grid.light[0, 1] / grid.light[0, 0], 3.0, rtol=1e-12)
    assert grid.norm_range == (4800.0, 5300.0)


def test_mass_weights_keep_ratios(library, ln_wave):
    grid = prepared_templates(library, ln_wave, medium="air", normalization="mass")
    assert np.median(grid.templates) == pytest.approx(1.0, rel=1e-12)
    assert np.unique(grid.divisor).size == 1
    np.testing.assert_allclose(grid.templates[:, 1, 1] / grid.templates[:, 0, 0], 5.0, rtol=1e-9)


@pytest.mark.parametrize("normalization", ["light", "mass"])
@given(weights=st.lists(st.just(0.0) | st.floats(1e-6, 1e6), min_size=6, max_size=6))
def test_masses_and_light_of_a_mixture_do_not_depend_on_the_normalisation(normalization, weights):
    library = library_on(np.arange(4600.0, 5600.0, 0.9))
    ln_wave = template_ln_grid(OBS, guard_px=60)
    grid = prepared_templates(library, ln_wave, medium="air", normalization=normalization)
    original = np.reshape(weights, (2, 3, 1))
    x = original * grid.divisor
    assert (x * grid.masses).sum() == pytest.approx((original * library.masses).sum(), rel=1e-9)
    spectra = (grid.templates * x).sum(axis=(1, 2, 3))
    expected = (grid.templates * grid.divisor * original).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(spectra, expected, rtol=1e-12)
    assert grid.mass_kind == "stars and remnants"


@pytest.mark.parametrize("normalization", ["light", "mass"])
def test_mass_to_light_is_that_of_the_library(library, ln_wave, normalization):
    grid = prepared_templates(library, ln_wave, medium="air", normalization=normalization)
    np.testing.assert_allclose(grid.mass_to_light, library.masses / grid.light, rtol=1e-12)


def test_without_masses_they_count_what_was_formed(library, ln_wave):
    grid = prepared_templates(replace(library, masses=None), ln_wave, medium="air")
    np.testing.assert_allclose(grid.masses, 1.0 / grid.light, rtol=1e-12)
    assert grid.mass_kind == "formed"


@pytest.mark.parametrize("normalization", ["light", "mass"])
def test_templates_without_stars_somewhere_are_named(library, ln_wave, normalization):
    dark = library.templates.copy()
    dark[(library.wave > 5000.0) & (library.wave < 5020.0), 0, 2] = 0.0
    library = replace(library, templates=dark)
    options = {"medium": "air", "normalization": normalization}
    with pytest.raises(
        InputError,
        match=r"1 templates are zero within 500\d\.\d-50[12]\d.*M/H\]=-0.40, age 10.0000",
    ):
        prepared_templates(library, ln_wave, **options)
    prepared_templates(library.cut(ages=(1.0, 3.0)), ln_wave, **options)


def test_the_ultraviolet_may_be_dark_but_not_the_norm():
    wave = np.arange(2200.0, 2800.0, 0.9)
    flux = np.ones((wave.size, 2, 3, 1))
    flux[wave < 2500.0, 0, 2] = 0.0
    library = library_on(wave, templates=flux)
    ln_wave = template_ln_grid(np.log(2300.0) + 2e-4 * np.arange(600), guard_px=60)
    grid = prepared_templates(library, ln_wave, medium="air", normalization="mass")
    assert (grid.templates >= 0).all()
    with pytest.raises(InputError, match=r"1 templates send no light .*M/H\]=-0.40, age 10.0000"):
        prepared_templates(library, ln_wave, medium="air", norm_range=(2320.0, 2400.0))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"medium": "water"}, ConfigError, "'air' or 'vacuum'"),
        ({"normalization": "age"}, ConfigError, "'light', 'mass'"),
        ({"data_range": (5300.0, 4900.0)}, GridError, "data_range"),
        ({"data_range": (4000.0, 4900.0)}, GridError, "no range inside the templates'"),
        ({"norm_range": (5000.0, 9000.0)}, GridError, "norm_range"),
        ({"norm_range": (5000.0, 5000.01)}, GridError, "holds no pixel"),
    ],
)
def test_impossible_settings_are_refused(library, ln_wave, options, error, message):
    with pytest.raises(error, match=message):
        prepared_templates(library, ln_wave, **({"medium": "air"} | options))


def test_a_library_that_is_too_narrow_is_refused(library):
    with pytest.raises(GridError, match=r"lines covers 4599\.6-.* narrow the range"):
        prepared_templates(library, template_ln_grid(OBS, guard_px=600), medium="air")


def test_what_was_done_is_told_in_words(library, ln_wave):
    told = dict(prepared_templates(library, ln_wave, medium="air").rows())
    assert told["library"] == "lines"
    assert told["weights"].startswith("light (mean of each is 1 in 4")
    assert told["masses"] == "stars and remnants"
