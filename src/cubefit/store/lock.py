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

from cubefit.errors import LockedError, StoreError
from cubefit.store.files import beside, writing_to


def lock_path(path: Path) -> Path:
    """Return the lock file that belongs to an HDF5 file."""
    return beside(path, ".lock")


def _owner_of(fd: int) -> str:
    try:
        owner = json.loads(os.pread(fd, 4096, 0))
        return f"process {owner['pid']} on {owner['host']}, since {owner['since']}"
    except (ValueError, KeyError, TypeError):
        return "a process that did not leave its name"


def _is_that_file(lock: Path, fd: int) -> bool:
    try:
        return os.path.samestat(lock.stat(), os.fstat(fd))
    except FileNotFoundError:
        return False


def _acquire(path: Path) -> int:
    """Return the descriptor of the locked file; the kernel frees it when its process dies."""
    lock = lock_path(path)
    while True:
        fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = _owner_of(fd)
            os.close(fd)
            raise LockedError(
                f"{path} is being written by {owner}: wait for it to end, or stop it. Reading is "
                "possible meanwhile."
            ) from None
        except OSError as error:
            os.close(fd)
            raise StoreError(
                f"{path.parent} takes no lock ({error}), so two writers could meet: use a disk "
                "that supports flock."
            ) from error
        # The former owner may have removed the file between our open and our lock.
        if _is_that_file(lock, fd):
            return fd
        os.close(fd)


@contextmanager
def writer_lock(path: Path) -> Iterator[None]:
    """Hold the right to write to ``path``.

    Raises
    ------
    LockedError
        If another process holds it; names host, process and time.
    StoreError
        If the file or its folder may not be written.
    """
    if path.exists() and not os.access(path, os.W_OK):
        raise StoreError(f"{path} is read-only: get write permission, or work on a copy.")
    with writing_to(path):
        fd = _acquire(path)
    try:
        owner = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        }
        os.ftruncate(fd, 0)
        with writing_to(path):
            os.pwrite(fd, json.dumps(owner).encode(), 0)
        yield
    finally:
        lock_path(path).unlink(missing_ok=True)
        os.close(fd)
