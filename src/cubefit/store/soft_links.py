"""Where the target of a soft link stands in an HDF5 file, so that one write can change it.

HDF5 offers no change of a link that survives a kill. But a link's target is plain text in the heap
of its group, and a write of one byte happens or does not. The layout of an old-style group is
fixed by the HDF5 File Format Specification, version 3.0: III.A.1 (B-trees, version 1), III.C
(symbol table), III.D (local heap), IV.A.1.a (object headers, version 1).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import Final

from cubefit.errors import StoreError

SYMBOL_TABLE_MESSAGE: Final = 0x11
SOFT_LINK: Final = 2
"""Cache type of a symbol table entry that is a soft link."""
ENTRY: Final = struct.Struct("<QQII16s")
"""Symbol table entry: name in the heap, object header, cache type, reserved, scratch."""


def _parts(fd: int, place: int, layout: str, signature: bytes = b"") -> tuple[int, ...]:
    found = os.pread(fd, len(signature) + struct.calcsize(layout), place)
    if found[: len(signature)] != signature:
        raise StoreError(f"No {signature.decode()} at byte {place}: the file is damaged.")
    return struct.unpack(layout, found[len(signature) :])


def _group_storage(fd: int, header: int) -> tuple[int, int]:
    """Return the addresses of a group's B-tree and of its heap."""
    version, _, n_messages, _, size = _parts(fd, header, "<BBHII")
    place, end = header + 16, header + 16 + size
    for _ in range(n_messages):
        if version != 1 or place >= end:
            break
        kind, length, _, _, _, _ = _parts(fd, place, "<HHBBBB")
        if kind == SYMBOL_TABLE_MESSAGE:
            btree, heap = _parts(fd, place + 8, "<QQ")
            return btree, heap
        place += 8 + length
    raise StoreError(
        "The group /Fit was rewritten in a newer HDF5 style by another program: delete it, and the "
        "next fit makes it anew."
    )


def _entries(fd: int, node: int) -> Iterator[tuple[int, int, bytes]]:
    """Yield name, cache type and scratch of every entry below a B-tree node."""
    if os.pread(fd, 4, node) == b"SNOD":
        _, _, count = _parts(fd, node, "<BBH", b"SNOD")
        for i in range(count):
            name, _, kind, _, scratch = ENTRY.unpack(
                os.pread(fd, ENTRY.size, node + 8 + i * ENTRY.size)
            )
            yield name, kind, scratch
        return
    _, _, count, _, _ = _parts(fd, node, "<BBHQQ", b"TREE")
    for i in range(count):
        # Keys and children take turns, a key first.
        (child,) = _parts(fd, node + 24 + 16 * i + 8, "<Q")
        yield from _entries(fd, child)


def soft_link_place(fd: int, group_header: int, name: str) -> int:
    """Return the first byte of a soft link's target.

    Parameters
    ----------
    fd : int
        The file, open to read.
    group_header : int
        Address of the object header of the link's group.
    name : str
        The link.

    Raises
    ------
    StoreError
        If there is no such link, or the group is not an old-style one.
    """
    btree, heap = _group_storage(fd, group_header)
    *_, data = _parts(fd, heap, "<BBBBQQQ", b"HEAP")
    wanted = name.encode() + b"\0"
    for name_place, kind, scratch in _entries(fd, btree):
        found = os.pread(fd, len(wanted), data + name_place)
        if found == wanted and kind == SOFT_LINK:
            (target,) = struct.unpack_from("<I", scratch)
            return data + int(target)
    raise StoreError(f"The group holds no soft link {name}: the file is damaged.")
