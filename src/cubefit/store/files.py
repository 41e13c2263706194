"""Plain file operations that never leave half a file: sync, atomic replacement, whole writes."""

from __future__ import annotations

import ctypes
import errno
import os
import re
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
    errno.EFBIG: "raise `ulimit -f`, or use a disk that takes larger files",
    errno.EACCES: "get write permission for the file and its folder",
    errno.EPERM: "get write permission for the file and its folder",
    errno.EISDIR: "rename the folder that stands in the place of a file beside it",
    errno.EROFS: "copy the file to a disk that takes writes",
}
"""What to do when the system refuses a write."""
FALLOC_KEEP_SIZE: Final = 1
"""Linux: reserve blocks behind the end of a file, which stays where it is."""


def store_error(code: int, message: str) -> StoreError:
    """Return an error that carries the system's code and reads as the message alone."""
    error = StoreError(message)
    error.errno = code
    return error


def code_of(error: OSError | RuntimeError) -> int:
    """Return the system's code of an error, 0 if it has none; HDF5 may tell it by words alone."""
    told = re.search(r"errno = (\d+)", str(error))
    return getattr(error, "errno", None) or (int(told[1]) if told else 0)


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
    except (OSError, RuntimeError) as error:
        code = code_of(error)
        if code not in MENDS:
            raise
        raise store_error(
            code,
            f"{path} cannot be written ({os.strerror(code)}): {MENDS[code]}, then call again; what "
            "was complete before is safe.",
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


def require_whole(fd: int, n_bytes: int, path: Path) -> None:
    """Raise StoreError if another program cut, overwrote or replaced an open file meanwhile.

    Parameters
    ----------
    fd : int
        The file, whose length does not change.
    n_bytes : int
        Its length when it was opened.
    path : Path
        Its name.
    """
    now = os.fstat(fd)
    if now.st_size != n_bytes or not now.st_nlink:
        raise StoreError(
            f"{path} was cut short, overwritten or replaced by another program while it was in "
            "use: restore a copy, then call again."
        )


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


def fallocate(fd: int, offset: int, n_bytes: int, *, keep_size: bool = False) -> None:
    """Have the kernel reserve disk blocks of an open file, where it can do so at once.

    Where a file system lacks that nothing happens, because the portable emulation would write to
    every block.

    Raises
    ------
    OSError
        If the disk, a quota or a limit does not allow for them.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    mode = FALLOC_KEEP_SIZE if keep_size else 0
    failed = libc.fallocate(fd, mode, ctypes.c_int64(offset), ctypes.c_int64(n_bytes))
    code = ctypes.get_errno() if failed else 0
    if code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        raise OSError(code, os.strerror(code))


def reserve(path: Path) -> None:
    """Reserve the disk blocks of a sparse file.

    Raises
    ------
    StoreError
        If the disk, a quota or a limit does not allow for the file.
    """
    size = path.stat().st_size
    fd = os.open(path, os.O_RDWR)
    try:
        fallocate(fd, 0, size)
    except OSError as error:
        raise store_error(
            error.errno or errno.ENOSPC,
            f"{path.parent} has no {size / 1e9:.2f} GB left for {path.name} "
            f"({error.strerror}): {MENDS[error.errno or errno.ENOSPC]}.",
        ) from error
    finally:
        os.close(fd)
