import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubefit.store.snapshot import bright_pairs, read_snapshot, spread


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
    assert labels[0] == "metallicity -1.5, age 1"
    assert labels[-1] == "metallicity 0, age 10"


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
