"""Plain file operations that never leave half a file: sync, atomic replacement, whole writes."""

from __future__ import annotations

import ctypes
import ctypes.util
import errno
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cubefit.errors import StoreError


def sync_file(path: Path) -> None:
    """Force a file to disk."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def replacement(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` that replaces it on a clean end, and vanishes else."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        yield temporary
        sync_file(temporary)
        temporary.replace(path)
        sync_file(path.parent)
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
        raise StoreError(
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
    libc = ctypes.CDLL(ctypes.util.find_library("c"), use_errno=True)
    size = path.stat().st_size
    fd = os.open(path, os.O_RDWR)
    try:
        failed = libc.fallocate(fd, 0, ctypes.c_int64(0), ctypes.c_int64(size))
        code = ctypes.get_errno() if failed else 0
    finally:
        os.close(fd)
    if code in (errno.ENOSPC, errno.EDQUOT):
        raise StoreError(
            code, f"{path.parent} has no {size / 1e9:.2f} GB left for {path.name}: make space."
        )
