import numpy as np
import pytest

from cubefit.io import bundled_orbits
from cubefit.prepare.consistency import centre_offset


def profile(x, y, scale):
    return np.exp(-np.sqrt(x**2 + (y / 0.7) ** 2 + 1) / scale)


def sky(size, finer):
    """Return x, y and bins of pixels, ``finer`` of them along each of the orbit library's."""
    orbits = bundled_orbits(size)
    step = float(np.diff(np.unique(orbits.x))[0])
    part = ((np.arange(finer) + 0.5) / finer - 0.5) * step
    x = orbits.x[:, None, None] + part[:, None] + 0 * part
    y = orbits.y[:, None, None] + part + 0 * part[:, None]
    return x.ravel(), y.ravel(), np.repeat(orbits.binnum, finer**2), step


@pytest.mark.parametrize("size", ["small", "medium"])
@pytest.mark.parametrize("finer", [1, 2, 3])
@pytest.mark.parametrize("scale", [3.0, 12.0])
def test_light_within_bins_is_no_other_centre(size, finer, scale):
    x, y, bins, _ = sky(size, finer)
    light = profile(x, y, scale)
    of_bin = np.bincount(bins, weights=light)
    rng = np.random.default_rng(1)
    mass = of_bin * np.exp(0.2 * rng.standard_normal(of_bin.size)) * of_bin**0.2
    for orbits in (of_bin, mass):
        found = centre_offset(orbits, light, x, y, bins)
        assert found.ok, found
    assert found.scatter > 0.1


@pytest.mark.parametrize("size", ["small", "medium"])
@pytest.mark.parametrize("finer", [1, 3])
@pytest.mark.parametrize("scale", [3.0, 12.0])
@pytest.mark.parametrize("offset_px", [(2.0, -1.5), (-3.0, 4.0)])
def test_a_real_offset_is_found_with_sign_and_size(size, finer, scale, offset_px):
    x, y, bins, step = sky(size, finer)
    of_bin = np.bincount(bins, weights=profile(x, y, scale))
    offset = step * np.array(offset_px)
    light = profile(x - offset[0], y - offset[1], scale)
    light *= 1.0 + 0.02 * np.random.default_rng(1).standard_normal(light.size)
    light[::17] = np.nan
    found = centre_offset(of_bin, light, x, y, bins)
    assert not found.ok
    assert (found.x, found.y) == pytest.approx(offset, abs=0.35 * step)
    assert found.scatter_moved < 0.3 * found.scatter


def test_a_cube_that_was_binned_before_tells_nothing():
    x, y, bins, step = sky("small", 1)
    of_bin = np.bincount(bins, weights=profile(x, y, 3.0))
    moved = np.bincount(bins, weights=profile(x - 3 * step, y, 3.0))
    light = (moved / np.bincount(bins))[bins]
    assert centre_offset(of_bin, light, x, y, bins).ok


@pytest.mark.parametrize("even", ["orbits", "cube", "nothing"])
def test_without_amplitudes_nothing_is_told(even):
    x, y, bins, step = sky("small", 1)
    light = profile(x - 3 * step, y, 3.0)
    of_bin = np.bincount(bins, weights=profile(x, y, 3.0))
    if even == "orbits":
        of_bin = np.bincount(bins).astype(float)
    elif even == "cube":
        light = 1.0 + 1e-3 * np.random.default_rng(1).random(x.size)
    else:
        light[:] = np.nan
    found = centre_offset(of_bin, light, x, y, bins)
    assert found.ok
    assert np.isnan(found.x)


def test_a_slit_tells_nothing():
    x, y = np.arange(30.0), np.zeros(30)
    light = profile(x - 9.0, y, 3.0)
    found = centre_offset(profile(x - 15.0, y, 3.0), light, x, y, np.arange(30))
    assert found.ok
    assert np.isnan(found.x)
