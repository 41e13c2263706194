"""Do cube, orbits and templates belong together? Checks that answer in words and numbers."""

from cubefit.prepare.consistency.fluxes import FluxUnit, flux_unit
from cubefit.prepare.consistency.light import LightAgreement, light_agreement
from cubefit.prepare.consistency.velocity import VelocitySign, velocity_sign

__all__ = [
    "FluxUnit",
    "LightAgreement",
    "VelocitySign",
    "flux_unit",
    "light_agreement",
    "velocity_sign",
]
