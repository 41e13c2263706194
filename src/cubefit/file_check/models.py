"""A sample of stored models against models computed from the inputs, spectrum by spectrum.

The way there is not the builder's: float64, one spectrum at a time, no scaling and no floor.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cubefit.file_check.findings import Verdict, some
from cubefit.file_check.structure import REBUILD
from cubefit.spectra.shifted_templates import shifted_templates
from cubefit.store.load import ModelInputs
from cubefit.store.tiles import TileGrid

Float = NDArray[np.float64]
Place = tuple[int, int, int]
"""Spaxel, component and population."""

TEMPLATES_AT_ONCE: Final = 32
"""Whose shifted templates are in memory together: 64 MB for NGC 4365."""
LEAST_TOLERANCE: Final = 1e-5
"""Of a spectrum's largest value: twenty times less than models must be accurate to."""
FLOAT32_ROUNDING: Final = 2.0**-24
SMALLEST_SAFE: Final = 1e-36
"""Below it float32 nears the subnormals, and the builder counts LOSVD values as zero."""
FAINTEST_SHARE: Final = 1e-30
"""Of the largest LOSVD value: the builder counts smaller ones as zero."""


class Deviation(NamedTuple):
    """How far a stored model is off."""

    place: Place
    relative: float
    """Largest difference over the tolerated one; infinite where values are not finite or unread."""


def tolerance(n_velocities: int, mantissa_bits: int) -> float:
    """Return the difference that storage explains, as a share of a spectrum's largest value.

    A float32 sum over V bins of rounded factors is off by at most (V + 4) roundings, whatever
    its order; twice that leaves room for another machine's arithmetic. Rounding to fewer mantissa
    bits adds up to 2**-(bits + 1), twice that if it was done in two steps.
    """
    rounded = 0.0 if mantissa_bits >= 23 else 2.0**-mantissa_bits
    return max(LEAST_TOLERANCE, 2.0 * (n_velocities + 4) * FLOAT32_ROUNDING) + rounded


def sample_places(grid: TileGrid, done: NDArray[np.bool_], n: int, seed: int) -> list[Place]:
    """Return ``n`` random models of done tiles: as many tiles as possible, the same for a seed."""
    random = np.random.default_rng(seed)
    tiles = random.permutation(np.argwhere(done))
    places = []
    for number in range(n if len(tiles) else 0):
        i, j, k = (int(n) for n in tiles[number % len(tiles)])
        s, c, p = grid.slices((i, j, k))
        places.append(
            (
                int(random.integers(s.start, s.stop)),
                int(random.integers(c.start, c.stop)),
                int(random.integers(p.start, p.stop)),
            )
        )
    return sorted(set(places), key=lambda place: place[2])


def recomputed(inputs: ModelInputs, places: list[Place]) -> Iterator[tuple[Place, Float, float]]:
    """Yield each place with its model, shape (L,), and the largest sum of magnitudes behind it."""
    of_template = defaultdict(list)
    for place in places:
        of_template[place[2]].append(place)
    populations = sorted(of_template)
    used = np.asarray(inputs.losvd.any(axis=(0, 2)))
    grids = inputs.grids
    for first in range(0, len(populations), TEMPLATES_AT_ONCE):
        some_p = populations[first : first + TEMPLATES_AT_ONCE]
        shifted = shifted_templates(
            inputs.templates[some_p],
            grids.tem_pix,
            grids.obs_pix,
            grids.vel_pix,
            used=used,
            dtype=np.float64,
        )
        for j, p in enumerate(some_p):
            for place in of_template[p]:
                losvd = inputs.losvd[place[0], :, place[1]].astype(np.float64)
                size = float((losvd @ np.abs(shifted[:, j])).max())
                yield place, losvd @ shifted[:, j], size


def deviations(
    inputs: ModelInputs,
    places: list[Place],
    stored: Callable[[Place], NDArray[np.float32] | None],
    allowed: float,
) -> Iterator[Deviation]:
    """Yield how far each stored model is off, in units of what is allowed."""
    n_velocities = inputs.losvd.shape[1]
    largest = float(inputs.losvd.max())
    brightest = float(np.abs(inputs.templates).max())
    faint = n_velocities * max(FAINTEST_SHARE * largest * brightest, SMALLEST_SAFE)
    for place, model, size in recomputed(inputs, places):
        found = stored(place)
        if found is None or not np.isfinite(found).all():
            yield Deviation(place, np.inf)
            continue
        off = float(np.abs(found - model).max())
        yield Deviation(place, off / (allowed * size + faint))


def check_models(
    inputs: ModelInputs,
    places: list[Place],
    stored: Callable[[Place], NDArray[np.float32] | None],
    mantissa_bits: int,
) -> Verdict:
    """Judge stored models by those computed from the inputs.

    Parameters
    ----------
    inputs : ModelInputs
        What the models are made of.
    places : list of tuple
        Which ones.
    stored : callable
        Returns the stored model of a place, or None if it cannot be read.
    mantissa_bits : int
        Bits that the stored values have.
    """
    if not places:
        return Verdict("skipped", "No model is compared: no tile is done, or none was asked for.")
    allowed = tolerance(inputs.losvd.shape[1], mantissa_bits)
    found = list(deviations(inputs, places, stored, allowed))
    wrong = [d for d in found if not d.relative <= 1.0]
    if wrong:
        worst = max(wrong, key=lambda d: d.relative)
        return Verdict(
            "failed",
            f"{len(wrong)} of {len(found)} models are not what the inputs give, at (s, c, p) = "
            f"{some(d.place for d in wrong)}; "
            f"{worst.place} is off by {worst.relative * allowed:.1e} of its "
            f"largest value, {allowed:.1e} is allowed: {REBUILD}.",
        )
    worst_ok = max(d.relative for d in found) * allowed
    return Verdict(
        "ok",
        f"{len(found)} models recomputed in float64 agree within {worst_ok:.1e} of their largest "
        f"value ({allowed:.1e} is allowed).",
    )
