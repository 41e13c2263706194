"""Opening npz files, whatever is wrong with one ends in a clear error, and writing them whole."""

from __future__ import annotations

import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import ArrayLike

from cubefit.errors import InputError
from cubefit.io.result_files import appearing

DAMAGE: Final = (
    *(OSError, EOFError, ValueError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error, struct.error, tokenize.TokenError),
)
"""What NumPy and zipfile raise on damaged files; the RuntimeError is of flags gone wrong."""

STARTS: Final = (b"PK", b"\x93NUMPY")
"""How what NumPy reads begins: an archive, or one array."""
OTHERS: Final = {"a FITS": b"SIMPLE", "an HDF5": b"\x89HDF"}


@contextmanager
def open_npz(path: Path) -> Iterator[NpzFile]:
    """Open an npz file of plain arrays; its arrays are read inside the context.

    Raises
    ------
    InputError
        If it is missing, no npz, damaged, or holds objects; also while its arrays are read.
    """
    if not path.is_file():
        raise InputError(f"{path} is no file: give an npz file (np.savez).")
    try:
        _require_npz(path)
        # Our own stream, because NumPy leaves its own open when it stumbles over a damaged file.
        with (
            path.open("rb") as stream,
            _archive(np.load(stream, allow_pickle=False), path) as stored,
        ):
            yield stored
    except InputError:
        raise
    except PermissionError as error:
        raise InputError(f"{path} cannot be read: get read permission.") from error
    except DAMAGE as error:
        raise InputError(
            f"{path} cannot be read as npz of plain arrays ({error}): save it anew with np.savez."
        ) from error


def _require_npz(path: Path) -> None:
    # NumPy takes all that it does not know for a pickle, and advises to load it unsafely.
    with path.open("rb") as stream:
        beginning = stream.read(8)
    for other, start in OTHERS.items():
        if beginning.startswith(start):
            raise InputError(f"{path} is {other} file, where an npz file is due: give that.")
    if not beginning.startswith(STARTS):
        raise InputError(
            f"{path} cannot be read as npz of plain arrays, for it is no npz file: give one "
            "(np.savez)."
        )


def _archive(stored: object, path: Path) -> NpzFile:
    if not isinstance(stored, NpzFile):
        raise InputError(f"{path} holds one bare array: give an npz file (np.savez).")
    return stored


def write_npz(path: Path, arrays: Mapping[str, ArrayLike]) -> Path:
    """Write arrays to an npz file, whole or not at all; a file there is replaced.

    Raises
    ------
    StoreError
        If the disk does not take it.
    """
    with appearing(path, (".npz",), overwrite=True) as partial, partial.open("wb") as stream:
        np.savez(stream, **dict[str, Any](arrays))
    return path
