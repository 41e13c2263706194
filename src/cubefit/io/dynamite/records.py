"""Fortran's unformatted records, read one after another straight from a bz2 file."""

from __future__ import annotations

import bz2
import io
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, Final, NoReturn

import numpy as np

from cubefit.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

_MARKER: Final = struct.Struct("<i")
_PAIR: Final = struct.Struct("<iiii")
_BUFFER: Final = 1 << 20


class RecordStream:
    """Records of a Fortran file with 4-byte little-endian markers.

    Parameters
    ----------
    stream : BinaryIO
        The bytes, uncompressed.
    path : Path
        What error messages name.
    """

    def __init__(self, stream: BinaryIO, path: Path) -> None:
        self._stream = stream
        self._path = path

    def record(self) -> bytes:
        """Return the bytes of the next record.

        Raises
        ------
        InputError
            If the file ends, or is no Fortran file.
        """
        size = int(_MARKER.unpack(self._read(4))[0])
        if size < 0:
            self._refuse(f"a record of {size} bytes")
        content = self._read(size)
        if _MARKER.unpack(self._read(4))[0] != size:
            self._refuse("markers that disagree")
        return content

    def pair(self) -> tuple[int, int]:
        """Return the two int32 of the next record; the same checks as `record`."""
        before, first, second, after = _PAIR.unpack(self._read(16))
        if (before, after) != (8, 8):
            self._refuse(f"a record of {before} bytes where two integers are due")
        return first, second

    def doubles(self, count: int) -> NDArray[np.float64]:
        """Return the next record, of ``count`` float64; the same checks as `record`."""
        size = 8 * count
        content = self._read(size + 8)
        if _MARKER.unpack_from(content)[0] != size or _MARKER.unpack_from(content, size + 4)[0] != (
            size
        ):
            self._refuse(f"another record where {count} numbers are due")
        return np.frombuffer(content, "<f8", count, 4)

    def at_end(self) -> bool:
        """Return whether no byte is left."""
        return not self._stream.read(1)

    def _read(self, size: int) -> bytes:
        content = self._stream.read(size)
        if len(content) != size:
            self._refuse("its end in the middle of the orbits")
        return content

    def _refuse(self, what: str) -> NoReturn:
        raise InputError(
            f"{self._path} has {what}: it is truncated, was made with other kinematic sets or "
            "apertures, or is no file of DYNAMITE's Fortran code; give the configuration and the "
            "bin files that belong to it, or make the library again."
        )


@contextmanager
def open_records(path: Path) -> Iterator[RecordStream]:
    """Open a bz2 file of Fortran records; nothing is unpacked to disk.

    Raises
    ------
    InputError
        If it is missing, no bz2, or damaged; also while it is read.
    """
    try:
        # The buffer makes the small reads calls into C: bz2 alone takes a lock in Python for each.
        with bz2.open(path) as packed, io.BufferedReader(packed, _BUFFER) as stream:
            yield RecordStream(stream, path)
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing: give the folder of a finished model.") from error
    except (OSError, EOFError) as error:
        raise InputError(
            f"{path} cannot be unpacked as bz2 ({error}): copy it again, or make the library again."
        ) from error
