"""Foreign formats to plain arrays and back; the only code that imports astropy."""

from __future__ import annotations

from cubefit.io.agama import orbits_from_agama
from cubefit.io.bins import BinMap, read_bins
from cubefit.io.cubes import IFUCube, read_cube
from cubefit.io.line_spread import read_line_spread
from cubefit.io.orbits import OrbitLibrary, bundled_orbits, read_orbits, read_orbits_npz
from cubefit.io.spatial_mask import read_spatial_mask
from cubefit.io.ssp import SSPLibrary, bundled_miles_folder, read_ssp

__all__ = [
    "BinMap",
    "IFUCube",
    "OrbitLibrary",
    "SSPLibrary",
    "bundled_miles_folder",
    "bundled_orbits",
    "orbits_from_agama",
    "read_bins",
    "read_cube",
    "read_line_spread",
    "read_orbits",
    "read_orbits_npz",
    "read_spatial_mask",
    "read_ssp",
]
