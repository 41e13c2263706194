import errno
import os
import shutil
import stat
from collections import namedtuple

import pytest

from cubefit.errors import LockedError, StoreError
from cubefit.store import files

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def target(tmp_path):
    path = tmp_path / "a file.h5"
    path.write_bytes(b"old")
    return path


def names(path):
    return sorted(p.name for p in path.parent.iterdir())


def test_replacement_is_whole_or_nothing(target):
    with files.replacement(target) as temporary:
        temporary.write_bytes(b"new")
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"
    assert names(target) == ["a file.h5"]


def test_replacement_vanishes_on_an_error(target):
    def write_half(path):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), files.replacement(target) as temporary:
        write_half(temporary)
    assert target.read_bytes() == b"old"
    assert names(target) == ["a file.h5"]


def test_replacement_keeps_permissions(target):
    target.chmod(0o640)
    with files.replacement(target) as temporary:
        temporary.write_bytes(b"new")
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_replacement_follows_a_link(target, tmp_path):
    folder = tmp_path / "links"
    folder.mkdir()
    link = folder / "cube.h5"
    link.symlink_to(target)
    with files.replacement(link) as temporary:
        assert temporary.parent == target.parent
        temporary.write_bytes(b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert names(link) == ["cube.h5"]


def test_write_all_goes_on_after_short_writes(tmp_path, monkeypatch):
    path = tmp_path / "out"
    path.write_bytes(b"." * 12)
    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: pwrite(fd, bytes(data[:3]), at))
    with path.open("r+b") as file:
        files.write_all(file.fileno(), memoryview(b"0123456789"), 1)
    assert path.read_bytes() == b".0123456789."


def test_require_free_names_both_sizes_and_the_mend(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: Usage(2e9, 1e9, 10**9))
    files.require_free(tmp_path, 10**9, "It")
    with pytest.raises(
        StoreError, match=r"It needs 1.50 GB, but .* 1.00 GB free.*matrix-free"
    ) as e:
        files.require_free(tmp_path, 1_500_000_000, "It")
    assert e.value.errno == errno.ENOSPC
    assert str(e.value).startswith("It needs")


def test_reserve_claims_blocks_of_a_sparse_file(tmp_path):
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(3 * 2**20)
    files.reserve(path)
    assert path.stat().st_size == 3 * 2**20
    assert 512 * path.stat().st_blocks >= 3 * 2**20


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_reserve_refuses_a_full_disk(target, monkeypatch, code):
    class Libc:
        def fallocate(self, *_):
            return -1

    monkeypatch.setattr(files.ctypes, "CDLL", lambda *_, **__: Libc())
    monkeypatch.setattr(files.ctypes, "get_errno", lambda: code)
    with pytest.raises(StoreError, match="make space") as e:
        files.reserve(target)
    assert e.value.errno == code


@pytest.mark.parametrize("code", [errno.EOPNOTSUPP, errno.EINVAL])
def test_reserve_does_without_where_the_disk_cannot(target, monkeypatch, code):
    class Libc:
        def fallocate(self, *_):
            return -1

    monkeypatch.setattr(files.ctypes, "CDLL", lambda *_, **__: Libc())
    monkeypatch.setattr(files.ctypes, "get_errno", lambda: code)
    files.reserve(target)
    assert target.read_bytes() == b"old"


@pytest.mark.parametrize("code", sorted(files.MENDS))
def test_refused_writes_name_the_mend(target, code):
    with pytest.raises(StoreError, match=files.MENDS[code]) as e, files.writing_to(target):
        raise OSError(code, os.strerror(code))
    assert e.value.errno == code
    assert os.strerror(code) in str(e.value)


def test_other_errors_pass_unchanged(target):
    for error in (LockedError("mine"), OSError(errno.EIO, "disk"), ValueError("no")):
        with pytest.raises(type(error)) as e, files.writing_to(target):
            raise error
        assert e.value is error
