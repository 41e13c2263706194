"""Checksums of FITS files that are written in parts (FITS standard 4.0, appendix J)."""

from __future__ import annotations

from typing import Final

import numpy as np
from astropy.io import fits

MOST: Final = 2**32 - 1
ZERO: Final = "0" * 16
"""What the checksum counts as while it is computed."""
OFFSET: Final = 0x30
"""Of the characters: sums of four of them are to be those of bytes."""
PUNCTUATION: Final = frozenset((*range(0x3A, 0x41), *range(0x5B, 0x61)))
"""Characters between digits, capitals and small letters, which are not used."""


def add_words(total: int, data: bytes | memoryview) -> int:
    """Return a ones' complement sum of big-endian words of 4 bytes, with some more of them."""
    words = np.frombuffer(data, ">u4")
    return folded(total + int(words.sum(dtype=np.uint64)))


def folded(total: int) -> int:
    """Return a sum with what is over 32 bits carried round to the lowest ones."""
    while total > MOST:
        total = (total & MOST) + (total >> 32)
    return total


def set_checksums(header: fits.Header, datasum: int) -> None:
    """Set DATASUM and CHECKSUM of a header whose data have that sum, in cards that it has."""
    header["DATASUM"] = str(datasum)
    header["CHECKSUM"] = ZERO
    total = add_words(datasum, header.tostring().encode("ascii"))
    header["CHECKSUM"] = encoded(MOST - total)


def encoded(value: int) -> str:
    """Return a number of 32 bits as 16 letters and digits whose words add up to it."""
    letters = [""] * 16
    for place, byte in enumerate(value.to_bytes(4, "big")):
        quarters = [byte // 4 + OFFSET] * 4
        quarters[0] += byte % 4
        while PUNCTUATION.intersection(quarters):
            for n in (0, 2):
                if PUNCTUATION.intersection(quarters[n : n + 2]):
                    quarters[n] += 1
                    quarters[n + 1] -= 1
        for n, quarter in enumerate(quarters):
            letters[4 * n + place] = chr(quarter)
    # The text begins in the last byte of a word of the card.
    return letters[-1] + "".join(letters[:-1])
