"""Whether cube, orbit library and templates of a galaxy's fit mean the same sky and velocities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubefit.galaxy.settings import GalaxySettings
from cubefit.io.orbits import OrbitLibrary
from cubefit.prepare.binning import bin_centres
from cubefit.prepare.consistency import flux_unit, light_agreement, velocity_sign

Arrays = Mapping[str, NDArray[Any]]


def check_inputs_of(
    orbits: OrbitLibrary, spectra: Arrays, templates: Arrays, settings: GalaxySettings
) -> tuple[list[str], list[str]]:
    """Return what the checks complain of, and what they found in order, in words.

    Parameters
    ----------
    orbits : OrbitLibrary
        In the bins of the spectra.
    spectra, templates : mapping
        Arrays as the steps made them.
    settings : GalaxySettings
        Say which checks mean anything.
    """
    flux, mask = spectra["flux"], spectra["mask"]
    checks: list[Any] = [flux_unit(flux, mask)]
    if settings.fit.normalization == "losvd":
        x, y = bin_centres(spectra["x"], spectra["y"], spectra["binnum"])
        counts = mask.sum(axis=1)
        sums = np.where(mask, flux, 0.0).sum(axis=1)
        mean = np.divide(sums, counts, out=np.full(counts.shape, np.nan), where=counts > 0)
        checks.append(light_agreement(orbits.losvd, orbits.weights, mean, x=x, y=y))
    checks.append(
        velocity_sign(
            orbits.losvd,
            orbits.vel,
            orbits.weights,
            flux,
            spectra["obs_pix"],
            templates["templates"].reshape(templates["tem_pix"].size, -1).mean(axis=1),
            templates["tem_pix"],
            noise=spectra.get("noise"),
            mask=mask,
        )
    )
    findings = [*bins_without_orbits(orbits, mask), *(c.message for c in checks if not c.ok)]
    return findings, [c.message for c in checks if c.ok]


def bins_without_orbits(orbits: OrbitLibrary, mask: NDArray[np.bool_]) -> list[str]:
    """Return a complaint of spatial bins with spectra in use that no orbit has light in."""
    dark = np.flatnonzero(mask.any(axis=1) & ~(orbits.losvd > 0).any(axis=(1, 2)))
    if not dark.size:
        return []
    message = (
        f"{dark.size} of {len(mask)} bins have spectra, but no orbit has light in them (the first "
        f"is bin {dark[0]}), so that their model is zero: cut them off by cube.radius, or give the "
        "orbits their LOSVDs there."
    )
    return [message]
