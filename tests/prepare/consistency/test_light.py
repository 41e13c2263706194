import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubefit.errors import InputError
from cubefit.prepare.consistency import light_agreement

seeds = st.integers(0, 2**32 - 1)
WEIGHTS = np.array([1.0, 3.0, 0.5])


def galaxy(seed=1, n=11, angle=0.5, off_centre=0.4):
    """Return x, y and light of bins of an inclined, slightly lopsided galaxy."""
    rng = np.random.default_rng(seed)
    y, x = (axis.ravel() - 0.5 * (n - 1) for axis in np.indices((n, n)).astype(float))
    along = x * np.cos(angle) + y * np.sin(angle)
    across = -x * np.sin(angle) + y * np.cos(angle)
    light = np.exp(-np.hypot(along, across / 0.4) / 2.0 + off_centre * 0.1 * (x + 0.5 * y))
    order = rng.permutation(x.size)
    return x[order], y[order], light[order]


def losvds(light, seed=1):
    """Return LOSVDs (S, V, C) whose weighted sums are the light."""
    losvd = np.random.default_rng(seed).random((light.size, 5, 3))
    total = np.einsum("svc,c->s", losvd, WEIGHTS)
    return (losvd * (light / total)[:, None, None]).astype(np.float32)


@given(seed=seeds, unit=st.sampled_from([1e-20, 1.0, 1e10]))
def test_light_of_the_same_bins_agrees_in_any_unit(seed, unit):
    x, y, light = galaxy(seed)
    scatter = np.random.default_rng(seed).normal(1.0, 0.05, light.size)
    found = light_agreement(losvds(light, seed), WEIGHTS, unit * light * scatter, x=x, y=y)
    assert found.ok
    assert found.correlation > 0.98
    assert found.rank_correlation > 0.98
    assert found.scatter == pytest.approx(0.05, abs=0.03)
    assert "same order" in found.message


@pytest.mark.parametrize(
    ("name", "turned"),
    [
        ("x mirrored", lambda x, y: (-x, y)),
        ("y mirrored", lambda x, y: (x, -y)),
        ("turned by 180 degrees", lambda x, y: (-x, -y)),
        ("x and y swapped", lambda x, y: (y, x)),
    ],
)
def test_a_turned_or_mirrored_cube_is_named(name, turned):
    x, y, light = galaxy(angle=0.3, off_centre=3.0)
    there = {(a, b): value for a, b, value in zip(x, y, light, strict=True)}
    flux = np.array([there[place] for place in zip(*turned(x, y), strict=True)])
    found = light_agreement(losvds(light), WEIGHTS, flux, x=x, y=y)
    assert not found.ok
    assert f"change of one of them: {name}" in found.message
    assert found.alternatives[name] > 0.999


def test_a_reversed_order_is_named_without_positions():
    _, _, light = galaxy()
    found = light_agreement(losvds(light), WEIGHTS, light[::-1].copy())
    assert not found.ok
    assert "change of one of them: order reversed" in found.message


def test_a_scrambled_order_is_told():
    x, y, light = galaxy()
    flux = np.random.default_rng(2).permutation(light)
    found = light_agreement(losvds(light), WEIGHTS, flux, x=x, y=y)
    assert not found.ok
    assert ", and no mirrored, turned or reversed order" in found.message


@given(seed=seeds, spread=st.floats(0.2, 2.0))
def test_different_populations_are_no_other_order(seed, spread):
    rng = np.random.default_rng(seed)
    light = np.exp(spread * rng.normal(size=150))
    found = light_agreement(losvds(light, seed), WEIGHTS, light * np.exp(rng.normal(0, 0.25, 150)))
    assert found.ok


def test_bins_alike_tell_nothing():
    x, y, light = galaxy()
    even = np.ones(light.size)
    found = light_agreement(losvds(even), WEIGHTS, even, x=x, y=y)
    assert found.ok
    assert "cannot tell" in found.message
    assert np.isnan(found.correlation)


@pytest.mark.parametrize(
    ("even", "told"), [("orbits", "LOSVDs have no"), ("cube", "Spectra have no")]
)
def test_one_side_without_amplitudes_is_told(even, told):
    x, y, light = galaxy()
    ones = np.exp(0.02 * np.random.default_rng(1).standard_normal(light.size))
    orbits, flux = (ones, light) if even == "orbits" else (light, ones)
    found = light_agreement(losvds(orbits), WEIGHTS, flux, x=x, y=y)
    assert not found.ok
    assert told in found.message
    assert "normalization = 'unit'" in found.message
    assert np.isnan(found.correlation)


def test_bins_of_nearly_even_light_may_still_differ_a_little():
    light = np.exp(0.08 * np.random.default_rng(1).standard_normal(60))
    assert light_agreement(losvds(light), WEIGHTS, light**2).ok


def test_bins_that_were_swapped_stand_out_from_the_trend_of_populations():
    x, y, light = galaxy()
    n_pixels = np.random.default_rng(2).integers(1, 20, light.size)
    of_bin = light * n_pixels
    flux = of_bin * light**0.3 * np.exp(0.03 * np.random.default_rng(3).standard_normal(x.size))
    even = light_agreement(losvds(of_bin), WEIGHTS, flux, x=x, y=y, n_pixels=n_pixels)
    assert even.ok
    assert even.outliers.size == 0
    ratio = of_bin / of_bin[3]
    other = int(np.argmin(np.abs(np.log(ratio / 3.0))))
    flux[[3, other]] = flux[[other, 3]]
    found = light_agreement(losvds(of_bin), WEIGHTS, flux, x=x, y=y, n_pixels=n_pixels)
    assert not found.ok
    assert sorted(found.outliers) == sorted([3, other])
    assert "their ratio stands out in 2 of them" in found.message
    assert f" {other} (" in found.message
    # without pixels the median ratio is the trend
    flux = of_bin.copy()
    flux[7] *= 2.0
    assert light_agreement(losvds(of_bin), WEIGHTS, flux).outliers.tolist() == [7]


def test_bins_without_light_or_flux_are_left_out():
    _, _, light = galaxy()
    flux = light.copy()
    flux[:5] = [np.nan, -1.0, 0.0, np.nan, -np.inf]
    dark = light.copy()
    dark[-3:] = 0.0
    found = light_agreement(losvds(dark), WEIGHTS, flux)
    assert found.ok
    assert found.correlation == pytest.approx(1.0)


def test_bins_that_are_far_fainter_than_others_do_not_stand_out():
    """As at the corners of a field, where populations change no further."""
    _, _, bright = galaxy(n=17)
    bright = np.append(np.sort(bright)[5:], [1e-6, 2e-6])
    n_pixels = np.append(np.random.default_rng(1).integers(1, 30, bright.size - 2), [280, 270])
    of_bin = bright * n_pixels
    flux = of_bin / np.exp(0.5 * np.tanh(np.log(bright) + 3.0))
    found = light_agreement(losvds(of_bin), WEIGHTS, flux, n_pixels=n_pixels)
    assert found.ok, found.message


def test_other_numbers_of_bins_are_refused():
    losvd = losvds(np.ones(4))
    with pytest.raises(InputError, match="The orbit library has 4 bins, the cube 5"):
        light_agreement(losvd, WEIGHTS, np.ones(5))
    with pytest.raises(InputError, match="3 components, but there are 2 weights"):
        light_agreement(losvd, WEIGHTS[:2], np.ones(4))
    with pytest.raises(InputError, match=r"shape \(4, 3\)"):
        light_agreement(losvd.sum(axis=1), WEIGHTS, np.ones(4))


@pytest.mark.parametrize("n", [3, 9, 11])
def test_few_bins_do_not_stand_out_for_a_gradient_of_populations(n):
    light = np.exp(-np.arange(float(n)))
    flux = light * np.where(np.arange(n) == 0, 1.6, 1.0)
    assert light_agreement(losvds(light), WEIGHTS, flux, n_pixels=np.ones(n, int)).ok
