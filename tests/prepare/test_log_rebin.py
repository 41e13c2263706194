import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubefit.errors import GridError
from cubefit.prepare.log_rebin import log_rebin_linear


@given(
    widths=st.lists(st.floats(0.5, 2.0), min_size=1, max_size=60),
    n_target=st.integers(1, 80),
    seed=st.integers(0, 2**32 - 1),
)
def test_log_rebinning_conserves_flux(widths, n_target, seed):
    source = 4000.0 + np.concatenate([[0.0], np.cumsum(widths)])
    flux = np.random.default_rng(seed).random((len(widths), 3))
    ln_edges = np.linspace(math.log(source[0]), math.log(source[-1]), n_target + 1)
    rebinned = log_rebin_linear(flux, source, ln_edges)
    assert rebinned.shape == (n_target, 3)
    np.testing.assert_allclose(
        np.diff(np.exp(ln_edges)) @ rebinned, np.diff(source) @ flux, rtol=1e-9
    )


@given(cut=st.integers(1, 49), seed=st.integers(0, 2**32 - 1))
def test_flux_is_conserved_between_any_two_source_edges(cut, seed):
    source = np.linspace(5000.0, 5045.0, 51)
    flux = 0.1 + np.random.default_rng(seed).random(50)
    ln_edges = np.log([source[0], source[cut], source[-1]])
    rebinned = log_rebin_linear(flux, source, ln_edges)
    np.testing.assert_allclose(
        rebinned, [flux[:cut].mean(), flux[cut:].mean()], rtol=1e-9, atol=1e-11
    )


@given(slope=st.floats(-1e-3, 1e-3), level=st.floats(0.5, 10.0))
def test_log_rebinning_averages_a_straight_spectrum_exactly(slope, level):
    source = np.linspace(4500.0, 4600.0, 112)
    flux = level + slope * (0.5 * (source[1:] + source[:-1]) - 4500.0)
    ln_edges = np.linspace(math.log(4501.0), math.log(4599.0), 200)
    centres = 0.5 * (np.exp(ln_edges[1:]) + np.exp(ln_edges[:-1]))
    expected = level + slope * (centres - 4500.0)
    np.testing.assert_allclose(log_rebin_linear(flux, source, ln_edges), expected, rtol=1e-9)


def test_log_rebinning_is_accurate_on_finer_pixels():
    source = 4700.0 + 0.9 * np.arange(801)
    ln_edges = np.linspace(math.log(4720.0), math.log(5400.0), 1500)

    def average(edges):  # of 2 + sin(wave / 3), a line as narrow as MILES can hold
        return 2.0 - 3.0 * np.diff(np.cos(edges / 3.0)) / np.diff(edges)

    rebinned = log_rebin_linear(average(source), source, ln_edges)
    np.testing.assert_allclose(rebinned, average(np.exp(ln_edges)), atol=2e-4)


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        (np.linspace(4000, 4100, 11), np.log([3999.0, 4050.0]), "cover 4000.00-4100.00"),
        (np.linspace(4000, 4100, 11), np.log([4050.0, 4101.0]), "needs 4050.00-4101.00"),
        (np.linspace(4100, 4000, 11), np.log([4010.0, 4050.0]), "wave_edges"),
        (np.linspace(4000, 4100, 11), np.log([4050.0, 4050.0]), "ln_edges"),
        (np.linspace(4000, 4100, 12), np.log([4010.0, 4050.0]), "one edge more"),
    ],
)
def test_log_rebinning_refuses_grids_that_do_not_fit(source, target, message):
    with pytest.raises(GridError, match=message):
        log_rebin_linear(np.ones(10), source, target)
