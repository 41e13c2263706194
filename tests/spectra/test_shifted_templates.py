from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import CubicSpline
from scipy.special import erf

from cubefit.errors import GridError
from cubefit.spectra.grids import SPEED_OF_LIGHT_KMS, edges_of, ln_shift
from cubefit.spectra.rebin import spline_rebin_matrix
from cubefit.spectra.shifted_templates import bin_quadrature, shifted_templates

DLN = 1e-4
"""Template pixel in ln(wavelength): 30 km/s."""


def gauss_pieces(low, high, piece):
    """Return nodes and weights (sum one) of a composite Gauss rule."""
    count = max(1, int(np.ceil((high - low) / piece)))
    nodes, weights = np.polynomial.legendre.leggauss(6)
    cuts = np.linspace(low, high, count + 1)
    centres, half = 0.5 * (cuts[1:] + cuts[:-1]), 0.5 * (high - low) / count
    return (centres[:, None] + half * nodes).ravel(), np.tile(0.5 * weights / count, count)


def brute_force(spectrum, observed_edges, velocity_edges, v, piece=DLN / 8):
    """Average ``spectrum(u)`` over every pixel and velocity bin ``v`` by quadrature alone."""
    kms = piece * SPEED_OF_LIGHT_KMS
    velocities, v_weights = gauss_pieces(velocity_edges[v], velocity_edges[v + 1], kms)
    shifts = np.log1p(velocities / SPEED_OF_LIGHT_KMS)
    averages = []
    for low, high in pairwise(observed_edges):
        u, u_weights = gauss_pieces(low, high, piece)
        values = spectrum(u[:, None] - shifts)
        averages.append(np.einsum("ij...,i,j->...", values, u_weights, v_weights))
    return np.array(averages)


def covering_grid(observed, velocities, spare_px=0.0):
    """Return the template grid that just covers the data and the velocities."""
    low, high = ln_shift(edges_of(velocities)[[0, -1]])
    edges = edges_of(observed)
    first = edges[0] - max(high, 0.0) - spare_px * DLN
    last = edges[-1] + max(-low, 0.0) + spare_px * DLN
    return first + DLN * np.arange(max(8, int(np.ceil((last - first) / DLN - 1e-9)) + 1))


@given(
    bin_px=st.sampled_from([0.05, 0.3, 0.97, 1.0, 1.6, 4.3, 9.0]),
    pixel_px=st.sampled_from([0.3, 1.0, 2.7]),
    centre=st.floats(-1.0, 1.0),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None, max_examples=40)
def test_against_quadrature_of_the_spline_edges_included(bin_px, pixel_px, centre, seed):
    width = bin_px * DLN * SPEED_OF_LIGHT_KMS
    velocities = width * (np.arange(3) - 1 + centre)
    observed = 8.5 + pixel_px * DLN * np.arange(4)
    template_grid = covering_grid(observed, velocities)
    templates = np.random.default_rng(seed).uniform(0.5, 1.5, (2, template_grid.size))
    spline = CubicSpline(template_grid, templates.T, bc_type="not-a-knot")
    found = shifted_templates(templates, template_grid, observed, velocities, dtype=np.float64)
    for v in (0, 2):
        expected = brute_force(spline, edges_of(observed), edges_of(velocities), v)
        np.testing.assert_allclose(found[v], expected.T, atol=1e-6 * np.median(expected))


LINES = np.array([[20.0, 40.0, 61.0], [0.8, -0.5, 1.2], [7.0, 9.0, 8.0]])
"""Centre (template pixels), height and width (template pixels) of Gaussian lines on one."""


def spectrum_of_lines(u):
    """Return an analytic spectrum."""
    place = (np.asarray(u)[..., None] - 8.5) / DLN
    return 1.0 + (LINES[1] * np.exp(-0.5 * ((place - LINES[0]) / LINES[2]) ** 2)).sum(axis=-1)


def pixel_averages_of_lines(edges):
    """Return the analytic average of `spectrum_of_lines` over each pixel."""
    place = (np.asarray(edges)[..., None] - 8.5) / DLN
    area = LINES[1] * LINES[2] * np.sqrt(0.5 * np.pi)
    running = (area * erf((place - LINES[0]) / (np.sqrt(2) * LINES[2]))).sum(axis=-1)
    return 1.0 + np.diff(running) / np.diff(edges) * DLN


@given(velocity=st.floats(-2000.0, 2000.0), pixel_px=st.floats(0.5, 4.0))
@settings(deadline=None, max_examples=40)
def test_a_narrow_losvd_shifts_by_ln_of_one_plus_v_over_c(velocity, pixel_px):
    velocities = velocity + 0.1 * np.arange(-1, 2)
    observed = 8.5 + pixel_px * DLN * np.arange(-5, 20)
    template_grid = covering_grid(observed, velocities, spare_px=2)
    templates = spectrum_of_lines(template_grid)[None]
    found = shifted_templates(templates, template_grid, observed, velocities, dtype=np.float64)
    shift = np.log1p(velocity / SPEED_OF_LIGHT_KMS)
    expected = pixel_averages_of_lines(edges_of(observed) - shift)
    # What is left is the spline between samples of lines seven pixels wide.
    np.testing.assert_allclose(found[1, 0], expected, atol=5e-5)


@pytest.mark.parametrize("width_kms", [10.0, 60.0, 300.0])
def test_a_velocity_bin_smears_evenly_over_its_width(width_kms):
    velocities = width_kms * np.arange(-1, 2) + 37.0
    observed = 8.5 + DLN * np.arange(15, 65, 2)
    template_grid = covering_grid(observed, velocities, spare_px=2)
    templates = spectrum_of_lines(template_grid)[None]
    found = shifted_templates(templates, template_grid, observed, velocities, dtype=np.float64)
    fine, weights = gauss_pieces(37.0 - 0.5 * width_kms, 37.0 + 0.5 * width_kms, 5.0)
    expected = sum(
        w * pixel_averages_of_lines(edges_of(observed) - np.log1p(v / SPEED_OF_LIGHT_KMS))
        for v, w in zip(fine, weights, strict=True)
    )
    np.testing.assert_allclose(found[1, 0], expected, atol=5e-5)


@given(seed=st.integers(0, 2**32 - 1), bin_kms=st.floats(1.0, 500.0))
@settings(deadline=None, max_examples=30)
def test_linear_in_templates_and_flat_stays_flat(seed, bin_kms):
    rng = np.random.default_rng(seed)
    velocities = bin_kms * np.arange(-1, 2)
    observed = 8.5 + 1.3 * DLN * np.arange(6)
    template_grid = covering_grid(observed, velocities)
    first, second = rng.normal(size=(2, 2, template_grid.size))
    weights = rng.normal(size=2)

    def shifted(templates):
        return shifted_templates(templates, template_grid, observed, velocities, dtype=np.float64)

    np.testing.assert_allclose(
        shifted(weights[0] * first + weights[1] * second),
        weights[0] * shifted(first) + weights[1] * shifted(second),
        atol=1e-9,
    )
    np.testing.assert_allclose(shifted(np.ones((1, template_grid.size))), 1.0, rtol=1e-10)


def test_convolution_by_fft_then_rebinning_agrees_in_the_interior():
    """``models = R_T^T (LOSVD (*) T)`` away from the ends, where a Fourier transform wraps."""
    rng = np.random.default_rng(5)
    size = 600
    template_grid = 8.5 + DLN * np.arange(size)
    smooth = np.exp(-0.5 * (np.arange(-20, 21) / 4.0) ** 2)
    templates = np.array(
        [1.0 + np.convolve(rng.normal(size=size + 40), smooth, "valid") / 20 for _ in range(3)]
    )
    velocities = 45.0 * np.arange(-8, 9)
    losvd = np.exp(-0.5 * ((velocities - 60.0) / 120.0) ** 2)
    losvd[2] = 0.7
    frequency = 2 * np.pi * np.fft.rfftfreq(size, DLN)
    shift_edges = ln_shift(edges_of(velocities))
    # Each bin is a box in ln(wavelength), all but exactly.
    centre, width = 0.5 * (shift_edges[1:] + shift_edges[:-1]), np.diff(shift_edges)
    boxes = np.sinc(frequency[:, None] * width / (2 * np.pi)) * np.exp(
        -1j * frequency[:, None] * centre
    )
    broadened = np.fft.irfft(np.fft.rfft(templates) * (boxes @ losvd), size)
    observed = template_grid[100] + 1.7 * DLN * np.arange(230)
    by_fft = broadened @ spline_rebin_matrix(template_grid, observed)
    shifted = shifted_templates(templates, template_grid, observed, velocities, dtype=np.float64)
    models = np.einsum("v,vpl->pl", losvd, shifted)
    np.testing.assert_allclose(models, by_fft, atol=2e-4 * np.median(models))


def case(n_velocities=5):
    velocities = 50.0 * (np.arange(n_velocities) - n_velocities // 2)
    observed = 8.5 + 1.3 * DLN * np.arange(6)
    template_grid = covering_grid(observed, velocities)
    templates = np.random.default_rng(3).random((2, template_grid.size))
    return templates, template_grid, observed, velocities


def test_only_bins_in_use_are_made_and_need_templates():
    templates, template_grid, observed, velocities = case()
    used = np.array([False, True, True, False, False])
    every = shifted_templates(templates, template_grid, observed, velocities)
    some = shifted_templates(templates, template_grid, observed, velocities, used=used)
    assert every.dtype == np.float32
    np.testing.assert_array_equal(some[used], every[used])
    assert not some[~used].any()
    none = shifted_templates(
        templates[:, :9], template_grid[:9], observed, velocities, used=np.zeros(5, bool)
    )
    assert none.shape == (5, 2, 6)
    assert not none.any()


@pytest.mark.parametrize("end", [slice(1, None), slice(None, -2)])
def test_templates_that_are_too_short_are_refused_not_extrapolated(end):
    templates, template_grid, observed, velocities = case()
    with pytest.raises(GridError, match="wider templates"):
        shifted_templates(templates[:, end], template_grid[end], observed, velocities)


@pytest.mark.parametrize("unit", [1e-25, 1e20])
def test_units_pass_through(unit):
    templates, *grids = case()
    np.testing.assert_allclose(
        shifted_templates(unit * templates, *grids), unit * shifted_templates(templates, *grids),
        rtol=1e-6,
    )  # fmt: skip


def test_layout_and_type_of_the_templates_do_not_matter():
    templates, *grids = case()
    single = templates.astype(np.float32)
    expected = shifted_templates(single.astype(np.float64), *grids)
    np.testing.assert_array_equal(shifted_templates(single, *grids), expected)
    np.testing.assert_array_equal(shifted_templates(np.asfortranarray(single), *grids), expected)
    counts = np.round(100 * templates).astype(int)
    np.testing.assert_array_equal(
        shifted_templates(counts, *grids), shifted_templates(counts.astype(float), *grids)
    )


@given(bin_px=st.floats(1e-3, 40.0))
@settings(deadline=None)
def test_the_quadrature_is_a_mean_and_exact_for_polynomials(bin_px):
    nodes, weights = bin_quadrature(bin_px)
    assert (np.abs(nodes) < 1).all()
    assert weights.sum() == pytest.approx(1.0, rel=1e-13)
    for power in range(12):
        exact = 0.0 if power % 2 else 1.0 / (power + 1)
        assert weights @ nodes**power == pytest.approx(exact, abs=1e-13)
