import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubefit.store.load import read_given_spectra
from cubefit.store.snapshot import bright_pairs, read_snapshot, spread, told


def test_models_shown_are_those_of_the_file(built, problem):
    shown = read_snapshot(built)
    assert len(shown.model_triples) == 4
    for (s, c, p), model in zip(shown.model_triples, shown.models, strict=True):
        np.testing.assert_allclose(model, problem.models[s, c, p], rtol=1e-5)
    for (s, c), losvd in zip(shown.losvd_pairs, shown.losvds, strict=True):
        np.testing.assert_allclose(losvd, problem.losvd[s, :, c], rtol=1e-6)
    np.testing.assert_array_equal(shown.spectra, problem.datacube[shown.spaxels])
    assert shown.mask.all()


@pytest.mark.parametrize("n_done", [0, 1, 3])
def test_only_finished_tiles_are_shown(built, problem, n_done):
    with h5py.File(built, "r+") as file:
        done = np.zeros((3, 3, 3), np.uint8)
        done[:n_done, 1, 0] = 1
        file["/HyperCube/_done"][...] = done
        for s in range(3):
            for c in range(3):
                if not done[s, c, 0]:
                    file["/HyperCube/models"][3 * s : 3 * s + 3, 2 * c : 2 * c + 2] = 99.0
    shown = read_snapshot(built)
    assert len(shown.model_triples) == min(2, len(range(7)[: 3 * n_done]))
    for (s, c, p), model in zip(shown.model_triples, shown.models, strict=True):
        np.testing.assert_allclose(model, problem.models[s, c, p], rtol=1e-5)


def test_labels_say_the_axis_values(make_problem, tmp_path):
    axes = {"metallicity": [-1.5, 0.0], "age": [1, 3, 10], "alpha": [0.2]}
    problem = make_problem(axes=(2, 3, 1), template_axes=axes)
    labels = read_snapshot(problem.populate(tmp_path / "cube.h5")).template_labels
    assert labels[0] == "[M/H] -1.5, 1 Gyr"
    assert labels[-1] == "[M/H] 0, 10 Gyr"


@given(count=st.integers(1, 50), n=st.integers(1, 10))
def test_spread(count, n):
    chosen = spread(count, n)
    assert len(chosen) == min(n, count)
    assert chosen == sorted(set(chosen))
    assert chosen[0] == 0
    assert 0 <= chosen[-1] < count


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 5))
def test_bright_pairs_differ_in_both_and_hold_light(seed, n):
    rng = np.random.default_rng(seed)
    light, allowed = rng.random((4, 3)) * (rng.random((4, 3)) < 0.7), rng.random((4, 3)) < 0.7
    pairs = bright_pairs(light, allowed, n)
    assert len({s for s, _ in pairs}) == len({c for _, c in pairs}) == len(pairs) <= min(n, 3)
    assert all(light[p] > 0 and allowed[p] for p in pairs)
    if pairs:
        assert light[pairs[0]] == (light * allowed).max()
    else:
        assert not (light * allowed).any()


def test_voxels_that_are_masked_are_gaps_and_masked_pixels_are_not(problem, tmp_path):
    mask, voxels = np.arange(40) != 5, np.ones((7, 40), bool)
    data = problem.datacube.copy()
    voxels[:, 20] = voxels[3, 30] = False
    data[:, 20], data[3, 30] = 0.0, np.nan
    path = problem.populate(tmp_path / "cube.h5", datacube=data, mask=mask, voxel_mask=voxels)
    shown = read_snapshot(path)
    np.testing.assert_array_equal(shown.mask, (voxels & mask)[shown.spaxels])
    expected = np.where(voxels, data, np.nan)
    np.testing.assert_array_equal(shown.spectra, expected[shown.spaxels])
    with h5py.File(path) as file:
        np.testing.assert_array_equal(read_given_spectra(file, [3]), expected[[3]])


def test_the_pairs_shown_are_spread_over_components_and_spaxels():
    light = np.ones((40, 24)) - 1e-3 * np.add.outer(np.arange(40), np.arange(24))
    pairs = bright_pairs(light, np.ones(light.shape, bool), 4)
    assert pairs[0] == (0, 0)
    assert sorted(c // 6 for _, c in pairs) == [0, 1, 2, 3]  # one of each quarter of the light
    spaxels = sorted(s for s, _ in pairs)
    assert np.diff(spaxels).min() >= 8


def test_the_models_shown_are_of_different_populations(built):
    populations = [p for _, _, p in read_snapshot(built).model_triples]
    assert len(set(populations)) > 1


@pytest.mark.parametrize(
    ("axis", "value", "label"),
    [
        ("metallicity", 0.22, "[M/H] 0.22"),
        ("Age", 15.8489, "15.8 Gyr"),
        ("age", -0.5, "age -0.5"),  # a logarithm, for all that is known
        ("[alpha/Fe]", 0.4, "[\N{GREEK SMALL LETTER ALPHA}/Fe] 0.4"),
        ("imf slope", 1.3, "imf slope 1.3"),
    ],
)
def test_axes_are_told_with_their_units(axis, value, label):
    assert told(axis, value) == label
