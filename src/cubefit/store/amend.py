"""Small structural changes to a file that may hold hundreds of GB, without risk to it.

HDF5 changes many places of a file at once, and a process killed in between leaves it unreadable.
So the change is made to a sparse clone that holds everything but the HyperCube's values. What is
new goes to the end of the real file first, where nobody looks yet. Then the few changed bytes of
old metadata are noted in a redo file and put in place. A kill before the redo file exists changes
nothing that a reader sees; after it, the next opening completes the change.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import h5py
import numpy as np

from cubefit.errors import LockedError
from cubefit.store import schema
from cubefit.store.files import replacement, write_all
from cubefit.store.lock import writer_lock

logger = logging.getLogger(__name__)

BLOCK: Final = 1 << 20
"""Bytes compared or copied at a time."""
GRAIN: Final = 64
"""Changed bytes are patched in runs of this length."""

Extent = tuple[int, int]
"""First byte and the byte after the last."""


def redo_path(path: Path) -> Path:
    """Return the file that notes an amendment under way."""
    return path.with_name(path.name + ".redo")


def hypercube_extents(path: Path) -> list[Extent]:
    """Return where in the file the values of the HyperCube lie, merged and in order."""
    with h5py.File(path, "r", locking=False) as file:
        if schema.MODELS.path not in file:
            return []
        chunks: list[Extent] = []
        file[schema.MODELS.path].id.chunk_iter(
            lambda info: chunks.append((info.byte_offset, info.byte_offset + info.size))
        )
    merged: list[Extent] = []
    for start, end in sorted(chunks):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


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


def changed_runs(old_fd: int, new_fd: int, extents: list[Extent]) -> Iterator[tuple[int, bytes]]:
    """Yield place and new bytes of every run that differs between two files."""
    for start, end in blocks_of(extents):
        old, new = os.pread(old_fd, end - start, start), os.pread(new_fd, end - start, start)
        if old == new:
            continue
        length = min(len(old), len(new))
        differs = np.frombuffer(old, np.uint8, length) != np.frombuffer(new, np.uint8, length)
        grains = np.unique(np.flatnonzero(differs) // GRAIN)
        for run in np.split(grains, np.flatnonzero(np.diff(grains) > 1) + 1):
            begin, stop = int(run[0]) * GRAIN, (int(run[-1]) + 1) * GRAIN
            yield start + begin, new[begin : min(stop, length)]


def note_redo(path: Path, runs: list[tuple[int, bytes]]) -> None:
    """Write the redo file: all of it or none."""
    with replacement(redo_path(path)) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            inode=np.int64(path.stat().st_ino),
            places=np.array([place for place, _ in runs], np.int64),
            lengths=np.array([len(data) for _, data in runs], np.int64),
            data=np.frombuffer(b"".join(data for _, data in runs), np.uint8),
        )


def apply_redo(path: Path) -> None:
    """Put the bytes of the redo file in place and remove it; doing it twice does no harm."""
    with np.load(redo_path(path), allow_pickle=False) as redo:
        inode, places, lengths, data = (redo[k] for k in ("inode", "places", "lengths", "data"))
    if int(inode) == path.stat().st_ino:
        fd = os.open(path, os.O_RDWR)
        try:
            start = 0
            for place, length in zip(places.tolist(), lengths.tolist(), strict=True):
                write_all(fd, memoryview(data[start : start + length].tobytes()), place)
                start += length
            os.fsync(fd)
        finally:
            os.close(fd)
    else:
        logger.warning("%s belongs to an earlier file of that name: dropped.", redo_path(path))
    redo_path(path).unlink()


def finish_interrupted_amendment(path: Path) -> None:
    """Complete an amendment whose process was killed; leave one under way alone."""
    if not redo_path(path).exists():
        return
    try:
        with writer_lock(path):
            if redo_path(path).exists():
                apply_redo(path)
    except LockedError:
        return


@contextmanager
def amended(path: Path) -> Iterator[h5py.File]:
    """Open a clone of ``path`` for structural changes, which reach ``path`` on a clean end.

    The caller holds the writer lock. Create what replaces a dataset before unlinking the old one,
    see `replace_dataset`; the values of the HyperCube are not in the clone.
    """
    if redo_path(path).exists():
        apply_redo(path)
    size = path.stat().st_size
    kept = other_extents(hypercube_extents(path), size)
    clone = path.with_name(path.name + ".amend")
    source_fd = os.open(path, os.O_RDWR)
    try:
        clone_fd = os.open(clone, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            os.ftruncate(clone_fd, size)
            copy_extents(source_fd, clone_fd, kept)
            with h5py.File(clone, "r+", libver="earliest", locking=False) as file:
                yield file
            grown = os.fstat(clone_fd).st_size
            copy_extents(clone_fd, source_fd, [(size, grown)])
            os.fsync(source_fd)
            runs = list(changed_runs(source_fd, clone_fd, kept))
        finally:
            os.close(clone_fd)
        if runs:
            note_redo(path, runs)
            apply_redo(path)
    finally:
        os.close(source_fd)
        clone.unlink(missing_ok=True)


def replace_dataset(
    file: h5py.File, name: str, values: np.ndarray, attributes: dict[str, object]
) -> None:
    """Write a dataset under ``name``, replacing an older one only when the new one is complete."""
    fresh = name + ".new"
    if fresh in file:
        del file[fresh]
    dataset = file.create_dataset(fresh, data=values)
    dataset.attrs.update(attributes)
    if name in file:
        del file[name]
    file.move(fresh, name)
