import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cubefit.errors import GridError, InputError
from cubefit.prepare.consistency import velocity_sign
from cubefit.spectra.shifted_templates import shifted_templates

C_KMS = 299_792.458
DLN = 60.0 / C_KMS
LN_WAVE = np.log(4800.0) + DLN * np.arange(600)
TEM_WAVE = LN_WAVE[0] + 0.5 * DLN * np.arange(-120, 1320)
VEL = np.linspace(-500.0, 500.0, 21)
WEIGHTS = np.array([1.0, 0.5])


def templates(seed=1):
    """Return two spectra (2, T) of many narrow lines on different slopes."""
    rng = np.random.default_rng(seed)
    u = (TEM_WAVE - TEM_WAVE[0]) / np.ptp(TEM_WAVE)
    flux = 2.0 + np.array([0.8, -0.8])[:, None] * u
    for _ in range(60):
        centre, depth = rng.random(), rng.uniform(0.0, 0.5, (2, 1))
        flux = flux - depth * np.exp(-0.5 * ((u - centre) / 0.0008) ** 2)
    return flux


def galaxy(rotation=150.0, n_bins=30, seed=1):
    """Return LOSVDs (S, V, C) of a disc that rotates and a bulge that does not."""
    rng = np.random.default_rng(seed)
    mean = rotation * rng.uniform(-1, 1, n_bins)[:, None] * np.array([1.0, 0.0])
    sigma = np.array([70.0, 160.0])
    losvd = np.exp(-0.5 * ((VEL[:, None] - mean[:, None]) / sigma) ** 2)
    return (losvd * rng.uniform(0.2, 1.0, (n_bins, 1, 1))).astype(np.float32)


def observed(losvd, offset_kms=0.0, sn=40.0, seed=1):
    """Return data and noise (S, L): two populations seen through the LOSVDs."""
    shifted = TEM_WAVE + np.log1p(offset_kms / C_KMS)
    models = shifted_templates(
        templates(), shifted, LN_WAVE, VEL, used=np.abs(VEL) < 460, dtype=np.float64
    )
    data = np.einsum("svc,vcl->sl", losvd * WEIGHTS, models, optimize=True)
    noise = np.broadcast_to(data.mean(axis=1, keepdims=True) / sn, data.shape).copy()
    return data + noise * np.random.default_rng(seed).normal(size=data.shape), noise


def signs(losvd, data, noise=None, **settings):
    template = templates().mean(axis=0)
    return velocity_sign(
        losvd, VEL, WEIGHTS, data, LN_WAVE, template, TEM_WAVE, noise=noise, **settings
    )


def test_the_sign_is_seen():
    losvd = galaxy()
    data, noise = observed(losvd)
    found = signs(losvd, data, noise)
    assert found.ok, found.message
    assert found.slope == pytest.approx(1.0, abs=0.1)
    assert abs(found.offset_kms) < 10.0
    assert "same sign" in found.message
    assert np.corrcoef(found.model_kms, found.measured_kms)[0, 1] > 0.95


def test_a_flipped_sign_is_told():
    losvd = galaxy()
    found = signs(losvd[:, ::-1], *observed(losvd))
    assert not found.ok
    assert found.slope == pytest.approx(-1.0, abs=0.1)
    assert "the sign is flipped" in found.message


def test_velocities_of_other_bins_are_told():
    losvd = galaxy()
    other = galaxy(seed=8)
    found = signs(other, *observed(losvd))
    assert not found.ok
    assert "no relation" in found.message


def test_a_galaxy_that_hardly_rotates_tells_nothing():
    losvd = galaxy(rotation=3.0)
    found = signs(losvd, *observed(losvd, sn=15.0))
    assert found.ok, found.message
    assert "too small to tell" in found.message


@pytest.mark.parametrize("offset", [-83.0, 83.0, 250.0])
@pytest.mark.parametrize("flip", [1, -1])
def test_a_shift_of_all_bins_is_told_whatever_the_sign(offset, flip):
    losvd = galaxy()
    found = signs(losvd[:, ::flip], *observed(losvd, offset))
    assert not found.ok
    assert found.offset_kms == pytest.approx(offset, abs=10.0)
    assert f"off by {found.offset_kms:+.0f}" in found.message
    assert "multiply 1 + redshift by" in found.message
    medium = {-83.0: "in air taken for those in vacuum", 83.0: "in vacuum taken for those in air"}
    assert ("taken for" in found.message) == (offset in medium)
    assert medium.get(offset, "") in found.message
    assert ("flipped" in found.message) == (flip < 0)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), anything=st.sampled_from([np.nan, np.inf, -1e30]))
def test_masked_pixels_may_hold_anything(seed, anything):
    losvd = galaxy(n_bins=8)
    data, noise = observed(losvd)
    mask = np.random.default_rng(seed).random(data.shape) < 0.8
    one = signs(losvd, np.where(mask, data, 0.0), noise, mask=mask)
    two = signs(losvd, np.where(mask, data, anything), np.where(mask, noise, anything), mask=mask)
    np.testing.assert_array_equal(one.measured_kms, two.measured_kms)
    assert one.slope == two.slope


@pytest.mark.parametrize("unit", [1e-20, 1e15])
def test_the_unit_of_the_flux_does_not_matter(unit):
    losvd = galaxy()
    data, noise = observed(losvd)
    one, two = signs(losvd, data, noise), signs(losvd, unit * data, unit * noise)
    np.testing.assert_allclose(one.measured_kms, two.measured_kms, rtol=1e-6)
    assert one.slope == pytest.approx(two.slope)


def test_gaps_emission_and_faint_bins_do_no_harm():
    losvd = galaxy()
    data, noise = observed(losvd)
    faint = slice(0, 8)
    data[faint] += 40.0 * noise[faint] * np.random.default_rng(3).normal(size=data[faint].shape)
    noise[faint] *= 40.0
    mask = np.ones(data.shape, bool)
    mask[:, 100:180] = mask[10, :300] = mask[11] = False
    data[~mask] = 1e4
    losvd[12] = 0.0
    found = signs(losvd, data, noise, mask=mask)
    assert found.ok, found.message
    assert found.slope == pytest.approx(1.0, abs=0.1)
    assert np.isnan(found.measured_kms[11])
    assert np.isnan(found.model_kms[12])


def test_noise_alone_tells_nothing():
    losvd = galaxy()
    data, noise = observed(losvd)
    found = signs(losvd, np.random.default_rng(4).normal(size=data.shape), noise)
    assert not np.isfinite(found.slope) or found.slope_error > 0.2 or not found.ok


def test_data_beyond_any_shift_are_told():
    losvd = galaxy()
    data, noise = observed(losvd)
    found = signs(losvd, np.ones(data.shape), noise)
    assert not found.ok
    assert "check the redshift" in found.message
    assert np.isnan(found.offset_kms)


def test_refuses_what_does_not_fit():
    losvd = galaxy()
    data, _ = observed(losvd)
    with pytest.raises(InputError, match=r"losvd has shape \(30, 20, 2\), with 21 velocities"):
        signs(losvd[:, 1:], data)
    with pytest.raises(InputError, match=r"data have shape \(29, 600\), with 30 bins"):
        signs(losvd, data[1:])
    with pytest.raises(GridError, match="wider templates"):
        velocity_sign(losvd, VEL, WEIGHTS, data, LN_WAVE, np.ones(400), TEM_WAVE[:400])


def test_spectra_without_a_voxel_in_use_do_not_count_as_not_found():
    losvd = galaxy()
    mask = np.ones((30, LN_WAVE.size), bool)
    mask[4:] = False
    found = signs(losvd, *observed(losvd), mask=mask)
    assert "were found in" not in found.message
