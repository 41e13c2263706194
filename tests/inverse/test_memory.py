import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cubefit.errors import ConfigError
from cubefit.inverse.memory import (
    FEWEST_COMPRESSED,
    LARGEST_BATCH,
    SMALLEST_BATCH,
    plan_memory,
)

sizes = st.tuples(*(st.integers(1, most) for most in (3000, 200, 300, 360, 1300)))
checked = settings(deadline=None, max_examples=200)
NGC4365 = (2854, 201, 207, 360, 724)
MEDIUM = (500, 71, 120, 150, 400)


def least_budget(size, n_pairs, *, is_smooth):
    """Return what the error says that a fit needs, in bytes."""
    with pytest.raises(ConfigError) as caught:
        plan_memory(size, n_pairs, 1.0, is_smooth=is_smooth)
    return 1e9 * float(re.search(r"takes at least ([\d.]+) GB", str(caught.value)).group(1))


@given(size=sizes, share=st.floats(0.0, 1.0), spare=st.floats(1.02, 50.0), smooth=st.booleans())
@checked
def test_a_plan_is_within_its_budget_where_there_is_one(size, share, spare, smooth):
    n_pairs = int(share * size[0] * size[2])
    budget = spare * least_budget(size, n_pairs, is_smooth=smooth) + 1e7
    plan = plan_memory(size, n_pairs, budget, is_smooth=smooth)
    assert plan.needed_bytes <= budget + 2 * SMALLEST_BATCH
    assert plan.budget_bytes == budget
    assert SMALLEST_BATCH <= plan.batch_bytes <= LARGEST_BATCH
    assert 1 <= plan.most_compressed <= size[3]
    assert plan.most_compressed >= min(size[3], FEWEST_COMPRESSED)


@pytest.mark.parametrize("smooth", [False, True])
def test_more_memory_is_never_worse(smooth):
    n_pairs = MEDIUM[0] * MEDIUM[2]
    least = least_budget(MEDIUM, n_pairs, is_smooth=smooth)
    plans = [
        plan_memory(MEDIUM, n_pairs, factor * least, is_smooth=smooth)
        for factor in (1.02, 1.1, 1.3, 2.0, 4.0, 20.0)
    ]
    for fewer, more in itertools.pairwise(plans):
        assert fewer.most_compressed <= more.most_compressed
        assert fewer.needed_bytes <= more.needed_bytes
    assert plans[0].most_compressed < plans[-1].most_compressed


def test_dark_pairs_and_no_smoothness_cost_less():
    full = least_budget(MEDIUM, MEDIUM[0] * MEDIUM[2], is_smooth=False)
    assert least_budget(MEDIUM, 0, is_smooth=False) < full
    assert least_budget(MEDIUM, MEDIUM[0] * MEDIUM[2], is_smooth=True) > full


@pytest.mark.parametrize("smooth", [False, True])
def test_spaxels_that_others_hold_cost_nothing_here(smooth):
    _, *others = MEDIUM
    least = [least_budget((S, *others), None, is_smooth=smooth) for S in (1, 10**9)]
    assert least[0] == least[1] < least_budget(MEDIUM, 0, is_smooth=smooth)
    plan = plan_memory(MEDIUM, None, 8e9, is_smooth=smooth)
    assert plan.needed_bytes < plan_memory(MEDIUM, 0, 8e9, is_smooth=smooth).needed_bytes


def test_a_budget_that_is_too_small_says_what_is_needed_and_how_to_need_less():
    with pytest.raises(ConfigError, match=r"max_memory_gb=0.2: this fit takes at least .* GB") as e:
        plan_memory(NGC4365, 590_000, 0.2e9, is_smooth=True)
    for word in ("S=2854", "V=201", "C=207", "P=360", "L=724", "smaller cube"):
        assert word in str(e.value)
    said = 1e9 * float(re.search(r"at least ([\d.]+) GB", str(e.value)).group(1))
    plan_memory(NGC4365, 590_000, 1.01 * said, is_smooth=True)
    with pytest.raises(ConfigError):
        plan_memory(NGC4365, 590_000, 0.99 * said, is_smooth=True)


def test_the_plan_in_words():
    plan = plan_memory(MEDIUM, 60_000, 8e9, is_smooth=True)
    assert "of a budget of 8.00 GB (max_memory_gb)" in plan.told()
    assert f"{plan.most_compressed} compressed templates" in plan.told()
