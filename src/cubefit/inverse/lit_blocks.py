"""LOSVDs as products take them: without dark components, without dark velocity bins.

An orbit reaches velocities of its own: a fifth of the pairs of velocity bin and component of a real
library hold no light anywhere. They cost neither memory nor time here. Components stand in the
order of their reach, so that those of a velocity bin are neighbours: a slice, and no copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cubefit.inverse.light import LightBlock
from cubefit.inverse.scaling import LOSVD_FLOOR

CHUNK_BYTES: Final = 32_000_000
"""Broadened spectra that are made at a time: larger ones leave the caches, smaller ones cost more
passes over the spectra of all spaxels."""


class Bin(NamedTuple):
    """A velocity bin, and the components that hold light in it."""

    number: int
    rows: slice
    """Where these components stand among all pairs of a chunk."""
    components: slice
    """Which these are, in the order of `LitKernels.order`."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some neighbouring velocity bins, with their pairs of bin and component that hold light."""

    bins: tuple[Bin, ...]

    @classmethod
    def of(cls, kept: NDArray[np.bool_], first: int, stop: int) -> Chunk:
        """Return bins ``first`` to ``stop``; ``kept`` (V, C) has one run of components a bin."""
        bins, row = [], 0
        for number in range(first, stop):
            members = np.flatnonzero(kept[number])
            if members.size:
                components = slice(int(members[0]), int(members[-1]) + 1)
                bins.append(Bin(number, slice(row, row + members.size), components))
                row += members.size
        return cls(tuple(bins))

    @property
    def n_rows(self) -> int:
        """Number of its pairs."""
        return self.bins[-1].rows.stop if self.bins else 0


@dataclass(frozen=True, slots=True)
class Part:
    """The LOSVDs of a block of spaxels in a chunk."""

    chunk: Chunk
    """With the pairs that hold light in this block."""
    kernels: NDArray[np.floating]
    """Shape (n, rows), scaled to order one."""
    places: NDArray[np.intp] | None
    """Where its rows stand in the chunk of all blocks; None where that has no others."""


@dataclass(frozen=True, slots=True)
class LitBlock(LightBlock):
    """A block of spaxels with its LOSVDs."""

    parts: tuple[Part, ...]
    """One for each chunk."""

    @property
    def n_values(self) -> int:
        """LOSVD values that are held."""
        return sum(part.kernels.size for part in self.parts)

    @property
    def n_bytes(self) -> int:
        """Bytes of them."""
        return sum(part.kernels.nbytes for part in self.parts)

    def residual_of(self, residual: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the part (n, L) of the residual (S, L)."""
        return residual if len(self.spaxels) == len(residual) else residual[self.spaxels]

    def dense(self, rows: NDArray[np.intp], n_components: int, n_bins: int) -> NDArray[np.floating]:
        """Return the LOSVDs of some of its spaxels, shape (n, C, V), components in `order`."""
        dtype = self.parts[0].kernels.dtype if self.parts else np.dtype(np.float64)
        result = np.zeros((len(rows), n_components, n_bins), dtype)
        for part in self.parts:
            held = part.kernels[rows]
            for number, where, components in part.chunk.bins:
                result[:, components, number] = held[:, where]
        return result


@dataclass(frozen=True, slots=True)
class LitKernels:
    """The LOSVDs of a cube in blocks of spaxels and chunks of velocity bins."""

    blocks: tuple[LitBlock, ...]
    """Every spaxel with light once."""
    chunks: tuple[Chunk, ...]
    """Every pair of velocity bin and component with light in any block once."""
    order: NDArray[np.intp]
    """Components, shape (C,), those of the widest reach in velocity first."""

    @classmethod
    def holding(
        cls,
        losvd: NDArray[np.floating],
        scale: float,
        dtype: np.dtype[Any],
        blocks: Sequence[LightBlock],
        n_pixels: int,
    ) -> LitKernels:
        """Return LOSVDs (S, V, C), divided by ``scale``, tiny ones zero.

        ``n_pixels`` is the length of a spectrum, which decides how many make a chunk.
        """
        lit = [_lit_pairs(losvd, scale, dtype, block) for block in blocks]
        union = np.zeros(losvd.shape[1:], bool)
        for own in lit:
            union |= own
        order = np.argsort(-union.sum(axis=0), kind="stable")
        lit = [_filled(own[:, order]) for own in lit]
        union = _filled(union[:, order])
        most = max(1, CHUNK_BYTES // (dtype.itemsize * n_pixels))
        ranges = _cut(union.sum(axis=1), most)
        chunks = tuple(Chunk.of(union, first, stop) for first, stop in ranges)
        held = []
        for block, own in zip(blocks, lit, strict=True):
            parts = []
            for first, stop in ranges:
                chunk = Chunk.of(own, first, stop)
                kernels = np.empty((len(block.spaxels), chunk.n_rows), dtype)
                for number, rows, components in chunk.bins:
                    plane = losvd[block.spaxels, number][:, order[components]]
                    kernels[:, rows] = _scaled(plane, scale, dtype)
                parts.append(Part(chunk, kernels, _places(own, union, slice(first, stop))))
            held.append(LitBlock(block.spaxels, block.components, tuple(parts)))
        return cls(tuple(held), chunks, order)

    @property
    def n_rows(self) -> int:
        """Pairs of velocity bin and component with light anywhere."""
        return sum(chunk.n_rows for chunk in self.chunks)

    @property
    def most_rows(self) -> int:
        """Those of the largest chunk."""
        return max((chunk.n_rows for chunk in self.chunks), default=0)


def _scaled(
    losvd: NDArray[np.floating], scale: float, dtype: np.dtype[Any]
) -> NDArray[np.floating]:
    result = np.empty(losvd.shape, dtype)
    np.divide(losvd, losvd.dtype.type(scale), out=result, casting="same_kind")
    result[np.abs(result) < LOSVD_FLOOR] = 0.0
    return result


def _lit_pairs(
    losvd: NDArray[np.floating], scale: float, dtype: np.dtype[Any], block: LightBlock
) -> NDArray[np.bool_]:
    """Return which pairs (V, C) hold light in a block; bin by bin, for copies are large."""
    lit = [
        _scaled(losvd[block.spaxels, number], scale, dtype).any(axis=0)
        for number in range(losvd.shape[1])
    ]
    return np.array(lit)


def _filled(lit: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which pairs (V, C) lie from the first to the last component with light in a bin."""
    before = np.logical_or.accumulate(lit, axis=1)
    behind = np.logical_or.accumulate(lit[:, ::-1], axis=1)[:, ::-1]
    return np.asarray(before & behind)


def _cut(counts: NDArray[np.intp], most: int) -> list[tuple[int, int]]:
    """Return ranges of velocity bins of at most ``most`` pairs, or of one bin."""
    ranges, first, held = [], 0, 0
    for number, count in enumerate(counts):
        if held and held + count > most:
            ranges.append((first, number))
            first, held = number, 0
        held += int(count)
    if held:
        ranges.append((first, len(counts)))
    return ranges


def _places(
    own: NDArray[np.bool_], union: NDArray[np.bool_], span: slice
) -> NDArray[np.intp] | None:
    """Return where a block's pairs stand among those of all blocks; None if these are no more."""
    among = own[span][union[span]]
    return None if among.all() else np.flatnonzero(among)
