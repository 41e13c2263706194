import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cubefit.prepare.consistency import stated_noise

N_BINS, N_WAVE = 12, 600
U = np.linspace(0.0, 1.0, N_WAVE)


def spectrum(seed=1, width_px=3.0):
    """Return a spectrum (L,) of many lines on a slope."""
    rng = np.random.default_rng(seed)
    flux = 1.0 + 0.4 * U
    for _ in range(50):
        flux -= rng.uniform(0, 0.2) * np.exp(-0.5 * ((U - rng.random()) * N_WAVE / width_px) ** 2)
    return flux


def observed(seed=1, sn=50.0, shared=0.0):
    """Return flux and noise (S, L); ``shared``: correlation of noise of neighbours."""
    rng = np.random.default_rng(seed)
    flux = rng.uniform(0.3, 30.0, (N_BINS, 1)) * spectrum()
    noise = np.broadcast_to(flux.mean(axis=1, keepdims=True) / sn, flux.shape).copy()
    white = rng.standard_normal((N_BINS, N_WAVE + 1))
    # a moving average of two has the correlation ab / (a^2 + b^2)
    a = np.sqrt(0.5 + np.sqrt(0.25 - shared**2))
    return flux + noise * (a * white[:, 1:] + np.sqrt(1 - a**2) * white[:, :-1]), noise


def check(flux, noise, mask=None, reference=None):
    return stated_noise(flux, noise, np.ones(flux.shape, bool) if mask is None else mask, reference)


@settings(max_examples=20)
@given(
    seed=st.integers(0, 2**32 - 1),
    unit=st.sampled_from([1e-18, 1.0, 1e8]),
    shared=st.floats(0.0, 0.45),
    error=st.floats(0.7, 1.5),
)
def test_right_noise_passes_in_any_unit(seed, unit, shared, error):
    flux, noise = observed(seed, shared=shared)
    found = check(unit * flux, unit * error * noise, reference=spectrum())
    assert found.ok, found.message


@pytest.mark.parametrize("factor", [100.0, 5.0, 0.2, 0.01])
@pytest.mark.parametrize("sn", [10.0, 80.0])
def test_noise_of_another_size_is_told(factor, sn):
    flux, noise = observed(sn=sn)
    found = check(flux, factor * noise, reference=spectrum())
    assert not found.ok
    assert found.ratio == pytest.approx(1 / factor, rel=0.4 if factor < 10 else 3.0)
    assert "is it a variance" in found.message


def test_a_variance_is_told():
    flux, noise = observed()
    for unit in (0.01, 100.0):
        assert not check(unit * flux, (unit * noise) ** 2).ok


def test_another_unit_is_told_without_any_scatter():
    flux, noise = observed()
    found = check(np.broadcast_to(spectrum(), flux.shape), 1e-20 * noise, reference=spectrum())
    assert not found.ok
    assert "of the flux: is it in another unit" in found.message


def test_narrow_lines_are_no_noise():
    lines = spectrum(width_px=1.2)
    noise = np.full((N_BINS, N_WAVE), 1 / 400)
    flux = lines + noise * np.random.default_rng(1).standard_normal(noise.shape)
    assert not check(flux, noise / 4).ok
    assert check(flux, noise, reference=lines).ok


def test_masked_pixels_may_hold_anything():
    flux, noise = observed()
    mask = np.random.default_rng(2).random(flux.shape) < 0.9
    mask[3] = False
    mask[4, 10:] = False
    one = check(np.where(mask, flux, 0.0), noise, mask)
    flux[~mask], noise[~mask] = np.nan, np.inf
    two = check(flux, noise, mask)
    assert one == two
    assert one.ok


def test_too_short_spectra_tell_nothing():
    found = check(np.ones((3, 15)), np.ones((3, 15)))
    assert found.ok
    assert np.isnan(found.ratio)
    assert "too short" in found.message


@pytest.mark.parametrize("finer", [3, 4])
def test_noise_of_pixels_that_share_one_of_the_detector_is_right(finer):
    rng = np.random.default_rng(5)
    coarse = np.arange(N_WAVE // finer + 2)
    noise = 0.02 * np.interp(np.arange(N_WAVE) / finer, coarse, rng.standard_normal(coarse.size))
    flux = np.tile(spectrum(width_px=3.0 * finer) + noise, (N_BINS, 1))
    stated, mask = np.full(flux.shape, 0.02), np.ones(flux.shape, bool)
    reference = spectrum(width_px=3.0 * finer)
    assert not stated_noise(flux, stated, mask, reference).ok
    assert stated_noise(flux, stated, mask, reference, shared_px=finer - 0.2).ok


@pytest.mark.parametrize("sn", [200.0, 400.0])
def test_lines_deeper_than_those_of_the_reference_are_no_noise(sn):
    flux, noise = observed(sn=sn)
    found = check(flux, noise, reference=1.0 + 0.35 * (spectrum() - 1.0))
    assert found.ok, found.message


def test_spectra_and_references_that_are_mostly_zero_do_no_harm():
    flux, noise = observed()
    noise[:, : N_WAVE * 2 // 3] = 0.0
    assert check(flux, noise, reference=spectrum()).ok
    assert check(*observed(), reference=np.where(U < 0.7, 0.0, spectrum())).ok
