"""Whether cube, orbit library and templates of a galaxy's fit mean the same sky and velocities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cubefit.galaxy.settings import GalaxySettings
from cubefit.io.orbits import OrbitLibrary
from cubefit.prepare.bin_matching import pixel_size
from cubefit.prepare.binning import bin_centres
from cubefit.prepare.consistency import flux_unit, light_agreement, velocity_sign

Arrays = Mapping[str, NDArray[Any]]
Float = NDArray[np.float64]

TOP: Final = 0.3
"""Part of the highest brightness from which on pixels tell the centre."""
BESIDE_PX: Final = 0.7
"""Pixels by which two centres may differ without a word."""
FAR_FROM_NOISE: Final = 1.5
"""Times what noise leaves from which on a fit is called bad."""


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
    misplaced: list[str] = []
    if settings.fit.normalization == "losvd":
        x, y = bin_centres(spectra["x"], spectra["y"], spectra["binnum"])
        counts = mask.sum(axis=1)
        sums = np.where(mask, flux, 0.0).sum(axis=1)
        mean = np.divide(sums, counts, out=np.full(counts.shape, np.nan), where=counts > 0)
        checks.append(light_agreement(orbits.losvd, orbits.weights, mean, x=x, y=y))
        misplaced = other_centre(orbits, spectra, settings.cube.centre)
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
    told = [*misplaced, *bins_without_orbits(orbits, mask)]
    findings = [*told, *(c.message for c in checks if not c.ok)]
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


def other_centre(orbits: OrbitLibrary, spectra: Arrays, centre: tuple[float, float]) -> list[str]:
    """Return a complaint where the galaxy of the cube lies beside that of the orbits.

    Parameters
    ----------
    orbits : OrbitLibrary
        In the bins of the spectra.
    spectra : mapping
        Positions, bins and white light of the pixels.
    centre : tuple of float
        As the settings have it, arcsec.
    """
    x, y, bins = spectra["x"], spectra["y"], spectra["binnum"]
    of_bin = np.einsum("svc,c->s", orbits.losvd, orbits.weights, dtype=np.float64)
    model = (of_bin / np.bincount(bins, minlength=of_bin.size))[bins]
    off = brightest_place(spectra["light"], x, y) - brightest_place(model, x, y)
    if not np.hypot(*off) > BESIDE_PX * pixel_size(x, y):
        return []
    message = (
        f"The brightest part of the cube lies {off[0]:+.2f}, {off[1]:+.2f} arcsec (columns, rows) "
        f"from that of the orbits: set cube.centre = [{centre[0] + off[0]:.2f}, "
        f"{centre[1] + off[1]:.2f}] if they should fall together."
    )
    return [message]


def brightest_place(light: Float, x: Float, y: Float) -> Float:
    """Return the mean position, shape (2,), of the brightest pixels."""
    known = np.where(np.isfinite(light), light, 0.0)
    bright = np.where(known >= TOP * known.max(), known, 0.0)
    total = bright.sum()
    return np.array([bright @ x, bright @ y]) / (total if total > 0 else np.nan)


def misfit_findings(chi2_per_voxel: float, noise_chi2: float) -> list[str]:
    """Return a complaint of a fit that is far from its noise, in words."""
    if not chi2_per_voxel > FAR_FROM_NOISE * noise_chi2:
        return []
    message = (
        f"chi2 per voxel is {chi2_per_voxel:.4g} where noise alone leaves {noise_chi2:.4g}: the "
        "model does not describe the data. Look at the residuals; try ssp.normalization as the "
        "orbit weights have it, fit.orbit_weights = false, a smaller fit.regularization, masks, "
        "and check the findings above."
    )
    return [message]
