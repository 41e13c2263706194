"""Tiles are what the arithmetic says, whoever makes them and in which pieces."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubefit.store.tiles import TileGrid
from cubefit.tile_maker import TemplateBlocks, TileMaker, missing_tiles, model_floor, tile_bytes

length = st.integers(1, 6)


def maker_of(losvd, shifted, tile, *, asked=None):
    """Return a maker of the models of these arrays, and how they are cut."""
    S, _, C = losvd.shape
    _, P, L = shifted.shape
    grid = TileGrid.of((S, C, P, L), *tile)
    largest = float(losvd.max())
    templates = TemplateBlocks.of(shifted.copy(), largest, grid.tile[2])

    def losvd_of(spaxels):
        if asked is not None:
            asked.append((spaxels.start, spaxels.stop))
        return losvd[spaxels]

    return TileMaker(losvd_of, templates, grid), grid


@given(
    shape=st.tuples(length, length, length, length, length),
    tile=st.tuples(length, length, length),
    brightness=st.sampled_from([1e-20, 1.0, 3e15]),
    seed=st.integers(0, 2**32 - 1),
)
def test_tiles_are_sums_over_velocity_bins(shape, tile, brightness, seed):
    S, V, C, P, L = shape
    rng = np.random.default_rng(seed)
    losvd = rng.random((S, V, C), np.float32) * np.float32(brightness)
    shifted = rng.random((V, P, L), np.float32)
    expected = np.einsum("svc,vpl->scpl", losvd.astype(float), shifted.astype(float))
    maker, grid = maker_of(losvd, shifted, tile)
    buffer = np.full(grid.tile, np.nan, np.float32)
    n_bytes = 0
    for index in missing_tiles(np.zeros(grid.counts, bool)):
        s, c, p = grid.slices(index)
        made = maker.fill(index, buffer)
        inside = made[:, : c.stop - c.start, : p.stop - p.start]
        np.testing.assert_allclose(inside, expected[s, c, p], rtol=1e-5)
        # Padding is zero, and there is nothing else.
        assert np.isfinite(made).all()
        assert np.count_nonzero(made) == np.count_nonzero(inside)
        n_bytes += tile_bytes(grid, index)
    assert n_bytes == 4 * math.prod(grid.shape)


def test_losvds_are_asked_for_once_a_row_of_tiles():
    rng, asked = np.random.default_rng(1), []
    losvd, shifted = rng.random((7, 3, 4), np.float32), rng.random((3, 5, 6), np.float32)
    maker, grid = maker_of(losvd, shifted, (3, 2, 2), asked=asked)
    for index in missing_tiles(np.zeros(grid.counts, bool)):
        maker.fill(index, np.empty(grid.tile, np.float32))
    assert asked == [(0, 3), (3, 6), (6, 7)]


def test_a_part_of_the_spaxels_has_the_same_bits():
    """Scale and floor are those of all spaxels."""
    rng = np.random.default_rng(2)
    losvd = rng.random((6, 3, 2), np.float32)
    losvd[3:] *= np.float32(1e-29)
    shifted = rng.random((3, 2, 5), np.float32)
    whole, grid = maker_of(losvd, shifted, (3, 2, 2))
    templates = TemplateBlocks.of(shifted.copy(), float(losvd.max()), grid.tile[2])
    part_grid = TileGrid(shape=(3, *grid.shape[1:]), tile=grid.tile)
    part = TileMaker(losvd[3:].__getitem__, templates, part_grid)
    made = [np.empty(grid.tile, np.float32) for _ in range(2)]
    whole.fill((1, 0, 0), made[0])
    part.fill((0, 0, 0), made[1])
    assert made[0].tobytes() == made[1].tobytes()
    assert made[0].any()


@pytest.mark.parametrize("brightest", [1e-30, 1e-6, 1.0, 1e20])
def test_models_of_what_counts_are_no_subnormals(brightest):
    floor = model_floor(brightest)
    assert floor >= 1e-30
    assert floor * brightest >= 0.99e-36 or floor == 1e-30
    assert model_floor(0.0) == 1.0
