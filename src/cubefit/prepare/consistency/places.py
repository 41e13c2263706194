"""Whether bins lie on the sky where the orbit library has those of the same numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cubefit.errors import InputError
from cubefit.prepare.bin_matching import pixel_size
from cubefit.prepare.binning import bin_centres

Float = NDArray[np.float64]
Int = NDArray[np.integer]

BESIDE: Final = 1.0
"""Sizes of a bin by which its centres may differ."""
FEW: Final = 0.1
"""Share of bins that may lie elsewhere, as those at the border do that the cube does not hold."""
SAME_PX: Final = 0.01
"""Relative difference of pixels that are alike."""
FEWEST: Final = 2
"""Bins that may in any case."""
ROUNDING: Final = 1e-6
"""Of the extent of all bins, by which positions may differ."""
COUNT: Final = 1.25
"""Factor by which numbers of like pixels may differ."""
DEGREES: Final = 1.0
"""Turns below are none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BinPlaces:
    """How bins lie on the sky against those of the orbit library."""

    ok: bool
    message: str
    elsewhere: NDArray[np.intp]
    """Bins whose centre lies elsewhere, or whose number of pixels differs."""


def bin_places(x: Float, y: Float, binnum: Int, orbits: tuple[Float, Float, Int]) -> BinPlaces:
    """Return whether bins lie where the orbit library has them.

    Parameters
    ----------
    x, y : ndarray, shape (nPix,)
        Positions of the pixels of the cube or its map of bins.
    binnum : ndarray of int, shape (nPix,)
        Bin of each, negative: in none.
    orbits : tuple of three ndarray, shapes (n,)
        The same of the orbit library.

    Returns
    -------
    BinPlaces
        Not ``ok`` where more than a tenth of the bins lie elsewhere; the message says by which
        change they would lie where they should, if any simple one does it.

    Raises
    ------
    InputError
        If there are not as many bins.
    """
    have, size = _centres(x, y, binnum)
    due, due_size = _centres(*orbits)
    if have.size != due.size:
        raise InputError(f"There are {have.size} bins, but the orbit library has {due.size}.")
    extent = float(np.abs(due - due.mean()).max() + np.abs(due).max())
    allowed = BESIDE * np.maximum(size, due_size) + ROUNDING * extent
    far = np.abs(have - due) > allowed
    odd = _other_counts((x, y, binnum), orbits)
    most = min(max(FEW * far.size, FEWEST), far.size - 1)
    if far.sum() <= most and odd.sum() <= most:
        message = f"{int((~far).sum())} of {far.size} bins lie where the orbit library has them."
        return BinPlaces(ok=True, message=message, elsewhere=np.flatnonzero(far))
    if far.sum() <= most:
        message = (
            f"{int(odd.sum())} of {odd.size} bins have other numbers of pixels than in the orbit "
            f"library ({_named(odd)}): give the bins that its LOSVDs were made for."
        )
        return BinPlaces(ok=False, message=message, elsewhere=np.flatnonzero(odd))
    message = (
        f"{int(far.sum())} of {far.size} bins lie elsewhere than in the orbit library "
        f"({_named(far)}). {_mend(have, due, allowed)}"
    )
    return BinPlaces(ok=False, message=message, elsewhere=np.flatnonzero(far))


def _centres(x: Float, y: Float, binnum: Int) -> tuple[NDArray[np.complex128], Float]:
    """Return centres of bins, x + iy, and their sizes (root of the area)."""
    inside = binnum >= 0
    x, y, binnum = x[inside], y[inside], binnum[inside]
    columns, rows = bin_centres(x, y, binnum)
    pixel = pixel_size(x, y) if x.size > 1 else 0.0
    return columns + 1j * rows, pixel * np.sqrt(np.bincount(binnum))


def _other_counts(
    cube: tuple[Float, Float, Int], orbits: tuple[Float, Float, Int]
) -> NDArray[np.bool_]:
    """Return which bins have other numbers of pixels, none where pixels are not alike."""
    counts, pixels = [], []
    for x, y, binnum in (cube, orbits):
        inside = binnum >= 0
        counts.append(np.bincount(binnum[inside]))
        pixels.append(pixel_size(x[inside], y[inside]) if inside.sum() > 1 else math.nan)
    if not abs(pixels[0] - pixels[1]) < SAME_PX * pixels[1]:
        return np.zeros(counts[0].size, np.bool_)
    # A pixel more or less is the border of a bin between pixels of another grid.
    low, high = np.minimum(*counts), np.maximum(*counts)
    return np.asarray(high > np.maximum(COUNT * low, low + 1))


def _mend(have: NDArray[np.complex128], due: NDArray[np.complex128], allowed: Float) -> str:
    """Return the change after which bins lie where they should."""
    middle = complex(np.median(have.real), np.median(have.imag))
    moved = have - have.mean(), due - due.mean()
    changes = []
    for mirrored in (False, True):
        from_here = moved[0].conj() if mirrored else moved[0]
        extent = float((np.abs(from_here) ** 2).sum())
        turn = complex((moved[1] * from_here.conj()).sum()) / extent if extent > 0 else 1.0 + 0.0j
        off = np.abs(turn * from_here - moved[1]) > allowed
        changes.append((float(off.mean()), mirrored, turn))
    missed, mirrored, turn = min(changes, key=lambda change: change[0])
    if missed <= FEW:
        words = _change(
            mirrored, turn, complex(due.mean() - have.mean()), float(np.median(allowed))
        )
        return (
            f"They would not after this change of them: {words}. Do it to the bins or the orbits."
        )
    nearest = cKDTree(np.column_stack((due.real, due.imag))).query(
        np.column_stack((have.real, have.imag))
    )
    if (nearest[0] <= allowed).mean() >= 1.0 - FEW and np.unique(nearest[1]).size > 0.9 * have.size:
        return (
            "They have the same places in another order: number the bins as those of the orbit "
            "library."
        )
    return (
        f"No simple change brings them together (they lie around {middle.real:.3g}, "
        f"{middle.imag:.3g}): give the bins that its LOSVDs were made for."
    )


def _change(mirrored: bool, turn: complex, shift: complex, tolerance: float) -> str:
    angle = math.degrees(math.atan2(turn.imag, turn.real))
    angle = 180.0 if angle < DEGREES - 180.0 else angle  # the same turn
    words = []
    if mirrored and abs(angle) < DEGREES:
        words.append("y mirrored")
    elif mirrored and abs(angle) > 180.0 - DEGREES:
        words.append("x mirrored")
    elif mirrored and abs(angle - 90.0) < DEGREES:
        words.append("x and y swapped")
    elif mirrored:
        words.append(f"y mirrored, then turned by {angle:.0f} degrees counterclockwise")
    elif abs(angle) >= DEGREES:
        words.append(f"turned by {angle:.0f} degrees counterclockwise")
    if abs(abs(turn) - 1.0) > 0.05:
        words.append(f"positions multiplied by {abs(turn):.4g}")
    if not words or abs(shift) > tolerance:
        words.append(f"moved by {shift.real:+.3g}, {shift.imag:+.3g} (columns, rows)")
    return ", ".join(words)


def _named(which: NDArray[np.bool_]) -> str:
    numbers = np.flatnonzero(which)
    told = ", ".join(map(str, numbers[:5]))
    return f"bins {told}{' ...' if numbers.size > 5 else ''}"
