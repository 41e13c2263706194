"""Whether cube, orbit library and templates of a galaxy's fit mean the same sky and velocities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cubefit.galaxy.settings import GalaxySettings
from cubefit.io.orbits import OrbitLibrary
from cubefit.prepare.binning import bin_centres
from cubefit.prepare.consistency import (
    LightAgreement,
    bin_places,
    centre_offset,
    flux_unit,
    has_amplitudes,
    light_agreement,
    stated_noise,
    velocity_sign,
)
from cubefit.prepare.consistency.line_shifts import shifted_references
from cubefit.prepare.consistency.velocity import typical_dispersion

Arrays = Mapping[str, NDArray[Any]]
Float = NDArray[np.float64]

FAR_FROM_NOISE: Final = 1.5
"""Times what noise leaves from which on a fit is called bad."""
BELOW_NOISE: Final = 0.1
"""And below which noise is called too large: three times."""
DEAD: Final = 0.2
"""Share of pixels without any good voxel from which on a bin is told."""
NAMED: Final = 8
"""Bins that are named."""


def check_inputs_of(
    orbits: OrbitLibrary,
    spectra: Arrays,
    templates: Arrays,
    settings: GalaxySettings,
    *,
    in_own_bins: OrbitLibrary,
    pixel_angstrom: float,
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
    in_own_bins : OrbitLibrary
        The same before bins were merged: sums of LOSVDs do not show any more that they were
        normalised, or in another order.
    pixel_angstrom : float
        Width of the cube's pixels, observed.
    """
    flux, mask = spectra["flux"], spectra["mask"]
    template = templates["templates"].reshape(templates["tem_pix"].size, -1).mean(axis=1)
    sky = (spectra["x"], spectra["y"], spectra["binnum"])
    checks: list[Any] = [
        flux_unit(flux, mask),
        bin_places(*sky, (orbits.x, orbits.y, orbits.binnum)),
    ]
    of_light, told = checks_of_light(in_own_bins, orbits, spectra, settings)
    checks += of_light
    checks.append(
        velocity_sign(
            orbits.losvd,
            orbits.vel,
            orbits.weights,
            flux,
            spectra["obs_pix"],
            template,
            templates["tem_pix"],
            noise=spectra.get("noise"),
            mask=mask,
        )
    )
    if "noise" in spectra:
        light = np.einsum("svc,c->sv", orbits.losvd, orbits.weights, dtype=np.float64)
        lines = shifted_references(
            template,
            templates["tem_pix"],
            spectra["obs_pix"],
            np.zeros(1),
            typical_dispersion(light, orbits.vel),
        )[0]
        ours = float(np.median(np.gradient(np.exp(spectra["obs_pix"]))))
        shared_px = pixel_angstrom / (1.0 + settings.galaxy.redshift) / ours
        checks.append(stated_noise(flux, spectra["noise"], mask, lines, shared_px=shared_px))
    told += [*dead_pixels(spectra), *bins_without_orbits(orbits, mask)]
    findings = [*told, *(c.message for c in checks if not c.ok)]
    return findings, [c.message for c in checks if c.ok]


def checks_of_light(
    in_own_bins: OrbitLibrary, orbits: OrbitLibrary, spectra: Arrays, settings: GalaxySettings
) -> tuple[list[LightAgreement], list[str]]:
    """Return checks of brightness from bin to bin, and complaints, as far as it was kept."""
    losvd, weights = in_own_bins.losvd, in_own_bins.weights
    mean = brightness(spectra, losvd.shape[0])
    told: list[str] = []
    if settings.fit.normalization == "unit":
        if not has_amplitudes(mean):
            return [], []
        told.append(
            f"fit.normalization = 'unit' is for spectra that are each normalised, but their flux "
            f"differs from bin to bin, from {np.nanmin(mean):.3g} to {np.nanmax(mean):.3g}: take "
            "'losvd', or normalise them."
        )
        if not has_amplitudes(light_of(in_own_bins)):
            return [], told
    if "own_binnum" in spectra:
        sky = (in_own_bins.x, in_own_bins.y, in_own_bins.binnum)
    else:
        sky = (spectra["x"], spectra["y"], spectra["binnum"])
    x, y = bin_centres(*sky)
    n_pixels = np.bincount(sky[2][sky[2] >= 0])
    agreement = light_agreement(losvd, weights, mean, x=x, y=y, n_pixels=n_pixels)
    return [agreement], [*told, *other_centre(light_of(orbits), spectra, settings.cube.centre)]


def light_of(orbits: OrbitLibrary) -> Float:
    """Return the light of the orbits in each bin, shape (S,)."""
    return np.asarray(np.einsum("svc,c->s", orbits.losvd, orbits.weights, dtype=np.float64))


def brightness(spectra: Arrays, n_bins: int) -> Float:
    """Return how bright the bins of the orbit library are in the cube, shape (S,).

    Their mean flux over voxels in use; where they were merged, what their pixels have in white
    light. NaN where nothing is in use.
    """
    found = np.full(n_bins, np.nan)
    if "own_binnum" not in spectra:
        counts = spectra["mask"].sum(axis=1)
        sums = np.where(spectra["mask"], spectra["flux"], 0.0).sum(axis=1)
        return np.asarray(np.divide(sums, counts, out=found, where=counts > 0))
    bins, light = spectra["own_binnum"], spectra["light"]
    known = np.isfinite(light)
    n_known = np.bincount(bins[known], minlength=n_bins)
    # Dead pixels are taken to be as bright as the others of their bin.
    scale = np.bincount(bins, minlength=n_bins) / np.maximum(n_known, 1)
    total = np.bincount(bins[known], light[known], minlength=n_bins) * scale
    return np.asarray(np.where(n_known > 0, total, np.nan))


def dead_pixels(spectra: Arrays) -> list[str]:
    """Return a complaint of bins in use that have many pixels dead at all wavelengths."""
    bins, used = spectra["binnum"], spectra["mask"].any(axis=1)
    n_pixels = np.bincount(bins, minlength=used.size)
    n_dead = np.bincount(bins[~np.isfinite(spectra["light"])], minlength=used.size)
    share = n_dead / np.maximum(n_pixels, 1)
    found = np.flatnonzero(used & (share > DEAD))
    if not found.size:
        return []
    worst = found[np.argsort(-share[found], kind="stable")][:NAMED]
    named = ", ".join(f"{n} ({100 * share[n]:.0f} %)" for n in worst)
    more = ", ..." if found.size > NAMED else ""
    message = (
        f"{found.size} of {used.size} bins have more than {100 * DEAD:.0f} % of their pixels dead "
        f"or masked at all wavelengths: bin {named}{more}. They count as average ones of their "
        "bin, which biases its flux: raise cube.min_share to leave such bins out."
    )
    return [message]


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


def other_centre(of_bin: Float, spectra: Arrays, centre: tuple[float, float]) -> list[str]:
    """Return a complaint where the galaxy of the cube lies beside that of the orbits.

    Parameters
    ----------
    of_bin : ndarray, shape (S,)
        Light of the orbits in each bin.
    spectra : mapping
        Positions, bins and white light of the pixels.
    centre : tuple of float
        As the settings have it, arcsec.
    """
    found = centre_offset(of_bin, spectra["light"], spectra["x"], spectra["y"], spectra["binnum"])
    if found.ok:
        return []
    message = (
        f"The brightest part of the cube lies {found.x:+.2f}, {found.y:+.2f} arcsec (columns, "
        f"rows) from that of the orbits: set cube.centre = [{centre[0] + found.x:.2f}, "
        f"{centre[1] + found.y:.2f}] if they should fall together."
    )
    return [message]


def misfit_findings(chi2_per_voxel: float, noise_chi2: float) -> list[str]:
    """Return a complaint of a fit that is far from its noise, in words."""
    if 0 < chi2_per_voxel < BELOW_NOISE * noise_chi2:
        factor = np.sqrt(noise_chi2 / chi2_per_voxel)
        message = (
            f"chi2 per voxel is {chi2_per_voxel:.4g} where noise alone leaves {noise_chi2:.4g}: "
            f"the stated noise is about {factor:.3g} times too large. Give one sigma in the unit "
            "of the flux; regularization and orbit weights weigh too much otherwise."
        )
        return [message]
    if not chi2_per_voxel > FAR_FROM_NOISE * noise_chi2:
        return []
    message = (
        f"chi2 per voxel is {chi2_per_voxel:.4g} where noise alone leaves {noise_chi2:.4g}: the "
        "model does not describe the data. Look at the residuals; try ssp.normalization as the "
        "orbit weights have it, fit.orbit_weights = false, a smaller fit.regularization, masks, "
        "and check the findings above."
    )
    return [message]
