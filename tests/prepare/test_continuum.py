import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.polynomial import Polynomial

from cubefit.errors import ConfigError, InputError
from cubefit.prepare.continuum import continuum, divided
from cubefit.prepare.spectra import Spectra

EDGES = np.linspace(5000.0, 6000.0, 61)
seeds = st.integers(0, 2**32 - 1)


def make(seed, degree=2, good_share=1.0, scale=1.0):
    rng = np.random.default_rng(seed)
    u = np.log(0.5 * (EDGES[1:] + EDGES[:-1]) / 5500.0) * 10.0
    flux = np.array([3.0 + Polynomial(rng.uniform(-0.5, 0.5, degree + 1))(u) for _ in range(4)])
    return Spectra(
        flux=scale * flux,
        noise=scale * rng.uniform(0.01, 0.1, flux.shape),
        mask=rng.random(flux.shape) < good_share,
        wave_edges=EDGES,
        medium="air",
    )


@given(seed=seeds, degree=st.integers(0, 4), scale=st.sampled_from([1e-20, 1.0, 1e15]))
def test_a_polynomial_is_its_own_continuum(seed, degree, scale):
    spectra = make(seed, degree, good_share=0.8, scale=scale)
    found = continuum(spectra, degree + 1)
    np.testing.assert_allclose(found, spectra.flux, rtol=1e-6)
    flat = divided(spectra, found)
    np.testing.assert_allclose(flat.flux[spectra.mask], 1.0, rtol=1e-6)


@given(seed=seeds)
def test_division_keeps_signal_to_noise(seed):
    spectra = make(seed, good_share=0.8)
    flat = divided(spectra, continuum(spectra, 1))
    used = spectra.mask
    np.testing.assert_allclose(
        (flat.flux / np.where(used, flat.noise, 1.0))[used], (spectra.flux / spectra.noise)[used]
    )
    np.testing.assert_array_equal(flat.mask, used)


@given(seed=seeds, anything=st.sampled_from([np.nan, np.inf, -1e30]))
def test_masked_pixels_may_hold_anything(seed, anything):
    spectra = make(seed, good_share=0.8)
    other = Spectra(
        flux=np.where(spectra.mask, spectra.flux, anything),
        noise=np.where(spectra.mask, spectra.noise, anything),
        mask=spectra.mask,
        wave_edges=EDGES,
        medium="air",
    )
    one, two = continuum(spectra, 3), continuum(other, 3)
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(divided(spectra, one).flux, divided(other, two).flux)


def test_a_bin_without_pixels_stays_without():
    spectra = make(1)
    spectra.mask[2] = False
    found = continuum(spectra, 2)
    np.testing.assert_array_equal(found[2], 1.0)
    assert not divided(spectra, found).mask[2].any()


def test_spectra_without_noise_count_evenly():
    spectra = make(1)
    spectra.noise[:] = np.nan
    np.testing.assert_allclose(continuum(spectra, 3), spectra.flux, rtol=1e-6)


def test_refuses_what_makes_no_continuum():
    spectra = make(1)
    with pytest.raises(ConfigError, match="degree=-1"):
        continuum(spectra, -1)
    spectra.mask[3, 3:] = False
    with pytest.raises(InputError, match=r"1 spectra have too few .* \(spectrum 3 has 3\)"):
        continuum(spectra, 5)
    spectra = make(1)
    spectra.flux[1] -= 8.0
    with pytest.raises(InputError, match="not positive everywhere, the first is of spectrum 1"):
        continuum(spectra, 2)
    with pytest.raises(InputError, match="has shape"):
        divided(spectra, np.ones((2, 2)))
    with pytest.raises(InputError, match="lower its degree"):
        divided(spectra, np.zeros(spectra.flux.shape))
