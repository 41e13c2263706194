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
CONTINUATION_MESSAGE: Final = 0x10
SOFT_LINK: Final = 2
"""Cache type of a symbol table entry that is a soft link."""
LAST_PLACE: Final = 1 << 62
"""Addresses beyond are "undefined", or damaged."""
ENTRY: Final = "<QQIIIIII"
"""Symbol table entry: name in the heap, object header, cache type, reserved, target in the heap of
a soft link, unused."""
ENTRY_BYTES: Final = struct.calcsize(ENTRY)


def _peek(fd: int, n_bytes: int, place: int) -> bytes:
    """Return bytes of the file, fewer where it has none."""
    return os.pread(fd, n_bytes, place) if place < LAST_PLACE else b""


def _parts(fd: int, place: int, layout: str, signature: bytes = b"") -> tuple[int, ...]:
    """Return the numbers that stand at a place behind a signature.

    Raises
    ------
    StoreError
        If they do not, because an address is damaged or the end of the file is missing.
    """
    found = _peek(fd, len(signature) + struct.calcsize(layout), place)
    if found[: len(signature)] != signature:
        raise StoreError(f"No {signature.decode()} at byte {place}: the file is damaged.")
    if len(found) < len(signature) + struct.calcsize(layout):
        raise StoreError(f"The file ends before byte {place}: it is damaged or cut short.")
    return struct.unpack(layout, found[len(signature) :])


def _messages(fd: int, header: int) -> Iterator[tuple[int, int]]:
    """Yield kind and place of the messages of an object header; none if it is a newer one."""
    version, _, n_messages, _, size = _parts(fd, header, "<BBHII")
    pieces = [(header + 16, size)] if version == 1 else []
    while pieces:
        place, size = pieces.pop(0)
        end = place + size
        while place < end and n_messages > 0:
            kind, length, _, _, _, _ = _parts(fd, place, "<HHBBBB")
            if kind == CONTINUATION_MESSAGE:
                start, more = _parts(fd, place + 8, "<QQ")
                pieces.append((start, more))
            yield kind, place + 8
            place, n_messages = place + 8 + length, n_messages - 1


def _group_storage(fd: int, header: int) -> tuple[int, int]:
    """Return the addresses of a group's B-tree and of its heap."""
    for kind, place in _messages(fd, header):
        if kind == SYMBOL_TABLE_MESSAGE:
            btree, heap = _parts(fd, place, "<QQ")
            return btree, heap
    raise StoreError(
        "The group /Fit was rewritten in a newer HDF5 style by another program: delete it, and the "
        "next fit makes it anew."
    )


def _entries(fd: int, node: int, above: int = 256) -> Iterator[tuple[int, int, int]]:
    """Yield name, cache type and target of every entry below a B-tree node."""
    if _peek(fd, 4, node) == b"SNOD":
        _, _, count = _parts(fd, node, "<BBH", b"SNOD")
        for i in range(count):
            name, _, kind, _, target, _, _, _ = _parts(fd, node + 8 + i * ENTRY_BYTES, ENTRY)
            yield name, kind, target
        return
    _, level, count, _, _ = _parts(fd, node, "<BBHQQ", b"TREE")
    if level >= above:
        raise StoreError(f"The tree at byte {node} bites its tail: the file is damaged.")
    for i in range(count):
        # Keys and children take turns, a key first.
        (child,) = _parts(fd, node + 24 + 16 * i + 8, "<Q")
        yield from _entries(fd, child, level)


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
    for name_place, kind, target in _entries(fd, btree):
        if kind == SOFT_LINK and _peek(fd, len(wanted), data + name_place) == wanted:
            return data + target
    raise StoreError(f"The group holds no soft link {name}: the file is damaged.")
