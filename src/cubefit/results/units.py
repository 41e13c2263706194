"""Units on the axes of pictures."""

from __future__ import annotations

from typing import Final

from cubefit.observation import Observation

UNKNOWN_FLUX: Final = "data unit"
UNKNOWN_PLACE: Final = "as given"
LONGEST: Final = 40
"""Characters that an axis has room for."""


def flux_unit_of(observation: Observation) -> str:
    """Return the unit of the fluxes as people write it."""
    if not observation.flux_unit.strip():
        return UNKNOWN_FLUX
    from cubefit.io.units import readable_unit  # noqa: PLC0415 - takes half a second

    found = readable_unit(observation.flux_unit)
    return found if 0 < len(found) <= LONGEST else UNKNOWN_FLUX


def pixel_unit_of(observation: Observation) -> str:
    """Return the unit of the coordinates of the pixels."""
    return observation.pixel_unit or UNKNOWN_PLACE
