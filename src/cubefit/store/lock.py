"""One writer at a time, by an advisory lock on a file beside the HDF5 file; readers never wait."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cubefit.errors import LockedError


def lock_path(path: Path) -> Path:
    """Return the lock file that belongs to an HDF5 file."""
    return path.with_name(path.name + ".lock")


def _owner_of(fd: int) -> str:
    try:
        owner = json.loads(os.pread(fd, 4096, 0))
        return f"process {owner['pid']} on {owner['host']}, since {owner['since']}"
    except (ValueError, KeyError):
        return "a process that did not leave its name"


def _acquire(path: Path) -> int:
    """Return the descriptor of the locked file; the kernel frees it when its process dies."""
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = _owner_of(fd)
            os.close(fd)
            raise LockedError(
                f"{path.with_suffix('')} is being written by {owner}: wait for it to end, or stop "
                "it. Reading is possible meanwhile."
            ) from None
        # The former owner may have removed the file between our open and our lock.
        if path.exists() and path.stat().st_ino == os.fstat(fd).st_ino:
            return fd
        os.close(fd)


@contextmanager
def writer_lock(path: Path) -> Iterator[None]:
    """Hold the right to write to ``path``.

    Raises
    ------
    LockedError
        If another process holds it; names host, process and time.
    """
    lock = lock_path(path)
    fd = _acquire(lock)
    try:
        owner = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        }
        os.ftruncate(fd, 0)
        os.pwrite(fd, json.dumps(owner).encode(), 0)
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(fd)
