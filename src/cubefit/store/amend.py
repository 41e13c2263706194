"""Small structural changes to a file that may hold hundreds of GB, without risk to it.

HDF5 changes many places of a file at once, and a process killed in between leaves it unreadable.
So the change is made to a sparse clone that holds everything but the large values. What is
new goes to the end of the real file first, where nobody looks yet. Then the few changed bytes of
old metadata are noted in a redo file and put in place. A kill before the redo file exists changes
nothing that a reader sees; after it, the next opening completes the change. The redo file knows
what it changes and finds out by itself whether it belongs to a file, so the two may be copied or
moved together, and one left behind does no harm.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from zipfile import BadZipFile

import h5py
import numpy as np

from cubefit.errors import LockedError, StoreError
from cubefit.store import schema
from cubefit.store.access import read_apart
from cubefit.store.files import (
    beside,
    fallocate,
    replacement,
    temporary_path,
    write_all,
    writing_to,
)
from cubefit.store.lock import WriterLock, open_to_write, writer_lock

logger = logging.getLogger(__name__)

BLOCK: Final = 1 << 20
"""Bytes compared or copied at a time."""
GRAIN: Final = 64
"""Changed bytes are patched in runs of this length."""
STRUCTURE_BYTES: Final = 1 << 20
"""More than the metadata of a few dozen datasets take."""
PATCH_WAIT_S: Final = 30.0
"""A reader waits this long for another process to put a redo file in place: milliseconds' work."""

Extent = tuple[int, int]
"""First byte and the byte after the last."""


@dataclass(frozen=True, slots=True)
class Patch:
    """A run of bytes to change."""

    place: int
    old: bytes
    new: bytes

    def fits(self, found: bytes) -> bool:
        """Whether ``found`` is this run before, after, or half-way through the change."""
        if len(found) != len(self.old):
            return False
        now, old, new = (np.frombuffer(b, np.uint8) for b in (found, self.old, self.new))
        return bool(((now == old) | (now == new)).all())


def redo_path(path: Path) -> Path:
    """Return the file that notes an amendment under way."""
    return beside(path, ".redo")


def clone_path(path: Path) -> Path:
    """Return where the clone of a file is made."""
    return beside(path, ".amend")


def left_behind(path: Path) -> list[Path]:
    """Return the paths of files that a killed writer leaves, and that nobody has a use for."""
    return [temporary_path(path), clone_path(path), temporary_path(redo_path(path))]


def left_alone(path: Path, *, with_inputs: bool = False) -> list[Extent]:
    """Return where in the file the values lie that an amendment leaves alone, merged, in order.

    Those of the HyperCube, of which none lie in this file if it is in shards; and those of the
    inputs that grow with the cube, unless the amendment is to have them.
    """
    extents: list[Extent] = []
    with read_apart(path) as file:
        models = file.get(schema.MODELS.path)
        if models is not None and not models.is_virtual:
            models.id.chunk_iter(
                lambda info: extents.append((info.byte_offset, info.byte_offset + info.size))
            )
        for entry in () if with_inputs else schema.LARGE_INPUTS:
            values = file.get(entry.path)
            place = None if values is None or values.chunks else values.id.get_offset()
            if place is not None:
                extents.append((place, place + values.id.get_storage_size()))
    return merged(extents)


def merged(extents: list[Extent]) -> list[Extent]:
    """Return extents in order, those that touch as one."""
    result: list[Extent] = []
    for start, end in sorted(extents):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((start, end))
    return result


def other_extents(taken: list[Extent], size: int) -> list[Extent]:
    """Return the extents of a file of ``size`` bytes that are not ``taken``."""
    starts = [0, *(end for _, end in taken)]
    ends = [*(start for start, _ in taken), size]
    return [(a, b) for a, b in zip(starts, ends, strict=True) if a < b]


def blocks_of(extents: list[Extent]) -> Iterator[Extent]:
    """Yield the extents in pieces of at most `BLOCK` bytes."""
    for start, end in extents:
        for begin in range(start, end, BLOCK):
            yield begin, min(begin + BLOCK, end)


def copy_extents(source_fd: int, target_fd: int, extents: list[Extent]) -> None:
    """Copy the extents of one file to the same places of another."""
    for start, end in blocks_of(extents):
        write_all(target_fd, memoryview(os.pread(source_fd, end - start, start)), start)


def changed_runs(old_fd: int, new_fd: int, extents: list[Extent]) -> Iterator[Patch]:
    """Yield every run of bytes in which a file differs from an older one of at least its length."""
    for start, end in blocks_of(extents):
        new = os.pread(new_fd, end - start, start)
        old = os.pread(old_fd, len(new), start)
        if old == new:
            continue
        differs = np.frombuffer(old, np.uint8) != np.frombuffer(new, np.uint8)
        grains = np.unique(np.flatnonzero(differs) // GRAIN)
        for run in np.split(grains, np.flatnonzero(np.diff(grains) > 1) + 1):
            part = slice(int(run[0]) * GRAIN, (int(run[-1]) + 1) * GRAIN)
            yield Patch(start + part.start, old[part], new[part])


def digest_of_bytes(fd: int, extent: Extent) -> bytes:
    """Return the digest of a part of a file."""
    digest = hashlib.blake2b(digest_size=32)
    for start, end in blocks_of([extent]):
        digest.update(os.pread(fd, end - start, start))
    return digest.digest()


def note_redo(path: Path, fd: int, patches: list[Patch], grown: Extent) -> None:
    """Write the redo file: all of it or none.

    Parameters
    ----------
    path : Path
        The file to change.
    fd : int
        It, open.
    patches : list of Patch
        What to change.
    grown : tuple of int
        What was added at its end before.
    """
    with replacement(redo_path(path)) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            grown=np.array(grown, np.int64),
            digest=np.frombuffer(digest_of_bytes(fd, grown), np.uint8),
            places=np.array([p.place for p in patches], np.int64),
            lengths=np.array([len(p.new) for p in patches], np.int64),
            old=np.frombuffer(b"".join(p.old for p in patches), np.uint8),
            new=np.frombuffer(b"".join(p.new for p in patches), np.uint8),
        )


def read_redo(path: Path) -> tuple[Extent, bytes, list[Patch]]:
    """Return what was added at the end of the file, its digest, and the patches.

    Raises
    ------
    StoreError
        If the redo file is none.
    """
    try:
        return _parsed_redo(redo_path(path))
    except (EOFError, ValueError, LookupError, TypeError, BadZipFile) as error:
        raise StoreError(
            f"{redo_path(path)} holds no change of {path.name} ({error or type(error).__name__}): "
            "move it away, then run `cubefit check`."
        ) from error


def _parsed_redo(redo_file: Path) -> tuple[Extent, bytes, list[Patch]]:
    with redo_file.open("rb") as stream, np.load(stream, allow_pickle=False) as redo:
        old, new = redo["old"].tobytes(), redo["new"].tobytes()
        stops = np.cumsum(redo["lengths"])
        parts = [slice(int(b - n), int(b)) for b, n in zip(stops, redo["lengths"], strict=True)]
        patches = [
            Patch(int(place), old[part], new[part])
            for place, part in zip(redo["places"], parts, strict=True)
        ]
        start, end = (int(n) for n in redo["grown"])
        return (start, end), redo["digest"].tobytes(), patches


def put_in_place(path: Path) -> bool:
    """Change what the redo file says, unless it was made for another file; doing so twice is safe.

    Returns
    -------
    bool
        Whether the file is the one that it was made for, in any state of the change.
    """
    if not path.exists():
        return False
    grown, digest, patches = read_redo(path)
    fd = open_to_write(path)
    try:
        belongs = digest_of_bytes(fd, grown) == digest and all(
            p.fits(os.pread(fd, len(p.old), p.place)) for p in patches
        )
        if belongs:
            for patch in patches:
                write_all(fd, memoryview(patch.new), patch.place)
            os.fsync(fd)
    finally:
        os.close(fd)
    return belongs


def complete_amendment(path: Path) -> None:
    """Put a redo file that is there in place and remove it; by the sole writer, or on its behalf.

    It may be that of a process which wrote on the behalf of this one and was killed.
    """
    if not redo_path(path).exists():
        return
    if not put_in_place(path):
        logger.warning("%s was made for another file of that name: dropped.", redo_path(path))
    redo_path(path).unlink()


@contextmanager
def sole_writer(path: Path, task: str = "write") -> Iterator[WriterLock]:
    """Hold the right to write to ``path``, after completing an amendment that was killed.

    Parameters
    ----------
    path : Path
        The file.
    task : str
        What for, as others are told.

    Raises
    ------
    LockedError
        If another process holds it, or has the file open to write through HDF5.
    StoreError
        If the disk is full, or the file may not be written.
    """
    with ExitStack() as stack:
        lock = stack.enter_context(writer_lock(path, task))
        stack.enter_context(writing_to(path))
        for left in left_behind(path):
            left.unlink(missing_ok=True)
        if path.exists():
            stack.callback(lock.unguard)
            lock.guard(path)
            complete_amendment(path)
        yield lock


def finish_interrupted_amendment(path: Path) -> None:
    """Complete an amendment whose process was killed; wait for one that is being put in place."""
    deadline = time.monotonic() + PATCH_WAIT_S
    while redo_path(path).exists():
        try:
            with sole_writer(path):
                return
        except LockedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


@contextmanager
def amended(path: Path, *, growth: int = 0, with_inputs: bool = False) -> Iterator[h5py.File]:
    """Open a clone of ``path`` for structural changes, which reach ``path`` on a clean end.

    The caller is the sole writer. The values of the HyperCube are not in the clone, and those of
    the inputs that grow with the cube only if they are asked for: a clone of 80 GB is no small one.

    Parameters
    ----------
    path : Path
        The file.
    growth : int
        Bytes of new values. They are reserved first, and some for structure: HDF5 bears no full
        disk, it ends the process or raises what does not tell why.
    with_inputs : bool
        The change reads or writes `schema.LARGE_INPUTS`.

    Raises
    ------
    StoreError
        If the HyperCube, or an input that is not in the clone, was replaced or dropped.
    OSError
        If the disk is full.
    """
    complete_amendment(path)
    size = path.stat().st_size
    taken = left_alone(path, with_inputs=with_inputs)
    kept = other_extents(taken, size)
    clone = clone_path(path)
    source_fd = open_to_write(path)
    try:
        clone_fd = os.open(clone, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            os.ftruncate(clone_fd, size)
            copy_extents(source_fd, clone_fd, kept)
            fallocate(clone_fd, size, growth + STRUCTURE_BYTES, keep_size=True)
            with h5py.File(clone, "r+", libver="earliest", locking=False) as file:
                yield file
            if left_alone(clone, with_inputs=with_inputs) != taken:
                raise StoreError(
                    f"{schema.MODELS.path} of {path} cannot be replaced or dropped this way: use "
                    "build_hypercube(..., overwrite=True). Nothing was changed."
                )
            grown = (size, max(size, os.fstat(clone_fd).st_size))
            try:
                copy_extents(clone_fd, source_fd, [grown])
                os.fsync(source_fd)
                patches = list(changed_runs(source_fd, clone_fd, kept))
                if patches:
                    note_redo(path, source_fd, patches, grown)
            except BaseException:
                redo_path(path).unlink(missing_ok=True)
                os.ftruncate(source_fd, size)
                raise
        finally:
            os.close(clone_fd)
        if patches:
            complete_amendment(path)
    finally:
        os.close(source_fd)
        clone.unlink(missing_ok=True)


def replace_dataset(
    file: h5py.File, name: str, values: np.ndarray, attributes: Mapping[str, object]
) -> None:
    """Write a dataset under ``name``; in the place of an older one of its size and kind.

    HDF5 forgets freed space when a file closes, so that files would grow with every new result.
    """
    dataset = file.get(name)
    if isinstance(dataset, h5py.Group):
        raise StoreError(f"{name} is a group: give the dataset another name.")
    if dataset is not None and (dataset.shape, dataset.dtype) == (values.shape, values.dtype):
        dataset[...] = values
        for stale in set(dataset.attrs) - set(attributes):
            del dataset.attrs[stale]
    else:
        if dataset is not None:
            del file[name]
        dataset = file.create_dataset(name, data=values)
    dataset.attrs.update(attributes)
