"""Where the spaxels are on the sky."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubefit.live.galaxy import read_galaxy
from cubefit.live.sky import Sky, sky_of
from cubefit.results.pixels import Pixels, regular_grid

STEP = 0.5


def sky(spaxel: np.ndarray) -> Sky:
    """Pixels of a grid of steps of half a unit, in rows."""
    rows, columns = spaxel.shape
    y, x = (STEP * a.ravel() for a in np.indices((rows, columns)))
    grid = regular_grid(x, y)
    return Sky(x=x, y=y, spaxel=spaxel.ravel(), grid=grid, has_positions=True, steps=(STEP, STEP))


@st.composite
def regions(draw):
    shape = draw(st.tuples(st.integers(2, 6), st.integers(2, 6)))
    cells = draw(st.lists(st.integers(-1, 2), min_size=36, max_size=36))
    return np.array(cells[: shape[0] * shape[1]]).reshape(shape)


@given(spaxel=regions())
def test_the_outline_is_the_border_of_the_region(spaxel):
    inside = np.pad(spaxel == 1, 1).astype(int)
    sides = np.abs(np.diff(inside, axis=0)).sum() + np.abs(np.diff(inside, axis=1)).sum()
    outline = sky(spaxel).outline(1)
    assert outline.shape == (sides, 4)
    lengths = np.hypot(outline[:, 2] - outline[:, 0], outline[:, 3] - outline[:, 1])
    np.testing.assert_allclose(lengths, STEP)
    # The area inside, by Green's theorem: x dy over sides whose inner neighbour is to their left.
    for x0, y0, x1, y1 in outline:
        middle = np.array([(x0 + x1) / 2, (y0 + y1) / 2]) / STEP + 1.0
        normal = np.array([0.5, 0.0]) if x0 == x1 else np.array([0.0, 0.5])
        cells = [np.rint(middle + sign * normal).astype(int) for sign in (-1, 1)]
        assert sum(inside[row, column] for column, row in cells) == 1


@given(spaxel=regions(), x=st.floats(-2, 5), y=st.floats(-2, 5))
def test_the_nearest_pixel_is_picked_within_reach(spaxel, x, y):
    found = sky(spaxel)
    picked = found.nearest(x, y)
    known = found.spaxel >= 0
    distance = np.hypot(found.x - x, found.y - y)[known]
    if picked is None:
        assert not known.any() or distance.min() > STEP
    else:
        ties = np.isclose(distance, distance.min())
        assert picked in found.spaxel[known][ties]
        assert distance.min() <= STEP


def test_spaxels_without_positions_stand_in_order(populated):
    galaxy = read_galaxy(populated)
    found = sky_of(replace(galaxy, pixels=None))
    assert not found.has_positions
    assert found.spaxel.tolist() == list(range(7))
    assert found.nearest(0.0, 0.0) == 0
    assert found.nearest(1.1, -0.9) == 4
    assert found.grid is not None


def test_positions_on_no_grid_are_squares_that_share_the_area(populated):
    rng = np.random.default_rng(3)
    x, y = rng.uniform(0, 10, (2, 400))
    pixels = Pixels(bins=np.arange(400, dtype=np.int32) % 7, x=x, y=y)
    found = sky_of(replace(read_galaxy(populated), pixels=pixels))
    assert found.grid is None
    assert found.steps == pytest.approx((0.5, 0.5), rel=0.05)
    assert found.nearest(x[13], y[13]) == 13 % 7


@pytest.mark.parametrize("n", [1, 3])
def test_pixels_in_one_row_or_one_place(populated, n):
    pixels = Pixels(bins=np.zeros(n, np.int32), x=2.0 * np.arange(n), y=np.zeros(n))
    found = sky_of(replace(read_galaxy(populated), pixels=pixels))
    assert found.steps == ((2.0, 2.0) if n > 1 else (1.0, 1.0))
    assert found.outline(0).shape == (2 * n + 2, 4)


def test_pixels_of_a_grid_may_be_wider_than_high(populated):
    y, x = np.indices((3, 4)).reshape(2, -1)
    pixels = Pixels(bins=np.arange(12, dtype=np.int32) % 7, x=2.0 * x, y=0.5 * y)
    found = sky_of(replace(read_galaxy(populated), pixels=pixels))
    assert found.steps == (2.0, 0.5)
    assert found.nearest(0.9, 0.0) == 0
    assert found.nearest(0.0, 1.9) is None
    one = found.outline(6)
    assert one.shape == (4, 4)
    assert np.ptp(one[:, [0, 2]]) == 2.0
    assert np.ptp(one[:, [1, 3]]) == 0.5
