"""Spaxels to pixels to images."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cubefit.errors import InputError
from cubefit.results.pixels import regular_grid, spread_over_pixels

seeds = st.integers(0, 2**32 - 1)


@given(seed=seeds, n_spaxels=st.integers(1, 8), n_pixels=st.integers(0, 40))
def test_extensive_maps_conserve_what_has_pixels(seed, n_spaxels, n_pixels):
    rng = np.random.default_rng(seed)
    values, bins = rng.random(n_spaxels), rng.integers(-2, n_spaxels, n_pixels)
    spread = spread_over_pixels(values, bins, extensive=True)
    np.testing.assert_array_equal(np.isnan(spread), bins < 0)
    present = np.isin(np.arange(n_spaxels), bins)
    assert np.nansum(spread) == pytest.approx(values[present].sum())
    for s in np.flatnonzero(present):
        assert np.ptp(spread[bins == s]) == 0


@given(seed=seeds)
def test_intensive_maps_repeat(seed):
    rng = np.random.default_rng(seed)
    values, bins = rng.random(4), rng.integers(-1, 4, 20)
    spread = spread_over_pixels(values, bins, extensive=False)
    for pixel, s in enumerate(bins):
        assert np.isnan(spread[pixel]) if s < 0 else spread[pixel] == values[s]


@given(
    seed=seeds,
    shape=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    steps=st.tuples(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3)),
    filled=st.floats(0.05, 1.0),
    jitter=st.sampled_from([0.0, 1e-4, 0.004]),
)
def test_pixels_on_a_grid_are_found_in_any_order(seed, shape, steps, filled, jitter):
    rng = np.random.default_rng(seed)
    rows, columns = np.indices(shape).reshape(2, -1)
    some = rng.permutation(rows.size)[: max(1, int(filled * rows.size))]
    rows, columns = rows[some], columns[some]
    noise = rng.uniform(-jitter, jitter, (2, some.size))
    for places in (rows, columns):
        # The step shows where there are neighbours; jitter alone would make one up.
        assume(np.ptp(places) == 0 or np.diff(np.unique(places)).min() == 1)
        assume(np.ptp(places) > 0 or not jitter)
    x, y = steps[1] * (columns - 3 + noise[0]), steps[0] * (rows - 3 + noise[1])
    grid = regular_grid(x, y)
    image = grid.image_of(np.arange(some.size, dtype=float))
    assert np.isfinite(image).sum() == some.size
    np.testing.assert_array_equal(image[grid.row, grid.column], np.arange(some.size))
    np.testing.assert_allclose(grid.x[grid.column], x, atol=0.01 * steps[1])
    np.testing.assert_allclose(grid.y[grid.row], y, atol=0.01 * steps[0])


def test_gaps_are_columns_of_nothing():
    grid = regular_grid(np.array([0.0, 0.2, 10.0]), np.array([1.0, 1.0, 1.0]))
    assert (grid.y.size, grid.x.size) == (1, 51)
    np.testing.assert_array_equal(grid.column, [0, 1, 50])
    image = grid.image_of(np.array([3, 4, 5], np.int32), empty=-1)
    assert image.dtype == np.int32
    assert (image == -1).sum() == 48


def test_rounded_coordinates_are_fine():
    x = np.round(np.arange(300) * 0.2 / 1.03, 3)
    np.testing.assert_array_equal(regular_grid(x, x).column, np.arange(300))


@pytest.mark.parametrize(
    ("x", "y", "told"),
    [
        ([0.0, 1.0, 2.4], [0.0, 0.0, 0.0], "The x coordinates .* no regular grid"),
        ([0.0, 0.0, 0.0], [0.0, 1.0, 2.4], "The y coordinates .* no regular grid"),
        ([0.0, 1.0, 0.0], [0.0, 0.0, 0.0], "Two image pixels lie in one place"),
        ([], [], "no image pixels"),
    ],
)
def test_irregular_pixels_are_refused(x, y, told):
    with pytest.raises(InputError, match=told):
        regular_grid(np.array(x), np.array(y))


def test_an_accidental_grid_is_refused():
    x = np.append(np.arange(9.0), 500.0)
    with pytest.raises(InputError, match="image of 501 x 501"):
        regular_grid(x, x)


def test_scattered_pixels_are_refused():
    x, y = np.random.default_rng(3).random((2, 60))
    with pytest.raises(InputError, match="no regular grid"):
        regular_grid(x, y)
