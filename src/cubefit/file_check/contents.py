"""The values of the inputs: impossible ones, empty ones, and LOSVDs that the grid cuts off."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cubefit.file_check.findings import Verdict, some
from cubefit.inputs import Grids
from cubefit.inputs.arrays import (
    flat_templates,
    losvd_histograms,
    masses_per_unit,
    pixel_maps,
)
from cubefit.inverse.observed import Observed
from cubefit.spectra.grids import Coverage, edges_of, require_ln_wave, require_velocities, step_of
from cubefit.store import schema

FLAT: Final = 1e-3
"""Range of a template's values over its largest below which it is flat: no spectrum shows lines of
a tenth of a percent, and those of stars are tens of percents deep."""

CUT_OFF: Final = 1e-2
"""Light in the outermost velocity bin over that in the brightest bin from which an LOSVD counts
as cut off. It does not depend on the width of the bins: a Gaussian gets there where the grid ends
at 3.0 sigma and 0.1 % of its light is lost. The bundled orbits reach 0.0024; on grids narrowed to
400 km/s they reach 0.025 and lose up to 0.7 % of a component."""


def check_grids(grids: Grids) -> Verdict:
    """Judge the three grids by the rules that apply to new ones."""
    require_ln_wave(grids.tem_pix, schema.TEM_PIX.path)
    require_ln_wave(grids.obs_pix, schema.OBS_PIX.path)
    velocities = require_velocities(grids.vel_pix, schema.VEL_PIX.path)
    low, high = np.exp(grids.obs_pix[[0, -1]])
    return Verdict(
        "ok",
        f"Uniform: {low:.0f}-{high:.0f} A in {grids.obs_pix.size} pixels, {velocities[0]:.0f} to "
        f"{velocities[-1]:.0f} km/s in {velocities.size} bins of {step_of(velocities):.1f} km/s.",
    )


def check_losvd(losvd: NDArray[np.float32]) -> Verdict:
    """Judge the LOSVDs' values."""
    losvd_histograms(losvd, losvd.shape[1])
    dark = np.flatnonzero(~losvd.any(axis=(0, 1)))
    if dark.size == losvd.shape[2]:
        return Verdict("failed", "/LOSVD holds no light at all: populate with other histograms.")
    if dark.size:
        return Verdict(
            "warning",
            f"{dark.size} of {losvd.shape[2]} components have no light in any spaxel ({some(dark)})"
            ": their weights stay zero; drop them.",
        )
    return Verdict("ok", "Finite, none below 0, light in every component.")


def check_templates(templates: NDArray[np.float32]) -> Verdict:
    """Judge the templates by the rules that apply to new ones."""
    flat_templates(templates.T, templates.shape[1])
    return Verdict("ok", f"{len(templates)} templates, finite, none empty.")


def check_template_masses(masses: NDArray[np.float64]) -> Verdict:
    """Judge the masses of the templates by the rules that apply to new ones."""
    masses_per_unit(masses, masses.shape)
    return Verdict("ok", f"{masses.size} masses, positive and finite.")


def check_contrast(templates: NDArray[np.float32], grids: Grids) -> Verdict:
    """Judge whether every template has features where the data lie."""
    blue, *_, red = edges_of(grids.obs_pix)
    seen = (grids.tem_pix >= blue) & (grids.tem_pix <= red)
    part = templates[:, seen] if seen.any() else templates
    low, high = (part.min(axis=1).astype(np.float64), part.max(axis=1).astype(np.float64))
    contrast = high - low
    flat = np.flatnonzero(contrast <= FLAT * np.maximum(np.abs(low), np.abs(high)))
    if flat.size:
        return Verdict(
            "failed",
            f"{flat.size} of {len(templates)} templates are flat or zero where the data lie (p = "
            f"{some(flat)}): mend their source or drop them, and populate again.",
        )
    return Verdict("ok", "Every template has features where the data lie.")


def check_data(observed: Observed) -> Verdict:
    """Judge data and noise in use: `Observed.of` has refused what is impossible."""
    share = observed.n_voxels / observed.data.size
    noise = "with noise" if observed.has_noise else "without noise"
    return Verdict(
        "ok", f"Finite in all {observed.n_voxels:,} voxels in use ({share:.0%}), {noise}."
    )


def check_light(observed: Observed, losvd: NDArray[np.float32]) -> Verdict:
    """Judge whether every spaxel with data in use gets light from some component."""
    dark = np.flatnonzero(observed.used.any(axis=1) & ~losvd.any(axis=(1, 2)))
    if dark.size:
        return Verdict(
            "failed",
            f"{dark.size} of {len(losvd)} spaxels have data in use but no light in /LOSVD (s = "
            f"{some(dark)}), so no model can explain them: leave them out with voxel_mask.",
        )
    return Verdict("ok", "Every spaxel with data in use has LOSVD light.")


def check_image(
    xpix: NDArray[Any] | None,
    ypix: NDArray[Any] | None,
    binnum: NDArray[Any] | None,
    n_spaxels: int,
) -> Verdict:
    """Judge the map of image pixels to spaxels."""
    if xpix is None and ypix is None and binnum is None:
        return Verdict("skipped", "The file has no map of image pixels.")
    pixel_maps(xpix, ypix, binnum, n_spaxels)
    return Verdict("ok", "The map of image pixels fits the spaxels.")


def check_edges(coverage: Coverage) -> Verdict:
    """Judge whether every observed pixel sees only template pixels that exist."""
    if coverage.safe:
        return Verdict("ok", f"Safe: {coverage.spare_px:.1f} template pixels to spare.")
    return Verdict(
        "failed",
        f"The templates end {-coverage.spare_px:.1f} pixels inside what data and LOSVDs need: give "
        "wider templates, trim the data, or drop empty velocity bins.",
    )


def edge_over_peak(histograms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the brighter of the outermost bins over the brightest bin.

    Parameters
    ----------
    histograms : ndarray, shape (n, V)
        Light per velocity bin.

    Returns
    -------
    ndarray, shape (n,)
        Zero where there is no light.
    """
    edge = np.maximum(histograms[:, 0], histograms[:, -1])
    peak = histograms.max(axis=1)
    return np.asarray(np.divide(edge, peak, out=np.zeros(peak.shape), where=peak > 0))


def edge_share(histograms: NDArray[np.float64], which: int) -> float:
    """Return the share of its light that one histogram has in its brighter outermost bin."""
    one = histograms[which]
    return float(max(one[0], one[-1]) / one.sum())


def check_truncation(losvd: NDArray[np.float32]) -> Verdict:
    """Judge whether the velocity grid cuts LOSVDs off.

    Components are summed over spaxels and spaxels over components: a single pair (s, c) that is
    bright only at the edge is a faint tail of both.
    """
    by_component = losvd.sum(axis=0, dtype=np.float64).T
    by_spaxel = losvd.sum(axis=2, dtype=np.float64)
    cut = {
        name: (histograms, edge_over_peak(histograms))
        for name, histograms in (("component", by_component), ("spaxel", by_spaxel))
    }
    parts = []
    for name, (histograms, ratio) in cut.items():
        n, worst = int((ratio > CUT_OFF).sum()), int(ratio.argmax())
        if n:
            parts.append(
                f"{n} of {ratio.size} {name}s (worst {worst}: {ratio[worst]:.2g} of its peak and "
                f"{edge_share(histograms, worst):.1%} of its light in one bin)"
            )
    if parts:
        return Verdict(
            "warning",
            f"The velocity grid cuts off the LOSVDs of {' and '.join(parts)}: widen it, or light "
            "is missing.",
        )
    highest = max(float(ratio.max()) for _, ratio in cut.values())
    return Verdict(
        "ok", f"The outermost bins hold at most {highest:.1e} of the brightest bin's light."
    )
