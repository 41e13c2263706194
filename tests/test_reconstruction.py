import logging

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cubefit.errors import (
    ConfigError,
    InputError,
    LockedError,
    MissingDataError,
    StaleError,
    StoreError,
)
from cubefit.hypercube_builder import build_hypercube
from cubefit.kz_fitSpec import reconstruct_model_cube_single as from_script
from cubefit.pipeline_runner import PipelineRunner
from cubefit.reconstruction import (
    reconstruct_from_cube,
    reconstruct_model_cube_single,
    slab_sizes,
)
from cubefit.store.handle import open_h5
from cubefit.store.lock import writer_lock


def reconstruct(path, x, *args, **settings_):
    return reconstruct_model_cube_single(path, x, *args, verbose=False, **settings_)


def model_cube(path, name="ModelCube"):
    with h5py.File(path) as file:
        assert file[name].dtype == np.float64
        return file[name][()]


def stored_models(path):
    with h5py.File(path) as file:
        return file["/HyperCube/models"][()].astype(np.float64)


@settings(max_examples=15)
@given(
    S_chunk=st.integers(1, 9),
    C_chunk=st.integers(1, 6),
    P_chunk=st.integers(1, 13),
    S_tile=st.none() | st.integers(1, 9),
    populations=st.floats(1.0, 40.0),
)
def test_every_chunk_shape_and_slab(
    populated_once, problem, tmp_path_factory, S_chunk, C_chunk, P_chunk, S_tile, populations
):
    path = tmp_path_factory.mktemp("slabs") / "cube.h5"
    path.write_bytes(populated_once.read_bytes())
    build_hypercube(path, S_chunk, C_chunk, P_chunk, verbose=False)
    max_bytes = int(4 * 5 * 40 * populations)
    reconstruct(path, problem.x_true, S_tile=S_tile, max_bytes_per_slab=max_bytes)
    expected = np.einsum("scpl,cp->sl", stored_models(path), problem.x_true)
    np.testing.assert_allclose(model_cube(path), expected, rtol=5e-7)


@given(
    shape=st.tuples(*[st.integers(1, 50)] * 4),
    s_tile=st.integers(1, 60),
    max_bytes=st.integers(1, 10**6),
)
def test_slabs_stay_within_their_bytes(shape, s_tile, max_bytes):
    _, C, P, L = shape
    if max_bytes < 4 * C * L:
        with pytest.raises(InputError, match=r"max_bytes_per_slab=.*raise it"):
            slab_sizes(shape, s_tile, max_bytes)
        return
    spaxels, populations = slab_sizes(shape, s_tile, max_bytes)
    assert 4 * spaxels * C * populations * L <= max_bytes
    assert 1 <= spaxels <= s_tile
    assert 1 <= populations <= P


def test_no_slab_is_larger_than_asked(built, problem):
    """What is read at a time, seen from the reader."""
    seen = []

    class Watched:
        shape = problem.shape

        def slab(self, spaxels, populations):
            part = problem.models[spaxels, :, populations].astype(np.float32)
            seen.append(part.nbytes)
            return part

    cube = reconstruct_from_cube(Watched(), problem.x_true, 5, 4 * 5 * 40 * 7, verbose=False)
    np.testing.assert_allclose(cube, problem.datacube, rtol=5e-7)
    assert max(seen) <= 4 * 5 * 40 * 7
    assert sum(seen) == 4 * problem.models.size


def test_sums_are_float64(make_problem, tmp_path):
    """Float32 sums over 100 bright components would lose the faint one."""
    problem = make_problem(S=2, C=100, axes=(2,))
    path = problem.populate(tmp_path / "cube.h5")
    build_hypercube(path, verbose=False)
    x = np.full((100, 2), 1e6)
    x[0] = 1e-2
    reconstruct(path, x)
    exact = np.einsum("scpl,cp->sl", stored_models(path), x)
    # Within 5e-8 of float64: a float32 sum over components drifts by up to 100 * 6e-8.
    np.testing.assert_allclose(model_cube(path), exact, rtol=1e-7)


def test_matrix_free_without_a_cube(populated, problem, caplog):
    caplog.set_level("INFO", "cubefit")
    assert reconstruct(populated, problem.x_true.ravel())
    np.testing.assert_allclose(model_cube(populated), problem.datacube, rtol=1e-5)
    assert "no finished HyperCube: reconstructing matrix-free" in caplog.text


def test_matrix_free_with_an_unfinished_cube(built, problem):
    with h5py.File(built, "r+") as file:
        file["/HyperCube/_done"][0, 0, 0] = 0
        file["/HyperCube/models"][...] = np.nan
    assert reconstruct(built, problem.x_true)
    np.testing.assert_allclose(model_cube(built), problem.datacube, rtol=1e-5)


def test_an_unchanged_reconstruction_is_skipped(built, problem, caplog):
    assert reconstruct(built, problem.x_true) is True
    before = built.read_bytes()
    caplog.set_level("INFO", "cubefit")
    assert reconstruct(built, problem.x_true.ravel()) is False
    assert reconstruct(built, problem.x_true, "/ModelCube", S_tile=1) is False
    assert "/ModelCube of" in caplog.text
    assert "nothing to do" in caplog.text
    assert built.read_bytes() == before
    with writer_lock(built):
        assert reconstruct(built, problem.x_true) is False


def test_another_x_is_another_cube(built, problem):
    reconstruct(built, problem.x_true)
    assert reconstruct(built, 2.0 * problem.x_true) is True
    np.testing.assert_allclose(model_cube(built), 2.0 * problem.datacube, rtol=1e-6)
    changed = problem.x_true.copy()
    changed[-1, -1] = np.nextafter(changed[-1, -1], 1.0)
    assert reconstruct(built, changed) is True


def test_other_inputs_are_another_cube(populated, problem):
    reconstruct(populated, problem.x_true)
    with open_h5(populated, "writer") as file:
        file["/LOSVD"][...] = 3.0 * file["/LOSVD"][()]
    assert reconstruct(populated, problem.x_true) is True
    np.testing.assert_allclose(model_cube(populated), 3.0 * problem.datacube, rtol=1e-5)


def test_other_data_are_the_same_cube(built, problem):
    reconstruct(built, problem.x_true)
    with open_h5(built, "writer") as file:
        file["/DataCube"][...] = 0.0
    assert reconstruct(built, problem.x_true) is False


def test_a_stale_cube_is_refused(built, problem):
    with open_h5(built, "writer") as file:
        file["/LOSVD"][...] = 3.0 * file["/LOSVD"][()]
    with pytest.raises(StaleError, match="other inputs"):
        reconstruct(built, problem.x_true)


def test_names(built, problem):
    for name in ("Best fit", "ModelCube"):
        reconstruct(built, problem.x_true, array_name=name)
        np.testing.assert_allclose(model_cube(built, name), problem.datacube, rtol=1e-6)
    for name in ("DataCube", "HyperCube", "Fit", "", "a/b"):
        with pytest.raises(InputError, match="plain name"):
            reconstruct(built, problem.x_true, array_name=name)


@pytest.mark.parametrize("kind", ["dataset", "group"])
def test_what_is_not_ours_is_not_overwritten(built, problem, kind):
    with open_h5(built, "writer") as file:
        file["/Mine" if kind == "dataset" else "/Mine/deep"] = 1.0
    before = built.read_bytes()
    with pytest.raises(InputError, match=r"array_name='Mine': .* holds something else"):
        reconstruct(built, problem.x_true, array_name="Mine")
    assert built.read_bytes() == before


@pytest.mark.parametrize(
    ("x", "told"),
    [
        (np.ones(59), r"x has shape \(59,\): the file needs C\*P = 5\*12 = 60"),
        (np.ones((5, 3, 4)), "has shape"),
        (np.full(60, np.nan), "NaN or infinite"),
        (np.full(60, np.inf), "NaN or infinite"),
    ],
)
def test_wrong_solutions(built, x, told):
    before = built.read_bytes()
    with pytest.raises(InputError, match=told):
        reconstruct(built, x)
    assert built.read_bytes() == before


@pytest.mark.parametrize(
    ("setting", "error"),
    [
        ({"S_tile": 0}, ConfigError),
        ({"blas_threads": 0}, ConfigError),
        ({"max_bytes_per_slab": 0}, ConfigError),
        ({"max_bytes_per_slab": 4 * 5 * 40 - 1}, InputError),
        ({"normalization": "unity"}, ConfigError),
        ({"normalization": "unit"}, ConfigError),
    ],
    ids=str,
)
def test_wrong_settings(built, problem, setting, error):
    with pytest.raises(error, match=next(iter(setting))):
        reconstruct(built, problem.x_true, **setting)


def test_another_writer_is_noticed_before_the_work(built, problem):
    with writer_lock(built), pytest.raises(LockedError):
        reconstruct(built, problem.x_true)


def test_a_missing_file(tmp_path):
    with pytest.raises(StoreError, match="does not exist"):
        reconstruct(tmp_path / "cube.h5", np.ones(3))


def test_normalization_of_the_cube_acts(populated, problem):
    build_hypercube(populated, normalization="unit", verbose=False)
    reconstruct(populated, problem.x_true)
    unit = problem.models / problem.losvd.sum(axis=1)[:, :, None, None]
    expected = np.einsum("scpl,cp->sl", unit, problem.x_true)
    np.testing.assert_allclose(model_cube(populated), expected, rtol=1e-5)
    with h5py.File(populated, "r+") as file:
        file["/HyperCube/_done"][0, 0, 0] = 0
    assert reconstruct(populated, problem.x_true, normalization="unit") is False


def test_normalization_of_the_fit_acts_without_a_cube(populated, problem):
    runner = PipelineRunner(populated)
    x, _ = runner.solve_all(normalization="unit", verbose=False)
    reconstruct(populated, x)
    unit = problem.models / problem.losvd.sum(axis=1)[:, :, None, None]
    expected = np.einsum("scpl,cp->sl", unit, x.reshape(5, 12))
    np.testing.assert_allclose(model_cube(populated), expected, rtol=1e-5)
    assert reconstruct(populated, x, normalization="losvd") is True


def test_stored_and_matrix_free_agree(built, populated, problem):
    reconstruct(built, problem.x_true)
    reconstruct(populated, problem.x_true)
    np.testing.assert_allclose(model_cube(built), model_cube(populated), rtol=1e-6)


def test_progress_is_told_where_asked(built, problem, caplog):
    caplog.set_level(logging.INFO, "cubefit")
    assert from_script is reconstruct_model_cube_single
    from_script(built, 0.0 * problem.x_true, verbose=True)
    assert not model_cube(built).any()


def test_without_x_it_is_the_committed_solution(built):
    with pytest.raises(MissingDataError, match="Missing /X_global"):
        reconstruct_model_cube_single(built, verbose=False)
    x, _ = PipelineRunner(built).solve_all(method="exact", verbose=False)
    assert reconstruct_model_cube_single(built, verbose=False)
    assert not reconstruct_model_cube_single(built, x, verbose=False)


def test_a_solution_is_reconstructed_with_the_models_it_was_fitted_with(built, caplog):
    """The HyperCube has others, of LOSVDs that were not scaled."""
    caplog.set_level("INFO", "cubefit")
    x, _ = PipelineRunner(built).solve_all(method="exact", normalization="unit", verbose=False)
    assert reconstruct_model_cube_single(built, verbose=False)
    assert "a HyperCube of another normalization than its solution" in caplog.text
    with h5py.File(built) as file:
        assert file["ModelCube"].attrs["normalization"] == "unit"
        cube, losvd = file["ModelCube"][()], file["LOSVD"][()]
    reconstruct_model_cube_single(built, x, "plain", verbose=False)
    with h5py.File(built) as file:
        assert not np.allclose(cube, file["plain"][()], rtol=1e-3)
    assert not np.allclose(losvd.sum(axis=1), 1.0)
