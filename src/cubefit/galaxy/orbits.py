"""The orbit library of a galaxy's fit: read, bundled, on its velocity grid."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubefit.errors import InputError
from cubefit.galaxy.settings import OrbitsTable
from cubefit.io.numbers import read_numbers
from cubefit.io.orbits import OrbitLibrary, orbit_format, read_orbits
from cubefit.prepare.bundles import BundleBins, Bundling
from cubefit.prepare.losvd_grid import velocities_of_step


def orbit_library(table: OrbitsTable) -> OrbitLibrary:
    """Return the orbit library as the settings want it."""
    path, options = Path(table.path), dict(table.options)
    bundling = bundling_of(table)
    # Bundled as it is read: whole, it may not fit into memory.
    found = orbit_format(path) if table.format == "auto" else table.format
    streams = found != "npz"
    if bundling is not None and streams:
        options["bundle"] = bundling
    library = read_orbits(path, table.format, **options)
    if bundling is not None and not streams:
        library = library.in_bundles(bundling)
    if table.velocity_step is not None:
        library = library.on_velocities(velocities_of_step(library.vel, table.velocity_step))
    return library


def bundling_of(table: OrbitsTable) -> Bundling | None:
    """Return how orbits are bundled: by a mapping, by bins, or not."""
    if table.mapping is not None:
        numbers = read_numbers(Path(table.mapping))
        if (numbers != np.rint(numbers)).any():
            raise InputError(f"{table.mapping} holds fractions: give the component of each orbit.")
        return numbers.astype(np.int64)
    if table.radius is None or table.circularity is None:
        return None
    return BundleBins(
        radius=table.radius,
        circularity=table.circularity,
        radius_name=table.radius_name,
        circularity_name=table.circularity_name,
    )


def as_arrays(library: OrbitLibrary) -> Mapping[str, NDArray[Any]]:
    """Return a library as the arrays of an npz file that `read_orbits` reads."""
    return {
        "losvd": library.losvd,
        "vel": library.vel,
        "w": library.weights,
        "binnum": library.binnum,
        "xpix": library.x,
        "ypix": library.y,
        **{f"orb_{name}": values for name, values in library.properties.items()},
    }
