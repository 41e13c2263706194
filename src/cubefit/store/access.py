"""Reading a file apart from every other handle that this process has on it."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from cubefit.errors import StoreError


class WholeReads(io.FileIO):
    """A file whose reads fill the buffer: the system's may be short (2 GiB, signals).

    HDF5 would take what a file lacks that is cut short meanwhile for values.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "r")
        self.path = path
        self._n_bytes = os.fstat(self.fileno()).st_size

    def readinto(self, buffer: Any, /) -> int:
        """Read until ``buffer`` is full or the file ends; return the bytes read.

        Raises
        ------
        StoreError
            If the file has become shorter.
        """
        view = memoryview(buffer).cast("B")
        n_read = 0
        while n_read < len(view):
            got = os.readv(self.fileno(), [view[n_read:]])
            if not got:
                if os.fstat(self.fileno()).st_size < self._n_bytes:
                    raise StoreError(
                        f"{self.name} was cut short by another program while it was read: restore "
                        "a copy."
                    )
                break
            n_read += got
        return n_read


class FileApart(h5py.File):  # type: ignore[misc]  # h5py has no types
    """An HDF5 file that knows its path: HDF5 itself sees the stream alone.

    Virtual datasets have their shape and attributes here, but not their values: HDF5 would look for
    their sources in the stream of this file, and crashes (`cubefit.store.shards` reads them).
    """

    def __init__(self, stream: WholeReads) -> None:
        # No chunk cache: it makes HDF5 read whole chunks for a plane (0.06 instead of 5.4 GB/s).
        super().__init__(stream, "r", rdcc_nbytes=0)
        self.path = stream.path


def path_of(file: h5py.File) -> Path:
    """Return the path of an open file."""
    return file.path if isinstance(file, FileApart) else Path(file.filename)


@contextmanager
def read_apart(path: Path) -> Iterator[h5py.File]:
    """Open an HDF5 file to read, through a descriptor of its own.

    HDF5 shares what it knows of a file among all handles of a process that open it by name: ours
    would be refused beside a user's that has other locking or SWMR flags, and would not see what
    was written since that one was opened.
    """
    with WholeReads(path) as stream, FileApart(stream) as file:
        yield file
