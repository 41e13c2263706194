import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cubefit.inverse.light import LightBlock, light_blocks

seeds = st.integers(0, 2**32 - 1)
checked = settings(deadline=None, max_examples=100)


@given(
    seed=seeds,
    S=st.integers(1, 40),
    C=st.integers(1, 12),
    share=st.sampled_from([0.0, 0.05, 0.5, 1.0]),
    most=st.integers(1, 10),
)
@checked
def test_blocks_hold_every_lit_pair_once(seed, S, C, share, most):
    lit = np.random.default_rng(seed).random((S, C)) < share
    blocks = light_blocks(lit, most=most)
    assert len(blocks) <= most
    held = np.zeros((S, C), int)
    for block in blocks:
        assert (np.diff(block.spaxels) > 0).all()
        assert (np.diff(block.components) > 0).all()
        assert block.n_pairs == block.spaxels.size * block.components.size > 0
        held[np.ix_(block.spaxels, block.components)] += 1
    assert (held[lit] == 1).all()
    assert held.max(initial=0) <= 1
    assert sum(block.n_pairs for block in blocks) == held.sum() <= S * C


def test_spaxels_of_two_kinds_fall_apart():
    lit = np.zeros((40, 10), bool)
    lit[::2, :5] = lit[1::2, 5:] = True
    blocks = light_blocks(lit)
    assert sum(block.n_pairs for block in blocks) == lit.sum()
    assert len(blocks) == 2


def test_full_light_is_one_block_and_none_is_none():
    (block,) = light_blocks(np.ones((4, 3), bool))
    np.testing.assert_array_equal(block.spaxels, np.arange(4))
    np.testing.assert_array_equal(block.components, np.arange(3))
    assert light_blocks(np.zeros((4, 3), bool)) == []


def test_a_block_takes_the_components_that_light_any_of_its_spaxels():
    lit = np.array([[1, 0, 0], [0, 0, 1], [0, 1, 0]], bool)
    block = LightBlock.of(lit, np.array([0, 1]))
    np.testing.assert_array_equal(block.components, [0, 2])
    assert block.n_pairs == 4


@pytest.mark.parametrize("most", [1, 2, 8])
def test_blocks_are_no_more_than_asked_for(most):
    lit = np.eye(30, dtype=bool)
    assert len(light_blocks(lit, most=most)) <= most
