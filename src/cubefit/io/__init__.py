"""Foreign formats to plain arrays and back; the only code that imports astropy."""

from __future__ import annotations

from cubefit.io.orbits import OrbitLibrary, bundled_orbits, read_orbits_npz
from cubefit.io.ssp import (
    SSPLibrary,
    bundled_miles_folder,
    log_rebin_linear,
    read_miles_folder,
    vacuum_to_air,
)

__all__ = [
    "OrbitLibrary",
    "SSPLibrary",
    "bundled_miles_folder",
    "bundled_orbits",
    "log_rebin_linear",
    "read_miles_folder",
    "read_orbits_npz",
    "vacuum_to_air",
]
