import numpy as np
import pytest

from cubefit.errors import InputError
from cubefit.io import bundled_orbits
from cubefit.prepare.consistency import bin_places


@pytest.fixture(scope="module")
def orbits():
    library = bundled_orbits("small")
    return library.x, library.y, library.binnum


def turned(x, y, degrees):
    place = (x + 1j * y) * np.exp(1j * np.radians(degrees))
    return place.real, place.imag


def test_the_same_places_pass(orbits):
    assert bin_places(*orbits, orbits).ok
    x, y, bins = orbits
    beside = np.append(x, 99.0), np.append(y, 99.0), np.append(bins, -1)
    assert bin_places(*beside, orbits).ok
    # finer pixels of the same bins
    fine = np.repeat(x, 4) + np.tile([0.4, 0.4, -0.4, -0.4], x.size), np.repeat(y, 4)
    fine = fine[0], fine[1] + np.tile([0.4, -0.4, 0.4, -0.4], x.size)
    assert bin_places(*fine, np.repeat(bins, 4), orbits).ok


def test_pixels_that_a_cube_lacks_at_its_border_do_no_harm(orbits):
    x, y, bins = orbits
    kept = (x > x.min()) | (np.random.default_rng(1).random(x.size) < 0.5)
    assert set(bins[kept]) == set(bins)
    assert bin_places(x[kept], y[kept], bins[kept], orbits).ok


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda x, y: (-x, y), "this change of them: x mirrored."),
        (lambda x, y: (x, -y), "this change of them: y mirrored."),
        (lambda x, y: (y, x), "this change of them: x and y swapped."),
        (lambda x, y: (-x, -y), "this change of them: turned by 180 degrees"),
        (lambda x, y: turned(x, y, 37.0), "turned by -37 degrees counterclockwise"),
        (lambda x, y: (x * 5.0, y * 5.0), "positions multiplied by 0.2"),
        (lambda x, y: (x + 9.0, y - 4.0), "this change of them: moved by -9, +4 (columns, rows)"),
    ],
)
def test_a_simple_change_is_named(orbits, change, told):
    x, y, bins = orbits
    found = bin_places(*change(x, y), bins, orbits)
    assert not found.ok
    assert found.elsewhere.size > 4
    assert told in found.message


def test_another_order_is_named(orbits):
    x, y, bins = orbits
    found = bin_places(x, y, bins * 7 % 40, orbits)
    assert not found.ok
    assert "the same places in another order" in found.message


def test_other_bins_are_told(orbits):
    x, y, bins = orbits
    other = np.random.default_rng(1).permutation(bins)
    found = bin_places(x, y, other, orbits)
    assert not found.ok
    assert "No simple change brings them together" in found.message


def test_other_numbers_of_pixels_are_told():
    x, y = (a.ravel() * 1.0 for a in np.meshgrid(np.arange(24), np.arange(12)))
    bins = (x // 6 + 4 * (y // 6)).astype(int)
    fewer = (np.abs(x % 6 - 2.5) < 2) & (np.abs(y % 6 - 2.5) < 2)
    found = bin_places(x[fewer], y[fewer], bins[fewer], (x, y, bins))
    assert not found.ok
    assert "8 of 8 bins have other numbers of pixels than in the orbit library" in found.message


def test_a_single_bin_may_lie_elsewhere():
    x, y, bins = np.array([0.0, 1.0]), np.zeros(2), np.zeros(2, int)
    found = bin_places(x + 20.0, y, bins, (x, y, bins))
    assert "moved by -20, +0" in found.message


def test_other_numbers_of_bins_are_refused(orbits):
    x, y, bins = orbits
    with pytest.raises(InputError, match="41 bins, but the orbit library has 40"):
        bin_places(np.append(x, 0.0), np.append(y, 0.0), np.append(bins, 40), orbits)


def test_a_bin_that_the_cube_cuts_is_no_reason_among_few():
    y, x = (axis.ravel() for axis in np.indices((9, 9)).astype(float))
    bins = (3 * (y // 3) + x // 3).astype(int)
    kept = (bins != 8) | (x < 8)
    assert bin_places(x[kept], y[kept], bins[kept], (x, y, bins)).ok


def test_rounding_is_no_move():
    one, bin_0 = np.array([0.3]), np.array([0])
    assert bin_places(one + 1e-12, one, bin_0, (one, one, bin_0)).ok
    assert not bin_places(one + 1.0, one, bin_0, (one, one, bin_0)).ok
