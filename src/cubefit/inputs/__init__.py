"""The inputs of a fit as arrays: all that a user brings, checked before anything is written."""

from cubefit.inputs.arrays import (
    CubeOrder,
    checked_solution,
    masses_per_unit,
    numeric,
    real_number,
)
from cubefit.inputs.cube import CubeInputs, Grids, check_inputs

__all__ = [
    "CubeInputs",
    "CubeOrder",
    "Grids",
    "check_inputs",
    "checked_solution",
    "masses_per_unit",
    "numeric",
    "real_number",
]
