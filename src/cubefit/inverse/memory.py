"""What an exact fit needs of memory, and how its blocks fit into a budget."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from cubefit.errors import ConfigError
from cubefit.inverse.lit_blocks import CHUNK_BYTES
from cubefit.inverse.routes import BATCH_BYTES
from cubefit.inverse.working_set import MOST_MEMBERS

PROGRAM_BYTES: Final = 150e6
"""Python and its libraries."""
LIKELY_COMPRESSED: Final = 64
"""Templates that a library of any size compresses to at the default tolerance."""
LARGEST_BATCH: Final = 30e6
"""Bytes of a batch of columns: larger ones leave the caches and were slower."""
SMALLEST_BATCH: Final = 4e6
FEWEST_COMPRESSED: Final = 4
"""Compressed templates without which a compressed model is of no use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPlan:
    """Sizes of the blocks of an exact fit."""

    batch_bytes: float
    """For the columns of a batch of spaxels."""
    most_compressed: int
    """Compressed templates, K, at most."""
    needed_bytes: float
    """What the fit takes at most."""
    budget_bytes: float

    def told(self) -> str:
        """Return the plan in words."""
        return (
            f"memory: at most {self.needed_bytes / 1e9:.2f} GB of a budget of "
            f"{self.budget_bytes / 1e9:.2f} GB (max_memory_gb), with up to {self.most_compressed} "
            f"compressed templates and {self.batch_bytes / 1e6:.0f} MB per batch of columns"
        )


def held_bytes(sizes: tuple[int, int, int, int, int], n_pairs: int) -> float:
    """Return what spaxels take throughout a fit: kernels, templates and four cubes."""
    S, V, _, P, L = sizes
    return 8.0 * (n_pairs * V + V * P * L + 4 * S * L)


def passing_bytes(sizes: tuple[int, int, int, int, int]) -> float:
    """Return what a pass over the model takes besides: spectra, and a batch of what is between."""
    S, V, _, P, L = sizes
    return 8.0 * (2 * S * L + V * P) + 2.0 * CHUNK_BYTES + BATCH_BYTES


def compressing_bytes(sizes: tuple[int, int, int, int, int]) -> float:
    """Return what the compressed model takes besides: weighted templates, and light by bin."""
    S, V, C, P, L = sizes
    return 8.0 * (2 * V * P * L + S * C * V)


def plan_memory(
    sizes: tuple[int, int, int, int, int],
    n_pairs: int | None,
    budget_bytes: float,
    *,
    is_smooth: bool,
) -> MemoryPlan:
    """Return how an exact fit fits into a memory budget.

    Parameters
    ----------
    sizes : tuple of int
        ``(S, V, C, P, L)``.
    n_pairs : int or None
        Pairs of spaxel and component whose LOSVDs are held; None where others hold the spaxels.
    budget_bytes : float
        What the process may take.
    is_smooth : bool
        Whether the interior-point method runs.

    Raises
    ------
    ConfigError
        If it does not fit; with the least that would.
    """
    S, V, C, P, L = sizes
    held = PROGRAM_BYTES + (0.0 if n_pairs is None else held_bytes(sizes, n_pairs))
    passing = held + (0.0 if n_pairs is None else passing_bytes(sizes))
    # Of the interior point: blocks, their turn and products; coupling, its turns and its factor.
    blocks = 8 * 8.0 * C * P * P if is_smooth else 5 * 8.0 * min(C * P, MOST_MEMBERS) ** 2
    copies = 6 if is_smooth else 1
    compressed = min(P, LIKELY_COMPRESSED)

    def needed(K: int) -> float:
        curvature = 8.0 * (C * (K + is_smooth)) ** 2
        making = held + curvature + (0.0 if n_pairs is None else compressing_bytes(sizes))
        return max(making, passing + copies * curvature + blocks) + 2 * SMALLEST_BATCH

    least = needed(min(P, FEWEST_COMPRESSED))
    if least > budget_bytes:
        raise ConfigError(
            f"max_memory_gb={budget_bytes / 1e9:.3g}: this fit takes at least {least / 1e9:.2f} GB "
            f"(S={S}, V={V}, C={C}, P={P}, L={L}). Give that much, or a smaller cube: fewer "
            "pixels or templates, wider velocity bins."
        )
    while compressed > FEWEST_COMPRESSED and needed(compressed) > budget_bytes:
        compressed -= 1
    spare = budget_bytes - needed(compressed)
    batch = min(LARGEST_BATCH, SMALLEST_BATCH + max(spare, 0.0) / 2)
    return MemoryPlan(
        batch_bytes=batch,
        most_compressed=compressed,
        needed_bytes=math.ceil(needed(compressed) + 2 * (batch - SMALLEST_BATCH)),
        budget_bytes=budget_bytes,
    )
