import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr

from cubefit.errors import ConfigError, GridError
from cubefit.prepare.observed_rebin import ln_grid, log_rebinned, noise_chi2
from cubefit.prepare.spectra import Spectra
from cubefit.spectra.grids import edges_of

seeds = st.integers(0, 2**32 - 1)
widths = st.lists(st.floats(0.05, 5.0), min_size=1, max_size=30)


def make(edges, seed, good_share=1.0):
    rng = np.random.default_rng(seed)
    shape = (2, len(edges) - 1)
    return Spectra(
        flux=rng.normal(size=shape),
        noise=rng.uniform(0.1, 1.0, shape),
        mask=rng.random(shape) < good_share,
        wave_edges=np.asarray(edges, float),
        medium="air",
    )


def edges_from(steps, low, high):
    share = np.concatenate(([0.0], np.cumsum(steps))) / np.sum(steps)
    return low + (high - low) * share


@given(source=widths, target=widths, seed=seeds)
def test_flux_and_variance_are_conserved(source, target, seed):
    spectra = make(edges_from(source, 5000.0, 5100.0), seed)
    found = log_rebinned(spectra, np.log(edges_from(target, 5000.0, 5100.0)))
    assert found.mask.all()
    np.testing.assert_allclose(
        found.flux @ found.widths, spectra.flux @ spectra.widths, rtol=1e-9, atol=1e-9
    )
    np.testing.assert_allclose(
        found.noise**2 @ found.widths**2, spectra.noise**2 @ spectra.widths**2, rtol=1e-9
    )


@given(source=widths, seed=seeds, data=st.data())
def test_flux_between_any_two_source_edges_is_kept(source, seed, data):
    spectra = make(edges_from(source, 5000.0, 5100.0), seed)
    inner = spectra.wave_edges[1:-1].tolist()
    kept = data.draw(st.lists(st.sampled_from(inner), unique=True) if inner else st.just([]))
    edges = np.array([5000.0, *sorted(kept), 5100.0])
    found = log_rebinned(spectra, np.log(edges))
    running = np.concatenate(([0.0], np.cumsum(spectra.flux[0] * spectra.widths)))
    expected = np.diff(np.interp(edges, spectra.wave_edges, running))
    np.testing.assert_allclose(found.flux[0] * np.diff(edges), expected, atol=1e-6)


@given(
    centre=st.floats(5040.0, 5060.0),
    sigma=st.floats(1.2, 4.0),
    step=st.floats(1.0, 1.3),
)
def test_lines_are_not_smeared(centre, sigma, step):
    edges = np.arange(5000.0, 5100.0, 1.25)

    def averages(of):
        return np.diff(ndtr((of - centre) / sigma)) / np.diff(of)

    flux = 1.0 - averages(edges)[None]
    spectra = Spectra(
        flux=flux,
        noise=np.ones(flux.shape),
        mask=np.ones(flux.shape, bool),
        wave_edges=edges,
        medium="air",
    )
    target = np.exp(np.arange(np.log(5005.0), np.log(5095.0), step / 5000.0))
    found = log_rebinned(spectra, np.log(target))
    depth = averages(edges).max()
    assert np.abs(1.0 - found.flux[0] - averages(target)).max() < 0.03 * depth


@given(step=st.floats(0.5, 4.0), seed=seeds)
def test_noise_alone_leaves_the_chi2_that_is_told(step, seed):
    edges = np.arange(5000.0, 5400.0, 1.25)
    rng = np.random.default_rng(seed)
    flux = rng.normal(size=(200, edges.size - 1))
    spectra = Spectra(
        flux=flux,
        noise=np.ones(flux.shape),
        mask=np.ones(flux.shape, bool),
        wave_edges=edges,
        medium="air",
    )
    ln_edges = np.arange(np.log(5010.0), np.log(5390.0), step / 5000.0)
    found = log_rebinned(spectra, ln_edges)
    chi2 = np.mean((found.flux / found.noise) ** 2)
    assert noise_chi2(spectra, ln_edges) == pytest.approx(chi2, rel=0.05)


@given(source=widths, target=widths, seed=seeds)
def test_variance_of_a_pixel_is_shared_by_width(source, target, seed):
    spectra = make(edges_from(source, 5000.0, 5100.0), seed)
    edges = edges_from(target, 5010.0, 5090.0)
    found = log_rebinned(spectra, np.log(edges))
    of_pixel = (spectra.noise[1] * spectra.widths) ** 2
    running = np.concatenate(([0.0], np.cumsum(of_pixel)))
    expected = np.diff(np.interp(edges, spectra.wave_edges, running))
    np.testing.assert_allclose((found.noise[1] * np.diff(edges)) ** 2, expected, atol=1e-7)


@given(source=widths, target=widths, seed=seeds, anything=st.sampled_from([np.nan, np.inf, -1e9]))
def test_masked_pixels_may_hold_anything(source, target, seed, anything):
    spectra = make(edges_from(source, 5000.0, 5100.0), seed, good_share=0.7)
    edges = np.log(edges_from(target, 5000.0, 5100.0))
    other = Spectra(
        flux=np.where(spectra.mask, spectra.flux, anything),
        noise=np.where(spectra.mask, spectra.noise, anything),
        mask=spectra.mask,
        wave_edges=spectra.wave_edges,
        medium="air",
    )
    one, two = log_rebinned(spectra, edges), log_rebinned(other, edges)
    np.testing.assert_array_equal(one.flux, two.flux)
    np.testing.assert_array_equal(one.noise, two.noise)
    np.testing.assert_array_equal(one.mask, two.mask)


def test_whoever_touches_a_masked_pixel_or_is_its_neighbour_is_masked():
    spectra = make(np.arange(5000.0, 5007.0), 1)
    spectra.mask[0, 2] = False
    found = log_rebinned(spectra, np.log([5000.5, 5001.5, 5002.5, 5003.0, 5004.0, 5005.5]))
    assert found.mask[0].tolist() == [True, False, False, False, True]
    assert found.mask[1].all()
    assert not found.flux[0, 1:4].any()
    assert not found.noise[0, 1:4].any()


def test_noise_that_is_not_known_stays_so():
    spectra = make(np.arange(5000.0, 5007.0), 1)
    spectra.noise[:] = np.nan
    assert not log_rebinned(spectra, np.log([5001.0, 5002.5, 5004.0])).has_noise


@given(
    n_pixels=st.integers(20, 300),
    step=st.floats(0.5, 3.0),
    velscale=st.one_of(st.none(), st.floats(20.0, 200.0)),
    low=st.floats(4000.0, 5020.0),
)
def test_a_grid_lies_inside_the_data_and_the_range(n_pixels, step, velscale, low):
    edges = 5000.0 + step * np.arange(n_pixels + 1)
    wave_range = (low, edges[-1] - step) if low < edges[-1] - 30 else None
    try:
        found = np.exp(edges_of(ln_grid(edges, wave_range=wave_range, velscale_kms=velscale)))
    except GridError as error:
        assert "a smaller velscale_kms" in str(error)  # noqa: PT017
        return
    least = edges[0] if wave_range is None else max(edges[0], low)
    most = edges[-1] if wave_range is None else wave_range[1]
    assert found[0] == pytest.approx(least, rel=1e-12)
    assert found[-1] <= most * (1 + 1e-12)
    # Not a whole pixel is lost.
    assert most / found[-1] < found[1] / found[0] * (1 + 1e-9)


def test_the_default_pixel_is_the_widest_of_the_data():
    edges = np.arange(5000.0, 5100.0, 1.25)
    found = ln_grid(edges, wave_range=(5010.0, 5090.0))
    inside = np.diff(np.log(edges))[(edges[1:] > 5010.0) & (edges[:-1] < 5090.0)]
    assert np.diff(found) == pytest.approx(inside.max())


def test_a_grid_of_even_pixels_is_the_data_themselves():
    edges = np.exp(8.5 + 1.5e-4 * np.arange(200))
    spectra = make(edges, 3)
    found = ln_grid(edges)
    assert found.size == 199
    rebinned = log_rebinned(spectra, edges_of(found))
    np.testing.assert_allclose(rebinned.flux, spectra.flux, rtol=1e-6, atol=1e-6)


def test_a_velocity_scale_is_the_pixels():
    found = ln_grid(np.arange(5000.0, 5100.0), velscale_kms=60.0)
    assert np.expm1(np.diff(found)) * 299_792.458 == pytest.approx(60.0)


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"wave_range": (5050.0, 5040.0)}, ConfigError, "lowest first"),
        ({"wave_range": (6050.0, 6540.0)}, GridError, "holds no data, which cover 5000.0-5099.0"),
        ({"velscale_kms": 0.0}, ConfigError, "velscale_kms=0.0"),
        ({"velscale_kms": 0.01}, ConfigError, "give a larger one"),
        ({"velscale_kms": 9000.0}, GridError, "smaller velscale_kms"),
    ],
)
def test_a_grid_refuses_what_is_impossible(settings, error, words):
    with pytest.raises(error, match=words):
        ln_grid(np.arange(5000.0, 5100.0), **settings)
