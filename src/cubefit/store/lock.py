"""One writer at a time, by an advisory lock on a file beside the HDF5 file; readers never wait."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cubefit.errors import LockedError, StoreError
from cubefit.store.files import beside, writing_to

RECORD_BYTES: Final = 4096
"""Length of the owner's record: one write, which a reader sees whole or not at all."""
LOOK_WAIT_S: Final = 0.2
"""Longer than a passing look at the lock lasts."""
HEIR_WAIT_S: Final = 20.0
"""The writer of a fit whose process was killed finishes what it has received: milliseconds' work
on an idle disk."""


def lock_path(path: Path) -> Path:
    """Return the lock file that belongs to an HDF5 file."""
    return beside(path, ".lock")


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Who writes to a file."""

    pid: int
    host: str
    since: str
    """Local date and time."""
    started: float
    """The same as seconds since 1970."""
    task: str
    """What for: "build", "fit", ..."""
    facts: dict[str, Any]
    """What else it said of its work."""

    def __str__(self) -> str:
        """Return the owner for an error message."""
        return f"process {self.pid} on {self.host} ({self.task}), since {self.since}"


NAMELESS: Final = "a process that did not leave its name"


class WriterLock:
    """The right to write to a file, in hand.

    Parameters
    ----------
    fd : int
        The locked file. A process that inherits it shares the lock: it is free when all are gone.
    task : str
        What for.
    """

    def __init__(self, fd: int, task: str) -> None:
        self.fd = fd
        self._guard: int | None = None
        now = time.time()
        self._owner = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(now)),
            "started": now,
            "task": task,
        }

    def guard(self, path: Path) -> None:
        """Keep programs that write through HDF5 out of a file, see `open_to_write`.

        After the file was replaced, once more: an old file that is held open keeps its space.
        """
        fd = open_to_write(path)
        self.unguard()
        self._guard = fd

    def unguard(self) -> None:
        """Let other programs write to the file again."""
        if self._guard is not None:
            os.close(self._guard)
            self._guard = None

    def tell(self, **facts: object) -> None:
        """Write who holds the lock, and what else others may want to know, into its file."""
        record = json.dumps({**self._owner, "facts": facts}).encode()
        os.pwrite(self.fd, record.ljust(RECORD_BYTES), 0)


def _owner_of(fd: int) -> Owner | None:
    try:
        record = json.loads(os.pread(fd, RECORD_BYTES, 0))
        return Owner(**record)
    except (ValueError, TypeError):
        return None


def who_writes(path: Path) -> Owner | str | None:
    """Return who writes to ``path`` now; None if nobody does."""
    try:
        fd = os.open(lock_path(path), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except (PermissionError, IsADirectoryError) as error:
        return f"nobody knows who ({lock_path(path)}: {error.strerror})"
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _owner_of(fd) or NAMELESS
    else:
        return None
    finally:
        os.close(fd)


def _flock_owners(fd: int) -> list[int]:
    """Return the processes that lock an open file for themselves alone, as far as Linux tells."""
    try:
        table = Path("/proc/locks").read_text()
    except OSError:
        return []
    found = os.fstat(fd)
    device = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    rows = [line.split() for line in table.splitlines()]
    return [int(r[4]) for r in rows if r[1] == "FLOCK" and r[3] == "WRITE" and r[5] == device]


def open_to_write(path: Path) -> int:
    """Return a descriptor to write to an HDF5 file past HDF5; by its sole writer.

    It carries HDF5's own shared lock: a program that opens the file by HDF5 to write is refused
    meanwhile, as is the caller where such a program was first; when that one closes the file it
    writes what it knows of it over what was written since. Readers are not in the way.

    Raises
    ------
    LockedError
        If another program, or an h5py handle of this one, has the file open to write.
    """
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        owners = _flock_owners(fd)
        os.close(fd)
        who = f"process {owners[0]}" if owners else "another program"
        raise LockedError(
            f"{path} is open to write in {who} (h5py mode 'r+' or 'a'): close it there. Reading is "
            "possible meanwhile."
        ) from None
    return fd


def _is_that_file(lock: Path, fd: int) -> bool:
    try:
        return os.path.samestat(lock.stat(), os.fstat(fd))
    except FileNotFoundError:
        return False


def is_gone(owner: Owner | None) -> bool:
    """Whether the owner is a process of this machine that has ended."""
    if owner is None or owner.host != socket.gethostname():
        return False
    try:
        os.kill(owner.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False


def _wait_for(fd: int) -> bool:
    """Lock an open file; wait for a passing look or a dead owner's heir, not for a writer."""
    started = time.monotonic()
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            patience = HEIR_WAIT_S if is_gone(_owner_of(fd)) else LOOK_WAIT_S
            if time.monotonic() - started > patience:
                return False
            time.sleep(0.01)
        else:
            return True


def _acquire(path: Path) -> int:
    """Return the descriptor of the locked file; the kernel frees it when its process dies."""
    lock = lock_path(path)
    while True:
        fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            free = _wait_for(fd)
        except OSError as error:
            os.close(fd)
            raise StoreError(
                f"{path.parent} takes no lock ({error}), so two writers could meet: use a disk "
                "that supports flock."
            ) from error
        if not free:
            owner = _owner_of(fd)
            os.close(fd)
            mend = "wait for it to end, or stop it"
            if owner is not None and owner.pid == os.getpid():
                mend = "that is this program: close its tracker, or end what it does"
            raise LockedError(
                f"{path} is being written by {owner or NAMELESS}: {mend}. Reading is possible "
                "meanwhile."
            )
        # The former owner may have removed the file between our open and our lock.
        if _is_that_file(lock, fd):
            return fd
        os.close(fd)


@contextmanager
def writer_lock(path: Path, task: str = "write") -> Iterator[WriterLock]:
    """Hold the right to write to ``path``.

    Parameters
    ----------
    path : Path
        The file.
    task : str
        What for, as others are told.

    Raises
    ------
    LockedError
        If another process holds it; names host, process and time.
    StoreError
        If the file or its folder may not be written.
    """
    if path.exists() and not os.access(path, os.W_OK):
        raise StoreError(f"{path} is read-only: get write permission, or work on a copy.")
    owner = os.getpid()
    with writing_to(path):
        fd = _acquire(path)
    try:
        lock = WriterLock(fd, task)
        with writing_to(path):
            os.ftruncate(fd, 0)
            lock.tell()
        yield lock
    finally:
        # A process forked from this one has a copy of this block, and must not free the lock.
        if os.getpid() == owner:
            lock_path(path).unlink(missing_ok=True)
        os.close(fd)
