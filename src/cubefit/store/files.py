"""Plain file operations that never leave half a file: sync, atomic replacement, whole writes."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cubefit.errors import CubeFitError, StoreError

MENDS: Final = {
    errno.ENOSPC: "make space on the disk",
    errno.EDQUOT: "make space in your quota",
    errno.EACCES: "get write permission for the file and its folder",
    errno.EPERM: "get write permission for the file and its folder",
    errno.EROFS: "copy the file to a disk that takes writes",
}
"""What to do when the system refuses a write."""


def store_error(code: int, message: str) -> StoreError:
    """Return an error that carries the system's code and reads as the message alone."""
    error = StoreError(message)
    error.errno = code
    return error


@contextmanager
def writing_to(path: Path) -> Iterator[None]:
    """Turn the system's refusal to write, a full disk say, into an error that names the mend.

    Raises
    ------
    StoreError
        With the code of the system's error.
    """
    try:
        yield
    except CubeFitError:
        raise
    except OSError as error:
        if error.errno not in MENDS:
            raise
        raise store_error(
            error.errno,
            f"{path} cannot be written ({os.strerror(error.errno)}): {MENDS[error.errno]}, then "
            "call again; what was complete before is safe.",
        ) from error


def sync_file(path: Path) -> None:
    """Force a file to disk."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def beside(path: Path, suffix: str) -> Path:
    """Return the path of a helper file next to ``path``, or next to what a link points to."""
    real = path.resolve()
    return real.with_name(real.name + suffix)


def temporary_path(path: Path) -> Path:
    """Return where a file is made before it appears under its name."""
    return beside(path, ".tmp")


@contextmanager
def replacement(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` that replaces it on a clean end, and vanishes else.

    Permissions stay, and a symbolic link goes on to point at the file.
    """
    temporary, real = temporary_path(path), path.resolve()
    try:
        yield temporary
        if real.exists():
            shutil.copymode(real, temporary)
        sync_file(temporary)
        temporary.replace(real)
        sync_file(real.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_all(fd: int, data: memoryview, offset: int) -> None:
    """Write every byte at ``offset``: ``pwrite`` may be short (2 GiB, signals, a full disk)."""
    written = 0
    while written < len(data):
        written += os.pwrite(fd, data[written:], offset + written)


def require_free(folder: Path, n_bytes: int, what: str) -> None:
    """Raise StoreError if the disk cannot hold ``n_bytes`` more.

    Raises
    ------
    StoreError
        With the sizes and the mend.
    """
    free = shutil.disk_usage(folder).free
    if free < n_bytes:
        raise store_error(
            errno.ENOSPC,
            f"{what} needs {n_bytes / 1e9:.2f} GB, but {folder} has {free / 1e9:.2f} GB free. Make "
            "space, use another disk, or fit without it: the fit also runs matrix-free.",
        )


def reserve(path: Path) -> None:
    """Reserve the disk blocks of a sparse file, where the system can do so at once.

    Uses the kernel's ``fallocate``; where a file system lacks it nothing happens, because the
    portable emulation would write to every block.

    Raises
    ------
    StoreError
        If the disk (or a quota) cannot hold the file.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    size = path.stat().st_size
    fd = os.open(path, os.O_RDWR)
    try:
        failed = libc.fallocate(fd, 0, ctypes.c_int64(0), ctypes.c_int64(size))
        code = ctypes.get_errno() if failed else 0
    finally:
        os.close(fd)
    if code in (errno.ENOSPC, errno.EDQUOT):
        raise store_error(
            code, f"{path.parent} has no {size / 1e9:.2f} GB left for {path.name}: make space."
        )
