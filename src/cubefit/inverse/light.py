"""Which components light up which spaxels, and blocks of spaxels that share their components."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

MOST_BLOCKS: Final = 8
"""A block costs one pass over the broadened templates, so there are few."""
WORTH: Final = 0.9
"""Two neighbouring blocks stay apart where that leaves at most this share of their pairs."""


@dataclass(frozen=True, slots=True)
class LightBlock:
    """Spaxels and the components that light up any of them."""

    spaxels: NDArray[np.intp]
    """Shape (n,)."""
    components: NDArray[np.intp]
    """Shape (m,), ascending."""

    @classmethod
    def of(cls, lit: NDArray[np.bool_], spaxels: NDArray[np.intp]) -> LightBlock:
        """Return the block of some spaxels; ``lit`` has shape (S, C)."""
        return cls(spaxels, np.flatnonzero(lit[spaxels].any(axis=0)))

    @property
    def n_pairs(self) -> int:
        """Pairs of spaxel and component that the block holds, dark ones too."""
        return self.spaxels.size * self.components.size


def light_blocks(lit: NDArray[np.bool_], *, most: int = MOST_BLOCKS) -> list[LightBlock]:
    """Cut the spaxels into few blocks that hold few dark pairs of spaxel and component.

    Spaxels are put in order by the leading direction in which their lit components differ, cut into
    ``most`` even blocks, and neighbours are joined again where keeping them apart saves little.

    Parameters
    ----------
    lit : ndarray of bool, shape (S, C)
        Whether a component has light in a spaxel.
    most : int
        Number of blocks.

    Returns
    -------
    list of LightBlock
        Every spaxel once. Blocks without light are left out.
    """
    S = lit.shape[0]
    if lit.all():
        return [LightBlock(np.arange(S), np.arange(lit.shape[1]))]
    centred = lit - lit.mean(axis=0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    order = np.argsort(centred @ directions[:, -1], kind="stable")
    blocks = [LightBlock.of(lit, np.sort(part)) for part in np.array_split(order, min(most, S))]
    joined = blocks[:1]
    for block in blocks[1:]:
        both = LightBlock.of(lit, np.sort(np.concatenate([joined[-1].spaxels, block.spaxels])))
        if joined[-1].n_pairs + block.n_pairs > WORTH * both.n_pairs:
            joined[-1] = both
        else:
            joined.append(block)
    return [block for block in joined if block.components.size]
