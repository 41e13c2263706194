"""The histograms of DYNAMITE's orbits, one orbit after another."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from cubefit.errors import InputError
from cubefit.io.dynamite.records import RecordStream, open_records

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_LIBRARY_HEADER: Final = struct.Struct("<5i")
_HISTOGRAM_HEADER: Final = struct.Struct("<iid")
_GRID_RECORDS: Final = 4
"""Sizes and edges of the spatial grid, after the first record."""
_ORBIT_RECORDS: Final = 3
"""Numbers, types and moments of each orbit, which stand before its histograms in the one file of
older versions."""


@dataclass(frozen=True, slots=True)
class OrbitFiles:
    """Where the orbits of one kind (tubes or boxes) are, and how many."""

    histograms: Path
    """File of the histograms."""
    n_orbits: int
    """Number of orbits in it."""
    n_dithers: int
    """Orbits with close starting points that make up one, per dimension."""
    interlaced: bool
    """Whether it is the one file of older versions, with the moments in it."""


@dataclass(frozen=True, slots=True)
class HistogramHeader:
    """First record of the histograms: for all sets together, and for the first alone."""

    n_apertures: int
    """Apertures of all kinematic sets."""
    half: int
    """Bins on either side of the central one, in the first set."""
    step_kms: float
    """Width of a bin, in the first set."""


def find_orbits(folder: Path, root: str) -> OrbitFiles:
    """Return the orbit files of one kind.

    Parameters
    ----------
    folder : Path
        The model's ``datfil``.
    root : {"orblib", "orblibbox"}
        Tubes or boxes.

    Raises
    ------
    InputError
        If they are missing or damaged.
    """
    grid = folder / f"{root}_qgrid.dat.bz2"
    one_file = folder / f"{root}.dat.bz2"
    interlaced = not grid.is_file() and one_file.is_file()
    path = one_file if interlaced else grid
    with open_records(path) as records:
        first = records.record()
    if len(first) != _LIBRARY_HEADER.size:
        raise InputError(
            f"{path} begins with a record of {len(first)} bytes where five integers are due: it is "
            "no orbit library of DYNAMITE."
        )
    n_orbits, _, _, _, n_dithers = _LIBRARY_HEADER.unpack(first)
    if n_orbits < 1 or n_dithers < 1:
        raise InputError(
            f"{path} says {n_orbits} orbits of {n_dithers} dithers: make the library again."
        )
    return OrbitFiles(
        one_file if interlaced else folder / f"{root}_losvd_hist.dat.bz2",
        n_orbits,
        n_dithers,
        interlaced,
    )


def read_header(files: OrbitFiles) -> HistogramHeader:
    """Return the first record of the histograms.

    Raises
    ------
    InputError
        If the file is missing or damaged.
    """
    with open_records(files.histograms) as records:
        return _header(records, files)


def _header(records: RecordStream, files: OrbitFiles) -> HistogramHeader:
    for _ in range(1 + _GRID_RECORDS if files.interlaced else 0):
        records.record()
    content = records.record()
    if len(content) != _HISTOGRAM_HEADER.size:
        raise InputError(
            f"{files.histograms} begins with a record of {len(content)} bytes where two integers "
            "and a number are due: it holds no histograms of DYNAMITE."
        )
    return HistogramHeader(*_HISTOGRAM_HEADER.unpack(content))


def orbit_histograms(
    files: OrbitFiles, sizes: Sequence[tuple[int, int]], chosen: int
) -> Iterator[NDArray[np.float64]]:
    """Yield the histograms of each orbit in one kinematic set.

    Parameters
    ----------
    files : OrbitFiles
        See `find_orbits`.
    sizes : sequence of (int, int)
        Apertures and velocity bins of each kinematic set.
    chosen : int
        The set wanted.

    Yields
    ------
    ndarray, shape (S, V)
        Light per velocity bin, as a share of the orbit's.

    Raises
    ------
    InputError
        If the file is damaged, or does not fit the sets.
    """
    with open_records(files.histograms) as records:
        _header(records, files)
        for orbit in range(files.n_orbits):
            for _ in range(_ORBIT_RECORDS if files.interlaced else 0):
                records.record()
            histograms = np.zeros(sizes[chosen])
            for number, (n_apertures, n_bins) in enumerate(sizes):
                wanted = histograms if number == chosen else None
                _read_set(records, files.histograms, n_apertures, n_bins, wanted)
            if not (np.isfinite(histograms).all() and histograms.min() >= 0):
                raise InputError(
                    f"{files.histograms}: orbit {orbit} has negative, NaN or infinite values: "
                    "make the library again."
                )
            yield histograms
        if not records.at_end():
            raise InputError(
                f"{files.histograms} goes on after its {files.n_orbits} orbits: it was made with "
                "other kinematic sets or apertures; give the configuration that belongs to it."
            )


def _read_set(
    records: RecordStream,
    path: Path,
    n_apertures: int,
    n_bins: int,
    wanted: NDArray[np.float64] | None,
) -> None:
    """Read one orbit in one set, into ``wanted`` if that is an array."""
    half = n_bins // 2
    for aperture in range(n_apertures):
        low, high = records.pair()
        if low > high:  # no light in this aperture: there is no second record
            continue
        if low < -half or high > half:
            raise InputError(
                f"{path}: aperture {aperture} has light in the velocity bins {low} to {high}, "
                f"beyond the {n_bins} bins of its kinematic set: hist_bins is wrong, or the sets "
                "stand in another order; give the configuration that belongs to the library."
            )
        values = records.doubles(high - low + 1)
        if wanted is not None:
            wanted[aperture, low + half : high + half + 1] = values
