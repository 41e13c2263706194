"""Checkpoints as bytes, and back."""

import json

import h5py
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from cubefit.errors import StoreError
from cubefit.store.checkpoints import (
    RECORD_BYTES,
    Checkpoint,
    decoded,
    encoded,
    mark_finished,
    read_checkpoint,
)
from cubefit.store.fit_group import FitSizes, prepare_fit_group

numbers = st.floats(allow_nan=False) | st.integers(-(2**53), 2**53)
words = st.text(max_size=12)
plain = st.recursive(
    st.none() | st.booleans() | numbers | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)
checkpoints = st.builds(
    Checkpoint,
    x=npst.arrays(np.float64, st.integers(1, 20), elements=st.floats()),
    epoch=st.integers(-1, 2**40),
    elapsed_s=st.floats(0.0, 1e9),
    written=st.floats(0.0, 1e12),
    state=st.dictionaries(words, numbers, max_size=6),
    run=st.dictionaries(words, plain, max_size=4),
    val_rmse=st.floats(allow_nan=False),
    chi2=st.floats(allow_nan=False),
    finished=st.booleans(),
)


def some_checkpoint(**changes):
    facts = {"x": np.arange(6.0), "epoch": 3, "elapsed_s": 7.0, "written": 1.7e9}
    return Checkpoint(**(facts | changes))


def facts_of(checkpoint):
    return {name: getattr(checkpoint, name) for name in Checkpoint.__slots__ if name != "x"}


@given(checkpoint=checkpoints)
@example(checkpoint=some_checkpoint(state={"squares": 0.1 + 0.2}, val_rmse=5e-324, chi2=0.0))
def test_what_is_encoded_comes_back(checkpoint):
    record = encoded(checkpoint)
    assert len(record) == RECORD_BYTES == 4096
    # HDF5 gives a string back without the zeros at its end.
    for stored in (record, record.rstrip(b"\0")):
        back = decoded(stored, checkpoint.x)
        assert facts_of(back) == facts_of(checkpoint)
        assert back.x.tobytes() == checkpoint.x.tobytes()


def test_what_is_not_known_is_nan():
    back = decoded(encoded(some_checkpoint()), np.arange(6.0))
    assert np.isnan([back.val_rmse, back.chi2]).all()
    assert (back.state, back.run, back.finished) == ({}, {}, False)


def test_no_record_is_no_checkpoint():
    assert decoded(b"", np.zeros(3)) is None
    assert decoded(bytes(RECORD_BYTES), np.zeros(3)) is None


@given(checkpoint=checkpoints, digits=st.integers(0, 2**32 - 1))
def test_another_number_in_the_record_is_noticed(checkpoint, digits):
    facts = json.loads(encoded(checkpoint).rstrip(b"\0"))
    if facts["epoch"] != digits:
        spoiled = json.dumps(facts | {"epoch": digits}).encode()
        with pytest.raises(StoreError, match="checkpoint of the fit is damaged"):
            decoded(spoiled, checkpoint.x)


@given(checkpoint=checkpoints, at=st.integers(0), bit=st.integers(0, 7))
def test_another_x_is_noticed(checkpoint, at, bit):
    spoiled = bytearray(checkpoint.x.tobytes())
    spoiled[at % len(spoiled)] ^= 1 << bit
    with pytest.raises(StoreError, match=r"damaged.*warm_start='zeros', or pass x0"):
        decoded(encoded(checkpoint), np.frombuffer(bytes(spoiled)))


@given(junk=st.binary(min_size=1, max_size=200))
@example(junk=b"[]")
@example(junk=b"5")
@example(junk=b"{}")
@example(junk=b'{"x_crc32": 0}')
def test_a_record_of_something_else_is_damage(junk):
    if junk.strip(b"\0"):
        with pytest.raises(StoreError, match="damaged"):
            decoded(junk, np.zeros(0))


@given(keep=st.integers(1, 100))
def test_a_record_cut_short_is_damage(keep):
    with pytest.raises(StoreError, match="damaged"):
        decoded(encoded(some_checkpoint())[:keep], np.arange(6.0))


def test_a_record_too_long_for_its_place_is_refused():
    with pytest.raises(StoreError, match=r"takes 5\d\d\d bytes of 4096: give the tracker a short"):
        encoded(some_checkpoint(run={"note": "x" * 5000}))


def put(file, slot, checkpoint):
    file[f"/Fit/checkpoints/{slot}/x"][...] = checkpoint.x
    file[f"/Fit/checkpoints/{slot}/record"][()] = np.bytes_(encoded(checkpoint))


@pytest.fixture
def file(tmp_path):
    sample = np.arange(2, dtype=np.int32)
    sizes = FitSizes(n_weights=6, ring_size=2, spaxels=sample, pixels=sample)
    with h5py.File(tmp_path / "cube.h5", "w", libver="earliest") as file:
        prepare_fit_group(file, sizes, fresh=True)
        yield file


def test_a_file_without_a_fit_has_no_checkpoint(tmp_path, file):
    with h5py.File(tmp_path / "other.h5", "w") as other:
        assert read_checkpoint(other, "latest") is None
        mark_finished(other, np.arange(6.0))
        assert not other.keys()
    assert read_checkpoint(file, "latest") is read_checkpoint(file, "best") is None


def test_the_links_lead_to_the_latest_and_the_best(file):
    for slot in range(3):
        put(file, slot, some_checkpoint(epoch=slot, x=np.full(6, slot)))
    for latest, best in ((1, 2), (2, 0), (0, 0)):
        for name, slot in (("latest", latest), ("best", best)):
            del file[f"/Fit/checkpoints/{name}"]
            file[f"/Fit/checkpoints/{name}"] = h5py.SoftLink(str(slot))
        assert read_checkpoint(file, "latest").epoch == latest
        assert read_checkpoint(file, "best").epoch == best
        assert (file["/Fit/x_latest"][()] == latest).all()
        assert (file["/Fit/x_best"][()] == best).all()


def test_a_finished_fit_says_so_in_its_latest_checkpoint(file):
    put(file, 0, some_checkpoint(state={"epoch": 2}, run={"method": "kaczmarz"}, chi2=4.0))
    before = read_checkpoint(file, "latest")
    assert not before.finished
    mark_finished(file, np.arange(6.0) + 1.0)
    assert not read_checkpoint(file, "latest").finished
    mark_finished(file, np.arange(6.0).reshape(2, 3))
    after = read_checkpoint(file, "latest")
    assert after.finished
    differing = {"finished", "val_rmse"}
    assert {k: v for k, v in facts_of(after).items() if k not in differing} == {
        k: v for k, v in facts_of(before).items() if k not in differing
    }


def test_the_record_is_readable_by_people(file):
    put(file, 0, some_checkpoint(run={"method": "kaczmarz"}))
    record = json.loads(file["/Fit/checkpoints/latest/record"][()])
    assert record["epoch"] == 3
    assert record["run"] == {"method": "kaczmarz"}
