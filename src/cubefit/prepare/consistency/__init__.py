"""Do cube, orbits and templates belong together? Checks that answer in words and numbers."""

from cubefit.prepare.consistency.light import LightAgreement, light_agreement
from cubefit.prepare.consistency.plain import (
    FluxUnit,
    ResolutionOrder,
    TemplateRange,
    flux_unit,
    resolution_order,
    template_range,
)
from cubefit.prepare.consistency.velocity import VelocitySign, velocity_sign

__all__ = [
    "FluxUnit",
    "LightAgreement",
    "ResolutionOrder",
    "TemplateRange",
    "VelocitySign",
    "flux_unit",
    "light_agreement",
    "resolution_order",
    "template_range",
    "velocity_sign",
]
