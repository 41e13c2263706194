import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cubefit.errors import GridError
from cubefit.spectra.grids import (
    SPEED_OF_LIGHT_KMS,
    coverage,
    edges_of,
    ln_shift,
    require_cover,
    require_ln_wave,
    require_uniform,
    require_velocities,
    step_of,
    velocity_of_shift,
)

velocities = st.floats(-30_000.0, 30_000.0)
sizes = st.integers(2, 2000)


@given(velocity=velocities)
@settings(deadline=None)
def test_a_shift_is_ln_of_one_plus_v_over_c(velocity):
    assert float(ln_shift(velocity)) == pytest.approx(
        np.log1p(velocity / SPEED_OF_LIGHT_KMS), rel=1e-15, abs=0
    )
    assert float(velocity_of_shift(ln_shift(velocity))) == pytest.approx(velocity, rel=1e-12)


def test_receding_light_is_redder():
    assert ln_shift(100.0) > 0 > ln_shift(-100.0)
    np.testing.assert_array_equal(ln_shift([0, 0]), [0.0, 0.0])


@given(first=st.floats(5.5, 10.0), step=st.floats(1e-5, 1e-2), size=sizes)
@settings(deadline=None)
def test_edges_lie_half_a_step_around_each_centre(first, step, size):
    centres = first + step * np.arange(size)
    edges = edges_of(centres)
    assert edges.shape == (size + 1,)
    assert step_of(centres) == pytest.approx(step, rel=1e-9)
    np.testing.assert_allclose(0.5 * (edges[1:] + edges[:-1]), centres, rtol=1e-14)
    np.testing.assert_allclose(np.diff(edges), step, rtol=1e-8)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, ">f8", np.longdouble])
def test_any_real_type_makes_a_float64_grid(dtype):
    # MUSE: 1.25 A at 7000 A.
    given_grid = np.linspace(8.4, 8.4 + 723 * 1.6e-4, 724).astype(dtype)
    grid = require_ln_wave(given_grid, "obs_pix")
    assert grid.dtype == np.dtype(np.float64)
    np.testing.assert_array_equal(grid, given_grid.astype(np.float64))


def test_whole_numbers_make_a_velocity_grid():
    grid = require_velocities(range(-300, 301, 50), "vel_pix")
    assert grid.dtype == np.float64
    assert step_of(grid) == 50.0


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        ([[1.0, 2.0]], "one vector"),
        ([1.0], "one vector"),
        (5.0, "one vector"),
        ([], "one vector"),
        ([0.0, 1.0, np.nan], "NaN"),
        ([0.0, 1.0, np.inf], "infinite"),
        ([2.0, 1.0, 0.0], "does not increase"),
        ([1.0, 1.0, 1.0], "does not increase"),
        ([0.0, 1.0, 2.1, 3.0], "not uniform in km/s: element 2"),
        ([0.0, 2.0, 1.0, 3.0], "not uniform"),
    ],
)
def test_bad_grids_are_refused(grid, words):
    with pytest.raises(GridError, match=words):
        require_uniform(grid, "The grid", "km/s")


def test_a_grid_even_in_wavelength_is_not_even_in_ln_wave():
    with pytest.raises(GridError, match=r"not uniform in ln\(Angstrom\).*Rebin"):
        require_ln_wave(np.log(np.arange(4750.0, 5500.0, 1.25)), "obs_pix")


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        (np.arange(4750, 5500), "Angstrom.*np.log"),
        (np.log10(np.arange(4750.0, 5500.0)), "log10"),
    ],
)
def test_other_wavelength_units_are_recognised(grid, words):
    with pytest.raises(GridError, match=words):
        require_ln_wave(grid, "obs_pix")


def test_metres_per_second_are_recognised():
    with pytest.raises(GridError, match=r"m/s.*1000"):
        require_velocities(np.linspace(-5e5, 5e5, 21), "vel_pix")


def grids(blue_px, red_px, n_observed=10, width_px=1.5, dln=1e-4):
    """Return template and observed grids whose margins are so many template pixels."""
    n_templates = int(np.ceil(blue_px + red_px + n_observed * width_px)) + 1
    templates = 8.5 + dln * np.arange(n_templates)
    start = templates[0] + (blue_px + 0.5 * width_px) * dln
    observed = start + width_px * dln * np.arange(n_observed)
    return templates, observed


@given(blue=st.floats(0.0, 50.0), red=st.floats(0.0, 50.0), low=velocities, high=velocities)
@settings(deadline=None)
def test_margins_and_supports_are_in_template_pixels(blue, red, low, high):
    low, high = sorted((low, high))
    templates, observed = grids(blue, red)
    found = coverage(templates, observed, (low, high))
    assert found.dln == pytest.approx(1e-4)
    assert found.blue_margin_px == pytest.approx(blue, abs=1e-6)
    assert red - 1e-6 <= found.red_margin_px <= red + 1 + 1e-6
    assert found.blue_support_px == pytest.approx(max(np.log1p(high / SPEED_OF_LIGHT_KMS), 0) * 1e4)
    assert found.red_support_px == pytest.approx(max(-np.log1p(low / SPEED_OF_LIGHT_KMS), 0) * 1e4)
    assert found.spare_px == pytest.approx(
        min(
            found.blue_margin_px - found.blue_support_px, found.red_margin_px - found.red_support_px
        )
    )
    assert bool(found) is found.safe
    assert found.safe == (found.spare_px >= -1e-6)


def test_the_blue_margin_feeds_receding_and_the_red_margin_approaching_light():
    templates, observed = grids(blue_px=30, red_px=0)
    assert coverage(templates, observed, (0.0, 500.0)).safe
    assert not coverage(templates, observed, (-500.0, 0.0)).safe
    templates, observed = grids(blue_px=0, red_px=30)
    assert coverage(templates, observed, (-500.0, 0.0)).safe
    assert not coverage(templates, observed, (0.0, 500.0)).safe


def test_exact_cover_is_cover_in_spite_of_rounding():
    templates = np.linspace(8.1, 8.3, 2001)
    observed = 8.1 + 3e-4 * (np.arange(666) + 0.5)
    assert coverage(templates, observed, (0.0, 0.0)).safe


def test_coverage_prints_both_sides():
    templates, observed = grids(blue_px=30, red_px=10)
    text = str(coverage(templates, observed, (-100.0, 500.0)))
    assert text.startswith("Safe=True\n")
    blue, red = text.splitlines()[1:]
    assert re.search(
        r"blue: +30\.0 px \( +900\.7 km/s\) .* needs +16\.7 px \( +500\.0 km/s\)", blue
    )
    assert "red : " in red
    assert "100.0 km/s" in red


def test_missing_cover_is_refused_with_both_ranges():
    templates, observed = grids(blue_px=5, red_px=5)
    assert require_cover(templates, observed).safe
    with pytest.raises(GridError, match=r"cover 4914\.8-\d+\.\d A, but .* needs 4909\.0-.*wider"):
        require_cover(templates, observed, (0.0, 500.0))


@pytest.mark.parametrize("unit_in_angstrom", [10.0, 1e4])
def test_other_units_under_the_logarithm_are_refused(unit_in_angstrom):
    grid = np.log(np.array([4800.0, 5000.0]) / unit_in_angstrom)
    with pytest.raises(GridError, match="below 900 A"):
        require_ln_wave(grid, "obs_pix")


def test_coverage_is_a_table_in_a_notebook():
    tem = np.log(5000.0) + 1e-4 * np.arange(400)
    found = coverage(tem, tem[100:300], (-300.0, 600.0))
    rows = dict(found.rows())
    assert rows["blue margin"].startswith("99.5 px (2998 km/s)")
    assert rows["blue margin"].endswith("the LOSVD needs 20.0 px (600 km/s)")
    assert rows["margins suffice"] == "yes"
    table = found._repr_html_()
    assert table.startswith("<table><caption>Coverage</caption>")
    assert all(text in table for text in rows.values())
    assert "no: give wider" in coverage(tem, tem[1:300], (-300.0, 600.0))._repr_html_()
