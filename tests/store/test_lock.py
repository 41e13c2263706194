import errno
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cubefit.errors import LockedError, StoreError
from cubefit.store.lock import lock_path, writer_lock

HOLD = """
import sys, time
from pathlib import Path
from cubefit.store.lock import writer_lock
with writer_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cube.h5"


@pytest.fixture
def holder(path):
    """Another process that holds the lock."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_lock_goes_with_its_holder(path):
    with writer_lock(path):
        assert lock_path(path).name == "cube.h5.lock"
    assert not lock_path(path).exists()
    with pytest.raises(ZeroDivisionError), writer_lock(path):
        _ = 1 / 0
    assert not lock_path(path).exists()


def test_a_second_writer_is_told_host_process_and_time(path, holder):
    host = re.escape(os.uname().nodename)
    told = rf"cube.h5 is being written by process {holder.pid} on {host} \(write\), since 20\d\d-"
    with pytest.raises(LockedError, match=told), writer_lock(path):
        pass
    assert lock_path(path).exists()


def test_a_killed_holder_frees_the_lock(path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert lock_path(path).exists()
    with writer_lock(path):
        assert json.loads(lock_path(path).read_text())["pid"] == os.getpid()
    assert not lock_path(path).exists()


def test_threads_and_links_meet_the_same_lock(path):
    path.touch()
    link = path.with_name("link.h5")
    link.symlink_to(path)
    for other in (path, link, Path(os.path.relpath(path)), path.parent / "." / path.name):
        with writer_lock(path), pytest.raises(LockedError), writer_lock(other):
            pass


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"5", b'{"pid": 1}', b"\xff"])
def test_an_anonymous_holder_is_refused_too(path, content):
    with lock_path(path).open("wb") as file:
        file.write(content)
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(LockedError, match="did not leave its name"), writer_lock(path):
            pass


def test_a_lock_removed_between_open_and_lock_is_not_taken_for_one(path, monkeypatch):
    flock, seen = fcntl.flock, []

    def racing(fd, operation):
        flock(fd, operation)
        if not seen:
            lock_path(path).unlink()
        seen.append(fd)

    monkeypatch.setattr(fcntl, "flock", racing)
    with writer_lock(path):
        assert len(seen) == 2
        assert lock_path(path).stat().st_ino == os.fstat(seen[1]).st_ino


def test_a_disk_without_locks_is_named(path, monkeypatch):
    def refuse(fd, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(StoreError, match="takes no lock"), writer_lock(path):
        pass


def test_a_folder_without_write_permission_is_named(path, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    told = r"Permission denied.*get write permission"
    with pytest.raises(StoreError, match=told), writer_lock(path):
        pass


def test_a_read_only_file_is_refused(path, monkeypatch):
    path.touch()
    monkeypatch.setattr(os, "access", lambda _path, mode: mode != os.W_OK)
    with pytest.raises(StoreError, match=r"cube.h5 is read-only"), writer_lock(path):
        pass
    assert not lock_path(path).exists()
