from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import CubicSpline

from cubefit.errors import GridError
from cubefit.spectra.grids import edges_of
from cubefit.spectra.rebin import (
    averaging_operator,
    overlap_matrix,
    rebinned_at_rest,
    spline_rebin_matrix,
    template_spline,
)

seeds = st.integers(0, 2**32 - 1)
widths = st.lists(st.floats(1e-3, 10.0), min_size=1, max_size=12)


def edges_from(steps, low, high):
    """Return increasing edges from ``low`` to ``high`` with steps in the given proportions."""
    share = np.concatenate(([0.0], np.cumsum(steps))) / np.sum(steps)
    return low + (high - low) * share


@given(source=widths, target=widths, seed=seeds)
@settings(deadline=None)
def test_overlap_keeps_total_flux(source, target, seed):
    source_edges = edges_from(source, 3.0, 7.0)
    target_edges = edges_from(target, 3.0, 7.0)
    flux = np.random.default_rng(seed).random(len(source))
    rebinned = flux @ overlap_matrix(source_edges, target_edges)
    assert rebinned @ np.diff(target_edges) == pytest.approx(flux @ np.diff(source_edges), rel=1e-9)


@given(source=widths, target=widths, low=st.floats(0.0, 0.9), seed=seeds)
@settings(deadline=None)
def test_overlap_averages_what_lies_inside(source, target, low, seed):
    source_edges = edges_from(source, 0.0, 1.0)
    target_edges = edges_from(target, low, 0.5 * (low + 1.0) + 0.05)
    matrix = overlap_matrix(source_edges, target_edges)
    assert matrix.shape == (len(source), len(target))
    assert (matrix >= 0).all()
    np.testing.assert_allclose(matrix.sum(axis=0), 1.0, rtol=1e-9)
    # The same from running sums of the flux.
    flux = np.random.default_rng(seed).normal(size=len(source))
    running = np.concatenate(([0.0], np.cumsum(flux * np.diff(source_edges))))
    expected = np.diff(np.interp(target_edges, source_edges, running)) / np.diff(target_edges)
    np.testing.assert_allclose(flux @ matrix, expected, atol=1e-8 * np.abs(flux).max() / 1e-3)


def test_overlap_of_whole_bins():
    matrix = overlap_matrix(np.arange(5.0), np.array([0.0, 1.5, 4.0]))
    np.testing.assert_allclose(matrix, [[2 / 3, 0], [1 / 3, 0.2], [0, 0.4], [0, 0.4]])


@pytest.mark.parametrize(
    ("source", "target", "words"),
    [
        ([0, 1, 1, 2], [0, 1], "Source bin edges"),
        ([0, 1, 2], [1, 0], "Target bin edges"),
        ([0, np.nan, 2], [0, 1], "Source bin edges"),
        ([0, 1, 2], [0], "Target bin edges"),
        ([0, 1, 2], [[0, 1]], "Target bin edges"),
        ([0, 1, 2], [0, 2.1], "cover 0 to 2, but the target needs 0 to 2.1: give a wider"),
        ([0, 1, 2], [-0.1, 1], "needs -0.1 to 1"),
    ],
)
def test_overlap_refuses_edges_that_do_not_fit(source, target, words):
    with pytest.raises(GridError, match=words):
        overlap_matrix(np.array(source, float), np.array(target, float))


observed_grids = st.tuples(
    st.integers(2, 60), st.floats(0.2, 4.0), st.floats(0.0, 1.0), st.integers(2, 30)
)


def make_grids(n_templates, width_px, place, n_observed, dln=1e-4):
    """Return template and observed grids; ``place`` moves the data from the first to the last."""
    templates = 8.5 + dln * np.arange(n_templates)
    width = min(width_px, (n_templates - 1) / n_observed) * dln
    room = templates[-1] - templates[0] - n_observed * width
    first = templates[0] + place * room + 0.5 * width
    return templates, first + width * np.arange(n_observed)


@given(sizes=observed_grids)
@settings(deadline=None)
def test_a_flat_spectrum_stays_flat(sizes):
    matrix = spline_rebin_matrix(*make_grids(*sizes))
    assert matrix.shape == (sizes[0], sizes[3])
    np.testing.assert_allclose(matrix.sum(axis=0), 1.0, rtol=1e-10)


@given(sizes=observed_grids, seed=seeds)
@settings(deadline=None)
def test_spline_rebin_is_the_average_of_the_spline(sizes, seed):
    template_grid, observed = make_grids(*sizes)
    if template_grid.size < 4:
        template_grid = template_grid[0] + 1e-4 * np.arange(4)
    spectra = np.random.default_rng(seed).normal(size=(2, template_grid.size))
    edges = edges_of(observed)
    spline = CubicSpline(template_grid, spectra.T, bc_type="not-a-knot")
    expected = [spline.integrate(low, high) / (high - low) for low, high in pairwise(edges)]
    rebinned = spectra @ spline_rebin_matrix(template_grid, observed)
    np.testing.assert_allclose(rebinned, np.transpose(expected), atol=1e-8)


@given(sizes=observed_grids)
@settings(deadline=None)
def test_a_sloping_spectrum_keeps_its_slope(sizes):
    template_grid, observed = make_grids(*sizes)
    rebinned = (template_grid - 8.5) @ spline_rebin_matrix(template_grid, observed)
    np.testing.assert_allclose(rebinned, observed - 8.5, atol=1e-12)


def test_equal_grids_average_each_pixel():
    template_grid = 8.5 + 1e-4 * np.arange(40)
    line = np.exp(-0.5 * ((np.arange(40) - 20.0) / 4.0) ** 2)
    rebinned = line @ spline_rebin_matrix(template_grid, template_grid[1:-1])
    # A pixel's average differs from its centre by a 24th of the second difference.
    np.testing.assert_allclose(rebinned, line[1:-1] + np.diff(line, 2) / 24.0, atol=1e-4)


def test_rebin_refuses_data_beyond_the_templates():
    template_grid = 8.5 + 1e-4 * np.arange(40)
    with pytest.raises(GridError, match="wider templates"):
        spline_rebin_matrix(template_grid, template_grid)


@given(seed=seeds, n_shifts=st.integers(1, 5))
@settings(deadline=None)
def test_averaging_operator_is_a_weighted_mean_over_shifts(seed, n_shifts):
    rng = np.random.default_rng(seed)
    template_grid = 8.5 + 1e-4 * np.arange(50)
    spline = template_spline(template_grid, rng.random((3, 50)))
    integral = spline.antiderivative()
    edges = edges_of(template_grid[15:35])
    shifts, weights = 1e-3 * rng.uniform(-1, 1, n_shifts), rng.random(n_shifts)
    matrix = averaging_operator(integral, edges, shifts, weights)
    expected = sum(
        w * np.diff(integral(edges - shift), axis=0) / np.diff(edges)[:, None]
        for w, shift in zip(weights, shifts, strict=True)
    )
    np.testing.assert_allclose(matrix @ integral.c[: matrix.shape[1]], expected, atol=1e-10)


@pytest.mark.parametrize("n_templates", [2, 3, 4, 9])
def test_the_spline_passes_through_the_samples(n_templates):
    template_grid = 8.5 + 1e-4 * np.arange(n_templates)
    spectra = np.random.default_rng(1).random((2, n_templates))
    np.testing.assert_allclose(template_spline(template_grid, spectra)(template_grid).T, spectra)


@given(seed=seeds, n_observed=st.integers(4, 20))
@settings(deadline=None)
def test_rebinning_at_rest_is_the_matrix(seed, n_observed):
    rng = np.random.default_rng(seed)
    source = 8.5 + 1e-3 * np.arange(40)
    target = np.linspace(8.505, 8.53, n_observed)
    templates = rng.normal(size=(3, 40))
    np.testing.assert_allclose(
        rebinned_at_rest(templates, source, target),
        templates @ spline_rebin_matrix(source, target),
        atol=1e-10,
    )


def test_rebinning_at_rest_needs_cover():
    with pytest.raises(GridError, match="cover"):
        rebinned_at_rest(np.ones((1, 9)), 8.5 + 1e-3 * np.arange(9), 8.5 + 1e-3 * np.arange(12))
