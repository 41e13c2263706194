"""Do cube, orbits and templates belong together? Checks that answer in words and numbers."""

from cubefit.prepare.consistency.centre import CentreOffset, centre_offset
from cubefit.prepare.consistency.fluxes import FluxUnit, flux_unit
from cubefit.prepare.consistency.light import LightAgreement, has_amplitudes, light_agreement
from cubefit.prepare.consistency.noise import StatedNoise, stated_noise
from cubefit.prepare.consistency.places import BinPlaces, bin_places
from cubefit.prepare.consistency.velocity import VelocitySign, velocity_sign

__all__ = [
    "BinPlaces",
    "CentreOffset",
    "FluxUnit",
    "LightAgreement",
    "StatedNoise",
    "VelocitySign",
    "bin_places",
    "centre_offset",
    "flux_unit",
    "has_amplitudes",
    "light_agreement",
    "stated_noise",
    "velocity_sign",
]
