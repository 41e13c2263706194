import errno
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from cubefit.errors import LockedError, StoreError
from cubefit.store import lock
from cubefit.store.lock import (
    NAMELESS,
    Owner,
    is_gone,
    lock_path,
    open_to_write,
    who_writes,
    writer_lock,
)

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


def test_who_writes(path, holder):
    owner = who_writes(path)
    assert (owner.pid, owner.host, owner.task) == (holder.pid, os.uname().nodename, "write")
    assert owner.started == pytest.approx(time.time(), abs=3600.0)
    assert str(owner).startswith(f"process {holder.pid} on {owner.host} (write), since 20")
    holder.kill()
    holder.wait()
    assert lock_path(path).exists()
    assert who_writes(path) is None


def test_who_writes_in_this_process(path):
    assert who_writes(path) is None
    with writer_lock(path, "fit") as held:
        assert who_writes(path).facts == {}
        held.tell(epoch=3, chi2=1.5)
        owner = who_writes(path)
        assert (owner.pid, owner.task, owner.facts) == (
            os.getpid(),
            "fit",
            {"epoch": 3, "chi2": 1.5},
        )
        held.tell()
        assert who_writes(path).facts == {}
    assert who_writes(path) is None


def test_a_writer_without_a_name(path):
    with lock_path(path).open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert who_writes(path) == NAMELESS


def test_looking_is_not_in_a_writer_s_way(path):
    """A look holds the lock for a moment."""
    lock_path(path).touch()
    with lock_path(path).open("rb") as looker:
        fcntl.flock(looker, fcntl.LOCK_SH)
        threading.Timer(0.03, looker.close).start()
        with writer_lock(path):
            assert looker.closed


HEIR = """
import os, subprocess, sys
from pathlib import Path
from cubefit.store.lock import writer_lock
with writer_lock(Path(sys.argv[1]), "fit") as lock:
    child = subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"],
        pass_fds=(lock.fd,), stdin=sys.stdin, stdout=subprocess.DEVNULL,
    )
    print(child.pid, flush=True)
    os.kill(os.getpid(), 9)
"""


@pytest.fixture
def heir(path):
    """A process whose parent held the lock and was killed; it ends when its input does."""
    parent = subprocess.Popen(
        [sys.executable, "-c", HEIR, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    int(parent.stdout.readline())
    assert parent.wait() == -signal.SIGKILL
    yield parent
    parent.stdin.close()
    parent.stdout.close()


def test_the_heir_of_a_killed_writer_is_waited_for(path, heir, monkeypatch):
    assert who_writes(path).pid == heir.pid
    sleep, naps = time.sleep, []

    def nap(seconds):
        naps.append(seconds)
        # The heir comes to its end while we wait.
        heir.stdin.close()
        sleep(seconds)

    monkeypatch.setattr(lock.time, "sleep", nap)
    with writer_lock(path):
        assert naps
        assert who_writes(path).pid == os.getpid()


def test_an_heir_that_does_not_end_is_waited_for_so_long_and_named(path, heir, monkeypatch):
    monkeypatch.setattr(lock, "HEIR_WAIT_S", 0.05)
    told = rf"written by process {heir.pid} on .* \(fit\)"
    with pytest.raises(LockedError, match=told), writer_lock(path):
        pass


@pytest.mark.parametrize(
    ("changes", "gone"),
    [
        ({}, True),
        ({"host": "elsewhere"}, False),
        ({"pid": os.getpid()}, False),
        ({"pid": 1}, False),
    ],
)
def test_who_is_gone(changes, gone):
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    facts = {"pid": ended.pid, "host": os.uname().nodename, "since": "", "started": 0.0}
    assert is_gone(Owner(**(facts | {"task": "fit", "facts": {}} | changes))) is gone
    assert not is_gone(None)


OPEN = """
import sys, h5py
file = h5py.File(sys.argv[1], sys.argv[2])
print("open", flush=True)
sys.stdin.read()
"""


def opened(path, mode):
    """Start another process that has a file open through plain h5py until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", OPEN, path, mode],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    return process, process.stdout.readline()


def end(process):
    process.stdin.close()
    process.stdout.close()
    return process.wait()


@pytest.fixture
def hdf5(path):
    with h5py.File(path, "w", libver="earliest") as file:
        file["/x"] = np.zeros(4)
    return path


def test_a_program_that_has_the_file_open_to_write_is_named(hdf5):
    process, said = opened(hdf5, "r+")
    assert said == "open\n"
    # Not every system has a table of locks.
    told = rf"open to write in (process {process.pid}|another program) \(h5py mode 'r\+'.*close it"
    with pytest.raises(LockedError, match=told):
        open_to_write(hdf5)
    assert end(process) == 0
    os.close(open_to_write(hdf5))


def test_while_we_write_past_hdf5_others_read_and_do_not_write(hdf5):
    fd = open_to_write(hdf5)
    for mode, expected in (("r", "open\n"), ("r+", "")):
        process, said = opened(hdf5, mode)
        assert said == expected
        assert (end(process) == 0) == (mode == "r")
    os.close(fd)
    process, said = opened(hdf5, "r+")
    assert said == "open\n"
    end(process)


def test_a_reader_elsewhere_is_not_in_the_way(hdf5):
    process, said = opened(hdf5, "r")
    assert said == "open\n"
    os.close(open_to_write(hdf5))
    end(process)


def test_no_descriptor_is_left_of_a_refusal(hdf5):
    before = len(list(Path("/proc/self/fd").iterdir()))
    with hdf5.open("r+b") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(LockedError):
            open_to_write(hdf5)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_lock_that_may_not_be_read_is_no_obstacle_to_looking(path, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "open", refuse)
    assert "Permission denied" in who_writes(path)
