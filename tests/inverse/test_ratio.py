import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cubefit.config import SolverCfg
from cubefit.errors import ConfigError, InputError
from cubefit.inverse.ratio import RatioRows, ratio_rows, ratio_targets

seeds = st.integers(0, 2**32 - 1)


def deviation(x, ratio):
    """Return how far each component is off its ratio to the anchor."""
    sums = x.sum(axis=1)
    return sums - ratio.ratios * sums[ratio.anchor]


@given(seed=seeds, eta=st.floats(0.01, 1.9))
@settings(deadline=None)
def test_one_row_is_one_relaxed_projection(seed, eta):
    rng = np.random.default_rng(seed)
    x, weights = rng.random((3, 4)), rng.uniform(0.1, 1.0, 3)
    ratio = RatioRows.of(weights, 3, SolverCfg(ratio_batch=1, ratio_eta=eta))
    before, moved = x.copy(), x.copy()
    ratio.project(moved, np.random.default_rng(seed))
    c = int(np.random.default_rng(seed).choice(ratio.candidates, 1)[0])
    row = np.zeros((3, 4))
    row[c], row[ratio.anchor] = 1.0, -weights[c] / weights[ratio.anchor]
    expected = before - eta * (row * before).sum() / (row**2).sum() * row
    np.testing.assert_allclose(moved, expected, rtol=1e-12, atol=1e-14)
    assert abs(deviation(moved, ratio)[c]) == pytest.approx(
        abs((1.0 - eta) * deviation(before, ratio)[c]), rel=1e-9, abs=1e-12
    )


@given(seed=seeds, unit=st.sampled_from([1e-20, 1.0, 1e10]))
@settings(deadline=None)
def test_a_batch_moves_the_ratios_towards_the_targets(seed, unit):
    rng = np.random.default_rng(seed)
    x, weights = unit * rng.random((2, 4)), rng.uniform(0.1, 1.0, 2)
    ratio = RatioRows.of(weights, 2, SolverCfg(ratio_batch=1))
    before = np.abs(deviation(x, ratio)).max()
    ratio.project(x, rng)
    assert np.abs(deviation(x, ratio)).max() < before


def test_many_batches_reach_the_targets():
    rng = np.random.default_rng(1)
    x, weights = rng.random((5, 4)), np.array([0.3, 1.0, 0.5, 0.2, 0.7])
    ratio = RatioRows.of(weights, 5, SolverCfg(ratio_eta=1.0))
    for _ in range(500):
        ratio.project(x, rng)
    sums = x.sum(axis=1)
    np.testing.assert_allclose(sums / sums[1], weights, rtol=1e-6)


@given(seed=seeds, scale=st.sampled_from([2.0**-40, 2.0**20]))
@settings(deadline=None)
def test_the_scale_of_weights_and_of_x_does_not_matter(seed, scale):
    rng = np.random.default_rng(seed)
    x, weights = rng.random((4, 3)), rng.uniform(0.1, 1.0, 4)
    results = []
    for w, start in ((weights, x), (scale * weights, x), (weights, scale * x)):
        moved = start.copy()
        RatioRows.of(w, 4, SolverCfg()).project(moved, np.random.default_rng(seed))
        results.append(moved)
    np.testing.assert_array_equal(results[1], results[0])
    np.testing.assert_array_equal(results[2], scale * results[0])


def test_the_heaviest_component_is_the_anchor_unless_one_is_named():
    weights = np.array([1.0, 5.0, 2.0])
    auto = RatioRows.of(weights, 3, SolverCfg())
    assert auto.anchor == 1
    np.testing.assert_array_equal(auto.ratios, [0.2, 1.0, 0.4])
    np.testing.assert_array_equal(auto.candidates, [0, 2])
    named = RatioRows.of(weights, 3, SolverCfg(ratio_anchor=2))
    assert named.anchor == 2
    np.testing.assert_array_equal(named.ratios, [0.5, 2.5, 1.0])
    np.testing.assert_array_equal(named.candidates, [0, 1])


def test_the_least_weight_is_relative_to_the_largest_whatever_the_anchor():
    weights = 1e6 * np.array([1.0, 0.05, 0.2, 0.0])
    config = SolverCfg(ratio_min_weight=0.1)
    np.testing.assert_array_equal(RatioRows.of(weights, 4, config).candidates, [2])
    config = SolverCfg(ratio_min_weight=0.1, ratio_anchor=1)
    np.testing.assert_array_equal(RatioRows.of(weights, 4, config).candidates, [0, 2])


def test_relaxation_defaults_to_a_tenth_of_lr():
    weights = np.ones(2)
    assert RatioRows.of(weights, 2, SolverCfg(lr=0.5)).eta == pytest.approx(0.05)
    assert RatioRows.of(weights, 2, SolverCfg(lr=0.5, ratio_eta=0.3)).eta == 0.3


def test_a_single_component_has_no_rows():
    x = np.ones((1, 3))
    RatioRows.of(np.ones(1), 1, SolverCfg()).project(x, np.random.default_rng(0))
    np.testing.assert_array_equal(x, np.ones((1, 3)))


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        (np.ones(2), r"shape \(2,\).*\(3,\)"),
        (np.ones((3, 1)), r"shape \(3, 1\)"),
        (np.array(1.0), r"shape \(\)"),
        (np.array([1.0, np.nan, 1.0]), "finite"),
        (np.array([1.0, np.inf, 1.0]), "finite"),
        (np.array([1.0, -0.1, 1.0]), "not negative.*-0.1 to 1"),
        (np.zeros(3), "not all zero"),
    ],
)
def test_bad_weights_are_refused(weights, words):
    with pytest.raises(InputError, match=words):
        RatioRows.of(weights, 3, SolverCfg())


@pytest.mark.parametrize("anchor", [1, 3])
def test_an_anchor_without_weight_is_refused(anchor):
    with pytest.raises(ConfigError, match="component below 3 of positive weight"):
        RatioRows.of(np.array([1.0, 0.0, 1.0]), 3, SolverCfg(ratio_anchor=anchor))


def test_ratio_rows_follow_the_settings():
    weights = np.array([1.0, 2.0])
    assert ratio_rows(None, 2, SolverCfg()) is None
    assert ratio_rows(weights, 2, SolverCfg(ratio_use=False)) is None
    assert ratio_rows(weights, 2, SolverCfg()).anchor == 1
    with pytest.raises(ConfigError, match="ratio_use=True needs orbit_weights"):
        ratio_rows(None, 2, SolverCfg(ratio_use=True))


@pytest.mark.parametrize("weights", ["many", ["a", "b"], [[1], [2, 3]]])
def test_weights_that_are_no_numbers_are_refused(weights):
    with pytest.raises(InputError, match="are no numbers"):
        ratio_rows(weights, 2, SolverCfg())


def test_components_without_light_are_neither_anchor_nor_target():
    weights, lit = np.array([1.0, 5.0, 2.0, 3.0]), np.array([True, False, True, True])
    anchor, targets = ratio_targets(weights, "auto", 0.0, lit)
    assert anchor == 3
    np.testing.assert_array_equal(targets, [0, 2])
    # The least weight is relative to the heaviest, lit or not.
    np.testing.assert_array_equal(ratio_targets(weights, "auto", 0.5, lit)[1], [])
    np.testing.assert_array_equal(ratio_targets(weights, 0, 0.4, lit)[1], [2, 3])
    with pytest.raises(ConfigError, match="with light in a voxel in use"):
        ratio_targets(weights, 1, 0.0, lit)
    with pytest.raises(ConfigError, match="ratio_anchor"):
        ratio_targets(weights, "auto", 0.0, np.zeros(4, bool))


@pytest.mark.parametrize("weights", [[1j, 1.0], np.ones(2, complex)])
def test_complex_weights_are_refused_whatever_holds_them(weights):
    with pytest.raises(InputError, match="are complex"):
        ratio_rows(weights, 2, SolverCfg())
