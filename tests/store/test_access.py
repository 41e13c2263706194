import os

import h5py
import numpy as np
import pytest

from cubefit.store.access import WholeReads, read_apart


def test_short_reads_of_the_system_are_completed(tmp_path, monkeypatch):
    path = tmp_path / "file.h5"
    values = np.arange(5000.0)
    with h5py.File(path, "w") as file:
        file["x"] = values

    readv = os.readv
    monkeypatch.setattr(os, "readv", lambda fd, views: readv(fd, [views[0][:1000]]))
    with read_apart(path) as file:
        np.testing.assert_array_equal(file["x"], values)


def test_the_end_of_the_file_is_an_end(tmp_path):
    path = tmp_path / "ten"
    path.write_bytes(b"0123456789")
    buffer = bytearray(16)
    with WholeReads(path) as stream:
        stream.seek(4)
        assert stream.readinto(buffer) == 6
    assert buffer[:6] == b"456789"


def test_what_was_written_since_is_seen(tmp_path):
    """Unlike through a second handle by name, which shares what the first one knows."""
    path = tmp_path / "file.h5"
    with h5py.File(path, "w", libver="earliest") as file:
        file["x"] = 1.0
    with read_apart(path) as old:
        assert "y" not in old
        with h5py.File(path, "r+", locking=False) as file:
            file["y"] = 2.0
        with read_apart(path) as new:
            assert new["y"][()] == 2.0


def test_missing_and_damaged_files_are_os_errors(tmp_path):
    with pytest.raises(FileNotFoundError), read_apart(tmp_path / "no"):
        pass
    (tmp_path / "bad").write_bytes(b"\x89HDF\r\n\x1a\n" + b"\x00" * 50)
    with pytest.raises(OSError, match=r"open|file"), read_apart(tmp_path / "bad"):
        pass
