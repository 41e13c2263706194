"""One door to the HDF5 file: reading it, replacing it as a whole, amending it in place."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Final, Literal, TypeVar

import h5py

from cubefit.errors import ConfigError, CubeFitError, StoreError
from cubefit.store import schema
from cubefit.store.access import read_apart
from cubefit.store.amend import amended, finish_interrupted_amendment, sole_writer
from cubefit.store.files import replacement, reserve

T = TypeVar("T")

READ_DAMAGE: Final = (OSError, RuntimeError, LookupError, ValueError, TypeError)
"""What h5py raises on damaged chunks and headers, by the error that HDF5 stumbles over."""
STEADY_ATTEMPTS: Final = 5
SUPERBLOCK_BYTES: Final = 48
"""Up to and with the length of the file."""


def require_hdf5(path: Path) -> None:
    """Raise StoreError unless ``path`` is an HDF5 file."""
    if not path.exists():
        raise StoreError(f"{path} does not exist: populate it first, or check the name.")
    if not os.access(path, os.R_OK):
        raise StoreError(f"{path} cannot be read: get read permission.")
    # Opening a pipe would wait for its writer.
    if not path.is_file() or not h5py.is_hdf5(path):
        what = "empty" if path.is_file() and not path.stat().st_size else "no HDF5 file"
        raise StoreError(
            f"{path} is {what}: give a file made by H5Manager, or a new path to populate."
        )


def require_format(file: h5py.File, path: Path) -> None:
    """Raise StoreError unless the file is CubeFit's, whole, and not newer than this program."""
    version = file.attrs.get(schema.ATTR_FORMAT)
    missing = [e.path for e in schema.TABLE if e.required and e.path not in file]
    if version is None or missing:
        raise StoreError(
            f"{path} is not a populated CubeFit file"
            + (f" (it lacks {', '.join(missing)})" if missing else "")
            + ": make it with H5Manager(...).populate_from_arrays(...)."
        )
    if int(version) > schema.FORMAT_VERSION:
        raise StoreError(
            f"{path} has format {int(version)}, this CubeFit knows up to {schema.FORMAT_VERSION}: "
            "update CubeFit."
        )


@contextmanager
def reading(path: Path) -> Iterator[h5py.File]:
    """Open a CubeFit file to read, also while another process writes to it.

    Parameters
    ----------
    path : Path
        The file.

    Yields
    ------
    h5py.File

    Raises
    ------
    StoreError
        If it is missing, foreign, cut short, or made by a newer version.
    """
    require_hdf5(path)
    finish_interrupted_amendment(path)
    with ExitStack() as stack:
        try:
            file = stack.enter_context(read_apart(path))
            require_format(file, path)
        except CubeFitError:
            raise
        except READ_DAMAGE as error:
            raise StoreError(
                f"{path} is {missing_bytes(path) or 'damaged'} ({error}): restore a copy."
            ) from error
        yield file


@contextmanager
def reading_everything(path: Path) -> Iterator[h5py.File]:
    """Open a CubeFit file to read, also those of its values that lie in shards.

    As `reading` where there are none. For virtual datasets HDF5 needs to open the file by its name;
    through the driver of C's files it shares nothing with handles that programs usually have.
    """
    with reading(path) as file:
        models = file.get(schema.MODELS.path)
        if models is None or not models.is_virtual:
            yield file
            return
    with h5py.File(path, "r", driver="stdio", rdcc_nbytes=0) as file:
        yield file


def steadily(path: Path, read: Callable[[Path], T]) -> T:
    """Return ``read(path)``, tried again where the file was written to in the second before.

    A look that falls into the milliseconds of an amendment meets a half-changed table of contents.
    """
    for _ in range(STEADY_ATTEMPTS):
        try:
            return read(path)
        except READ_DAMAGE:
            if not path.exists() or time.time() - path.stat().st_mtime > 1.0:
                raise
            time.sleep(0.02)
    return read(path)


def looked_at(path: Path, read: Callable[[Path], T]) -> T:
    """Return ``read(path)`` by `steadily`; what CubeFit did not write is a StoreError.

    Raises
    ------
    StoreError
        If the file is missing, foreign, damaged, cut short, or made by a newer version.
    """
    require_hdf5(path)
    try:
        return steadily(path, read)
    except CubeFitError:
        raise
    except READ_DAMAGE as error:
        raise StoreError(
            f"{path} holds what no CubeFit wrote ({error}): `cubefit check` tells more; restore a "
            "copy."
        ) from error


def missing_bytes(path: Path) -> str:
    """Return how much a file of superblock version 0 was cut short, or nothing."""
    with path.open("rb") as file:
        start = file.read(SUPERBLOCK_BYTES)
    if len(start) == SUPERBLOCK_BYTES and start[8] == 0:
        length, size = int.from_bytes(start[40:48], "little"), path.stat().st_size
        if size < length:
            return f"cut short: it has {size} of its {length} bytes"
    return ""


@contextmanager
def amending(path: Path, *, growth: int = 0, with_inputs: bool = False) -> Iterator[h5py.File]:
    """Open a CubeFit file to add or replace small datasets; all or nothing is kept.

    See `cubefit.store.amend.amended`. The values of the HyperCube are out of reach meanwhile, and
    unless asked for those of `schema.LARGE_INPUTS`.
    """
    with reading(path):
        pass
    with sole_writer(path), amended(path, growth=growth, with_inputs=with_inputs) as file:
        yield file


def require_writable(path: Path) -> None:
    """Raise LockedError or StoreError if results could not be written now: before long work."""
    with reading(path):
        pass
    with sole_writer(path):
        pass


@contextmanager
def new_file(path: Path, *, reserve_blocks: bool = False) -> Iterator[h5py.File]:
    """Create a file that appears under its name, complete, on a clean end and not before.

    With ``reserve_blocks`` the disk space of its unwritten datasets is claimed too. The caller
    is the sole writer. Superblock version 0 has no consistency flags, so a killed
    process never leaves a file that HDF5 refuses.
    """
    with replacement(path) as temporary:
        with h5py.File(temporary, "w", libver="earliest", locking=False) as file:
            yield file
        if reserve_blocks:
            reserve(temporary)


def open_h5(
    path: str | Path, role: Literal["reader", "writer"]
) -> AbstractContextManager[h5py.File]:
    """Open a CubeFit file as one of many readers, or as its only writer.

    Parameters
    ----------
    path : str or Path
        The file.
    role : {"reader", "writer"}
        A reader may look at any time, also while the file is written. A writer may add or replace
        small datasets; its changes become visible together on a clean end, or not at all. The
        values of the HyperCube read as zero meanwhile and cannot be changed: `build_hypercube`
        writes them.

    Returns
    -------
    context manager of h5py.File

    Raises
    ------
    StoreError
        If the file is missing, foreign, damaged or newer than this program.
    LockedError
        If another process writes to it.
    """
    if role == "reader":
        return reading_everything(Path(path))
    if role == "writer":
        return amending(Path(path), with_inputs=True)
    raise ConfigError(f"role={role!r}: choose 'reader' or 'writer'.")
