"""The datasets of /Fit: where they are, and what they hold before, between and after fits."""

from dataclasses import replace

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cubefit.errors import StaleError, StoreError
from cubefit.store import fit_group, schema
from cubefit.store.fit_group import (
    CAPACITY,
    FitSizes,
    cut_columns,
    finish_fit_group,
    is_prepared,
    last_time,
    prepare_fit_group,
    thin_columns,
)

METRICS = (
    "epoch", "time_sec", "train_rmse_ewma", "val_rmse", "delta_x_rel", "nnz", "l1_norm", "l2_norm",
    "mass_err_L1", "mass_err_Linf", "chi2", "gap_rel",
)  # fmt: skip


def sizes(n_weights=6, ring_size=4, n_spaxels=3, n_pixels=5):
    return FitSizes(
        n_weights=n_weights,
        ring_size=ring_size,
        spaxels=np.arange(n_spaxels, dtype=np.int32),
        pixels=np.arange(n_pixels, dtype=np.int32) * 2,
    )


@pytest.fixture
def file(tmp_path):
    with h5py.File(tmp_path / "cube.h5", "w", libver="earliest") as file:
        prepare_fit_group(file, sizes(), fresh=True)
        yield file


def column(file, name):
    return file[f"/Fit/metrics/{name}"]


def write_rows(file, values):
    """Write one value per row into every column."""
    for name in METRICS:
        column(file, name)[: len(values)] = values
    column(file, "n")[()] = len(values)


def test_every_dataset_of_the_specification(file):
    want = {
        "x_latest": ((6,), "f8"),
        "x_best": ((6,), "f8"),
        "x_ring": ((4, 6), "f8"),
        "x_vis_ring": ((4, 6), "f4"),
        "x_ring_row": ((4,), "i8"),
        "x_vis_ring_row": ((4,), "i8"),
        "sample/spaxels": ((3,), "i4"),
        "sample/val_pixels": ((5,), "i4"),
        "metrics/n": ((), "i8"),
        "metrics/epoch": ((CAPACITY,), "i8"),
    }
    want |= {f"metrics/{name}": ((CAPACITY,), "f8") for name in METRICS if name != "epoch"}
    found = {name: (file["/Fit"][name].shape, file["/Fit"][name].dtype.str[1:]) for name in want}
    assert found == want
    np.testing.assert_array_equal(file["/Fit/sample/spaxels"], [0, 1, 2])
    np.testing.assert_array_equal(file["/Fit/sample/val_pixels"], [0, 2, 4, 6, 8])


def test_every_dataset_is_in_the_schema_and_labelled(file):
    entries = {entry.path: entry for entry in schema.TABLE}
    found = []
    file.visit(lambda name: found.append("/" + name))
    datasets = [name for name in found if isinstance(file[name], h5py.Dataset)]
    assert set(datasets) <= set(entries)
    assert {p for p in entries if p.startswith("/Fit")} - set(datasets) == {
        "/Fit/x_latest", "/Fit/x_best", "/Fit/orbit_weights",
    }  # fmt: skip
    for name in datasets:
        assert dict(file[name].attrs) == entries[name].labels()


def test_nothing_is_written_yet(file):
    assert column(file, "n")[()] == 0
    assert (column(file, "epoch")[()] == -1).all()
    for name in set(METRICS) - {"epoch"}:
        assert np.isnan(column(file, name)[()]).all()
    for name in ("x_latest", "x_best", "x_ring", "x_vis_ring"):
        assert np.isnan(file["/Fit"][name][()]).all()
    for name in ("x_ring_row", "x_vis_ring_row"):
        assert (file["/Fit"][name][()] == -1).all()


def test_everything_has_its_place_before_a_fit(tmp_path, file):
    """So that nothing moves while it runs."""
    for name in ("x_latest", "x_ring", "x_vis_ring", "x_ring_row", "metrics/n"):
        assert file["/Fit"][name].id.get_offset() is not None
    for name in METRICS:
        assert column(file, name).chunks == (CAPACITY,)
        assert column(file, name).id.get_num_chunks() == 1


def test_orbit_weights_of_a_fit_stand_in_the_file_until_a_fit_without(file):
    weighted = replace(sizes(), orbit_weights=np.array([1.0, 2.0]))
    assert not is_prepared(file, weighted)
    prepare_fit_group(file, weighted, fresh=False)
    np.testing.assert_array_equal(file["/Fit/orbit_weights"], [1.0, 2.0])
    assert is_prepared(file, weighted)
    assert not is_prepared(file, sizes())
    assert not is_prepared(file, replace(sizes(), orbit_weights=np.array([1.0, 3.0])))
    prepare_fit_group(file, sizes(), fresh=False)
    assert "/Fit/orbit_weights" not in file
    assert is_prepared(file, sizes())


def test_is_prepared_until_something_differs(file):
    assert is_prepared(file, sizes())
    for other in (sizes(n_weights=7), sizes(ring_size=5), sizes(n_spaxels=2), sizes(n_pixels=6)):
        assert not is_prepared(file, other)
    file["/Fit/sample/spaxels"][0] = 9
    assert not is_prepared(file, sizes())
    prepare_fit_group(file, sizes(), fresh=False)
    assert is_prepared(file, sizes())
    for name in ("metrics/chi2", "metrics/n", "x_ring_row", "x_latest", "checkpoints/1/record"):
        del file["/Fit"][name]
        assert not is_prepared(file, sizes())
        prepare_fit_group(file, sizes(), fresh=False)
        assert is_prepared(file, sizes())


@settings(max_examples=30)
@given(n_rows=st.integers(0, CAPACITY))
def test_columns_are_cut_and_grow_again(tmp_path_factory, n_rows):
    values = np.arange(n_rows) + 1
    path = tmp_path_factory.getbasetemp() / "cut.h5"
    with h5py.File(path, "w", libver="earliest") as file:
        prepare_fit_group(file, sizes(), fresh=True)
        write_rows(file, values)
        cut_columns(file)
        for name in METRICS:
            # HDF5 frees the space of a column of no rows.
            assert column(file, name).shape == (max(n_rows, 1),)
            np.testing.assert_array_equal(column(file, name)[:n_rows], values)
        prepare_fit_group(file, sizes(), fresh=False)
        assert is_prepared(file, sizes())
        assert column(file, "n")[()] == n_rows
        for name in METRICS:
            found = column(file, name)[()]
            np.testing.assert_array_equal(found[:n_rows], values)
            assert (np.isnan(found[n_rows:]) | (found[n_rows:] == -1)).all()


def test_a_fresh_fit_drops_the_history_and_keeps_the_checkpoints(file):
    write_rows(file, np.arange(10))
    file["/Fit/x_ring_row"][...] = 3
    file["/Fit/x_latest"][...] = 5.0
    cut_columns(file)
    prepare_fit_group(file, sizes(), fresh=True)
    assert column(file, "n")[()] == 0
    assert (column(file, "epoch")[()] == -1).all()
    assert np.isnan(column(file, "val_rmse")[()]).all()
    assert (file["/Fit/x_ring_row"][()] == -1).all()
    assert (file["/Fit/x_latest"][()] == 5.0).all()


def test_a_fit_that_goes_on_keeps_the_rings(file):
    write_rows(file, np.arange(10))
    file["/Fit/x_ring_row"][...] = [8, 9, 6, 7]
    file["/Fit/x_ring"][...] = 2.0
    prepare_fit_group(file, sizes(), fresh=False)
    np.testing.assert_array_equal(file["/Fit/x_ring_row"], [8, 9, 6, 7])
    assert (file["/Fit/x_ring"][()] == 2.0).all()
    prepare_fit_group(file, sizes(ring_size=3), fresh=False)
    np.testing.assert_array_equal(file["/Fit/x_ring_row"], [-1, -1, -1])
    assert file["/Fit/x_vis_ring"].shape == (3, 6)
    assert column(file, "n")[()] == 10


def test_checkpoints_of_another_length_are_refused_unless_afresh(file):
    file["/Fit/checkpoints/0/record"][()] = b"something"
    with pytest.raises(StaleError, match=r"have 6 weights, this fit has 7: .* or pass x0"):
        prepare_fit_group(file, sizes(n_weights=7), fresh=False)
    prepare_fit_group(file, sizes(n_weights=7), fresh=True)
    assert file["/Fit/x_latest"].shape == (7,)
    assert file["/Fit/x_ring"].shape == (4, 7)
    assert file["/Fit/checkpoints/0/record"][()] == b""


def test_what_an_older_program_left_gives_way(tmp_path):
    with h5py.File(tmp_path / "old.h5", "w", libver="earliest") as file:
        file["/Fit/x_latest"] = np.ones(6)
        file["/Fit/metrics/epoch"] = np.arange(4.0)
        prepare_fit_group(file, sizes(), fresh=False)
        assert is_prepared(file, sizes())
        assert column(file, "epoch").dtype == np.int64
        assert isinstance(file.get("/Fit/x_latest", getlink=True), h5py.SoftLink)


@settings(max_examples=50)
@given(n_rows=st.integers(1, 40), ring=st.lists(st.integers(-1, 39), min_size=4, max_size=4))
def test_thinning_keeps_every_other_row_and_the_last(tmp_path_factory, n_rows, ring):
    ring = np.minimum(ring, n_rows - 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit_group, "CAPACITY", 40)
        with h5py.File(tmp_path_factory.getbasetemp() / "thin.h5", "w") as file:
            prepare_fit_group(file, sizes(), fresh=True)
            write_rows(file, np.arange(n_rows))
            file["/Fit/x_ring_row"][...] = ring
            thin_columns(file)
            kept = column(file, "epoch")[: int(column(file, "n")[()])]
            assert (column(file, "epoch")[kept.size :] == -1).all()
            np.testing.assert_array_equal(column(file, "chi2")[: kept.size], kept)
            assert np.isnan(column(file, "chi2")[kept.size :]).all()
            rows = file["/Fit/x_ring_row"][()]
    assert kept[-1] == n_rows - 1
    assert (np.diff(kept) == 2).all()
    assert kept[0] in (0, 1)
    # A place of the ring goes on naming its own row, or is free.
    np.testing.assert_array_equal(rows >= 0, np.isin(ring, kept))
    named = rows >= 0
    np.testing.assert_array_equal(kept[rows[named]], ring[named])


def test_the_end_of_a_fit(file):
    write_rows(file, np.arange(3))
    finish_fit_group(file, np.zeros(6))
    assert column(file, "val_rmse").shape == (3,)
    del file["/Fit"]
    finish_fit_group(file, np.zeros(6))
    assert "/Fit" not in file


def test_rows_of_sweeps_that_are_made_again_are_dropped(file):
    """A killed fit goes on from its last checkpoint: what came later is not history."""
    write_rows(file, [10.0, 20.0, 30.0, 40.0])
    file["/Fit/x_ring_row"][...] = [0, 3, 1, -1]
    assert is_prepared(file, sizes(), 40.0)
    assert not is_prepared(file, sizes(), 20.0)
    prepare_fit_group(file, sizes(), fresh=False, elapsed_s=20.0)
    assert column(file, "n")[()] == 2
    assert column(file, "time_sec")[:3].tolist()[:2] == [10.0, 20.0]
    assert np.isnan(column(file, "time_sec")[2:]).all()
    assert file["/Fit/x_ring_row"][()].tolist() == [0, -1, 1, -1]
    assert last_time(file) == 20.0


def test_the_time_of_a_fit_that_wrote_nothing(tmp_path, file):
    assert last_time(file) == 0.0
    with h5py.File(tmp_path / "none.h5", "w") as empty:
        assert last_time(empty) == 0.0


@pytest.mark.parametrize("name", ["/Fit", "/Fit/metrics", "/Fit/checkpoints", "/Fit/sample"])
@pytest.mark.parametrize("value", [np.arange(3), h5py.SoftLink("/gone")])
def test_what_stands_in_the_way_is_named_and_kept(file, name, value):
    del file[name]
    file[name] = value
    with pytest.raises(StoreError, match=f"{name} in the file is no group of a fit"):
        prepare_fit_group(file, sizes(), fresh=True)
    assert file.get(name, getlink=True) is not None


def test_a_link_to_no_checkpoint_is_made_anew(file):
    del file["/Fit/checkpoints/latest"]
    file["/Fit/checkpoints/latest"] = h5py.SoftLink("nowhere")
    prepare_fit_group(file, sizes(), fresh=False)
    assert file["/Fit/x_latest"].shape == (6,)


def test_groups_in_the_place_of_datasets_are_replaced(file):
    for name in ("/Fit/x_ring", "/Fit/metrics/chi2", "/Fit/checkpoints/0/x"):
        del file[name]
        file.create_group(name)
    assert not is_prepared(file, sizes())
    prepare_fit_group(file, sizes(), fresh=False)
    assert is_prepared(file, sizes())
