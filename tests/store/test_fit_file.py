"""Writing to /Fit while a fit runs, read by plain h5py all the time."""

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cubefit.errors import LockedError, StoreError
from cubefit.store import fit_file, fit_group
from cubefit.store.amend import amended
from cubefit.store.checkpoints import Checkpoint, read_checkpoint
from cubefit.store.fit_file import FitFile, next_place
from cubefit.store.fit_group import FitSizes, prepare_fit_group
from cubefit.store.handle import reading

RING_SIZE = 3
SAMPLE = np.arange(2, dtype=np.int32)


def prepare(path, ring_size=RING_SIZE, *, fresh=True):
    sizes = FitSizes(n_weights=60, ring_size=ring_size, spaxels=SAMPLE, pixels=SAMPLE)
    with amended(path) as clone:
        prepare_fit_group(clone, sizes, fresh=fresh)


@pytest.fixture
def path(populated):
    prepare(populated)
    return populated


def x_of(number):
    return number + np.arange(60) / 100.0


def checkpoint(number, **changes):
    facts = {"x": x_of(number), "epoch": number, "elapsed_s": 1.0, "written": 2.0}
    return Checkpoint(**(facts | changes))


def column(path, name):
    with h5py.File(path, "r", swmr=True) as file:
        return file[f"/Fit/metrics/{name}"][()]


def found(path, which):
    with h5py.File(path, "r", swmr=True) as file:
        return read_checkpoint(file, which)


def ring(path, name="x_ring"):
    """Return {row: x} of a ring."""
    with h5py.File(path, "r", swmr=True) as file:
        rows = file[f"/Fit/{name}_row"][()]
        return {int(r): file[f"/Fit/{name}"][k] for k, r in enumerate(rows) if r >= 0}


def test_rows_are_there_as_soon_as_they_are_written(path):
    with FitFile(path) as file:
        for n in range(3):
            assert file.add_row({"epoch": n + 1, "val_rmse": 0.5 * n}) == n
            assert column(path, "n") == n + 1
            np.testing.assert_array_equal(column(path, "epoch")[: n + 2], [*range(1, n + 2), -1])
            np.testing.assert_array_equal(column(path, "val_rmse")[: n + 1], 0.5 * np.arange(n + 1))
            assert np.isnan(column(path, "val_rmse")[n + 1 :]).all()
        assert np.isnan(column(path, "chi2")).all()


def test_a_checkpoint_is_the_latest_and_the_best_where_it_is(path):
    with FitFile(path) as file:
        for number, best in enumerate([True, False, False, True, False, True, True, False]):
            file.save(checkpoint(number, run={"n": number}), best=best)
            kept = number if best else kept  # noqa: F821 - the first is the best
            assert (found(path, "latest").epoch, found(path, "best").epoch) == (number, kept)
            assert found(path, "best").run == {"n": kept}
            with h5py.File(path, "r", swmr=True) as plain:
                np.testing.assert_array_equal(plain["/Fit/x_latest"], x_of(number))
                np.testing.assert_array_equal(plain["/Fit/x_best"], x_of(kept))


def test_before_the_first_best_there_is_none_or_the_earlier_fit_s(path):
    with FitFile(path) as file:
        file.save(checkpoint(1), best=False)
        file.save(checkpoint(2), best=False)
        file.save(checkpoint(3), best=False)
        assert found(path, "best") is None
        file.save(checkpoint(4), best=True)
    prepare(path, fresh=True)
    with FitFile(path) as file:
        for number in range(5, 9):
            file.save(checkpoint(number), best=False)
            assert (found(path, "latest").epoch, found(path, "best").epoch) == (number, 4)


def test_a_checkpoint_whose_record_is_too_long_changes_nothing(path):
    with FitFile(path) as file:
        file.save(checkpoint(1), best=True)
        before = path.read_bytes()
        with pytest.raises(StoreError, match="shorter"):
            file.save(checkpoint(2, run={"note": "x" * 5000}), best=True)
    assert path.read_bytes() == before


def test_rings_rotate_and_name_their_rows(path):
    with FitFile(path) as file:
        for n in range(8):
            row = file.add_row({"epoch": n})
            file.put_in_ring("vis", x_of(n), row)
            if n % 2 == 0:
                file.put_in_ring("x", x_of(n), row)
            vis = ring(path, "x_vis_ring")
            assert sorted(vis) == list(range(max(0, n + 1 - RING_SIZE), n + 1))
            for r, x in vis.items():
                assert x.dtype == np.float32
                np.testing.assert_array_equal(x, x_of(r).astype(np.float32))
    assert sorted(ring(path)) == [2, 4, 6]
    for r, x in ring(path).items():
        np.testing.assert_array_equal(x, x_of(r))


def test_a_resumed_fit_appends_and_a_fresh_one_resets(path):
    def one_more(n):
        with FitFile(path) as file:
            file.put_in_ring("x", x_of(n), file.add_row({"epoch": n}))
            return file.n_rows

    assert [one_more(n) for n in range(5)] == [1, 2, 3, 4, 5]
    assert sorted(ring(path)) == [2, 3, 4]
    prepare(path, fresh=False)
    assert one_more(5) == 6
    assert sorted(ring(path)) == [3, 4, 5]
    np.testing.assert_array_equal(column(path, "epoch")[:7], [0, 1, 2, 3, 4, 5, -1])
    prepare(path, fresh=True)
    assert ring(path) == {}
    assert one_more(9) == 1
    np.testing.assert_array_equal(column(path, "epoch")[:2], [9, -1])


@given(ring_size=st.integers(1, 6), pauses=st.lists(st.booleans(), max_size=20))
def test_a_ring_holds_the_last_however_often_it_is_reopened(ring_size, pauses):
    rows = np.full(ring_size, -1)
    place = next_place(rows)
    for row, reopened in enumerate(pauses):
        place = next_place(rows) if reopened else place
        rows[place] = row
        place = (place + 1) % ring_size
    assert sorted(rows[rows >= 0]) == list(range(len(pauses)))[-ring_size:]


@settings(max_examples=10)
@given(n_rows=st.integers(1, 40))
def test_a_full_history_is_thinned_again_and_again(populated_once, tmp_path_factory, n_rows):
    path = tmp_path_factory.mktemp("thin") / "cube.h5"
    path.write_bytes(populated_once.read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        for module in (fit_file, fit_group):
            patch.setattr(module, "CAPACITY", 8)
        prepare(path)
        with FitFile(path) as file:
            for n in range(n_rows):
                row = file.add_row({"epoch": n, "time_sec": n, "chi2": 10.0 * n})
                file.put_in_ring("x", x_of(n), row)
                file.save(checkpoint(n), best=n == 0)
                assert row + 1 == file.n_rows == column(path, "n") <= 8
                assert column(path, "epoch")[row] == n
        epochs = column(path, "epoch")[: column(path, "n")]
        assert (np.diff(epochs) > 0).all()
        np.testing.assert_array_equal(column(path, "chi2")[: epochs.size], 10.0 * epochs)
        for r, x in ring(path).items():
            assert abs(x[0] - epochs[r]) <= n_rows // 8 + 1
        assert (found(path, "latest").epoch, found(path, "best").epoch) == (n_rows - 1, 0)
    with reading(path) as file:
        assert file["/Templates"].shape[0] == 12


def test_an_open_writer_elsewhere_is_named(path):
    with h5py.File(path, "r+"), pytest.raises(LockedError, match="open to write in"):
        FitFile(path)
    FitFile(path).__exit__()


def test_a_user_s_open_reader_is_not_in_the_way(path):
    with h5py.File(path, "r") as reader, FitFile(path) as file:
        file.add_row({"epoch": 1})
        reader["/Fit/metrics/n"].id.refresh()
        assert reader["/Fit/metrics/n"][()] == 1


def test_a_damaged_link_is_not_written_over(path):
    """The parser must find what HDF5 finds, or nothing is written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit_file, "soft_link_place", lambda _fd, _group, _name: 8)
        before = path.read_bytes()
        with pytest.raises(StoreError, match=r"link latest of .* is damaged"):
            FitFile(path)
    assert path.read_bytes() == before


def test_no_descriptor_is_left_open(path):
    before = len(list(Path("/proc/self/fd").iterdir()))
    with FitFile(path):
        pass
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit_file, "soft_link_place", lambda _fd, _group, _name: 8)
        with pytest.raises(StoreError):
            FitFile(path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_kill_at_any_system_call_leaves_complete_checkpoints(populated, tmp_path):
    prepare(populated, ring_size=2)
    folder = tmp_path / "work"
    folder.mkdir()
    driver = Path(__file__).with_name("fit_kill_driver.py")
    result = subprocess.run(
        [sys.executable, driver, populated, folder], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    kills, states = result.stdout.split(maxsplit=1)
    # 12 columns, their number, 6 writes to the rings, 3 or 4 and 2 syncs for the checkpoint.
    assert int(kills) > 2 * 3 * 20
    assert states.strip() == "(1, 1) (2, 1) (3, 1) (3, 3) (4, 3)"


def test_a_file_without_the_group_is_named(populated):
    with pytest.raises(StoreError, match="does not hold the /Fit that was prepared"):
        FitFile(populated)
