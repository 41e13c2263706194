"""A step counts as done only while its inputs, its settings and what it made are the same."""

from __future__ import annotations

import logging
import os
from contextlib import suppress

import pytest

from cubefit.errors import StoreError
from cubefit.galaxy.record import Record, kept_warnings


@pytest.fixture
def files(tmp_path):
    given, made = tmp_path / "in.dat", tmp_path / "out.dat"
    given.write_text("a")
    made.write_text("b")
    return given, made


def digest(record, given, **settings):
    return record.digest_of_all([given], settings)


def test_a_finished_step_is_known_to_the_next_run(files, tmp_path):
    given, made = files
    record = Record(tmp_path)
    record.finish("step", digest(record, given, a=1), [made], {"n": 3})
    again = Record(tmp_path)
    found = again.done("step", digest(again, given, a=1))
    assert found is not None
    assert found.told == {"n": 3}
    assert again.told("step") == {"n": 3}
    assert again.told("other") == {}


@pytest.mark.parametrize("change", ["settings", "contents", "product", "no product", "name"])
def test_what_changes_undoes_a_step(files, tmp_path, change):
    given, made = files
    record = Record(tmp_path)
    record.finish("step", digest(record, given, a=1), [made], {})
    again, settings = Record(tmp_path), {"a": 1}
    if change == "settings":
        settings = {"a": 2}
    elif change == "contents":
        given.write_text("A")
    elif change == "product":
        made.write_text("B")
    elif change == "no product":
        made.unlink()
    elif change == "name":
        given = given.rename(tmp_path / "renamed.dat")
    assert again.done("step", digest(again, given, **settings)) is None


def test_contents_replaced_behind_the_same_size_and_date_are_noticed(files, tmp_path):
    given, made = files
    record = Record(tmp_path)
    record.finish("step", digest(record, given), [made], {})
    then = given.stat()
    given.write_text("A")
    os.utime(given, ns=(then.st_atime_ns, then.st_mtime_ns))
    again = Record(tmp_path)
    assert again.done("step", digest(again, given)) is None


def test_where_files_lie_undoes_nothing(files, tmp_path):
    given, made = files
    record = Record(tmp_path)
    record.finish("step", digest(record, given), [made], {})
    moved = tmp_path.rename(tmp_path.with_name("elsewhere"))
    again = Record(moved)
    assert again.done("step", digest(again, moved / given.name)) is not None
    assert again.made_by("step") == [moved / made.name]


def test_what_has_changed_since_is_no_file_of_the_step(files, tmp_path):
    given, made = files
    record = Record(tmp_path)
    record.finish("step", digest(record, given), [given, made], {})
    made.write_text("mine")
    assert record.made_by("step") == [given]
    assert record.made_by("other") == []


def test_warnings_are_kept_once_and_shown_where_an_error_follows(capsys, monkeypatch):
    log = logging.getLogger("cubefit.some_step")
    monkeypatch.setattr(logging.getLogger("cubefit"), "propagate", False)
    with kept_warnings() as kept:
        log.warning("%d bins", 3)
        log.warning("%d bins", 3)
        log.info("nothing to speak of")
    assert kept == ["3 bins"]
    assert capsys.readouterr().err == ""
    with suppress(StoreError), kept_warnings():
        log.warning("%d bins", 4)
        raise StoreError("full")
    assert capsys.readouterr().err == "4 bins\n"


def test_a_new_date_alone_undoes_nothing(files, tmp_path):
    given, made = files
    record = Record(tmp_path)
    record.finish("step", digest(record, given), [made], {})
    os.utime(given, (1, 1))
    again = Record(tmp_path)
    assert again.done("step", digest(again, given)) is not None


def test_a_damaged_record_says_what_to_do(tmp_path):
    (tmp_path / "steps.json").write_text('{"files": 3')
    with pytest.raises(StoreError, match="remove it, then all steps are done again"):
        Record(tmp_path)
