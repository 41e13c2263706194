"""Templates of a fit: an SSP library at the data's resolution, on a fine ln(wavelength) grid."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cubefit.config import require_choice, require_whole
from cubefit.errors import ConfigError, GridError, InputError
from cubefit.prepare.air import in_medium
from cubefit.prepare.log_rebin import log_rebin_linear
from cubefit.prepare.resolution import LineSpread, before_pixels, matching_sigma_px, smoothed
from cubefit.prepare.ssp_library import GUARD_PX, SSPLibrary
from cubefit.spectra.grids import edges_of, ln_shift, require_ln_wave, step_of

Float = NDArray[np.float64]
TemplateNormalization: TypeAlias = Literal["light", "mass"]

SAFETY_PX: Final = 66
"""Template pixels beyond the LOSVDs' support: two more than a file warns about."""

UNEVEN: Final = 1e-2
"""Relative change of width from pixel to pixel from which on smoothing needs an even grid first."""

DARK_BELOW_ANGSTROM: Final = 3000.0
"""Cool stars may send no light at all below; from here on a zero says that stars are missing, as of
the youngest populations of E-MILES beyond 8950 Angstrom."""

DARK_SHARE: Final = 1e-6
"""Share of a template's median flux density that counts as zero."""

REACH: Final = 8.0
"""Standard deviations of the smoothing beyond which a Gaussian (1e-14) is felt no more."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TemplateGrid:
    """Templates as a fit takes them, and how they came about."""

    templates: Float
    """Flux density per Angstrom over `divisor`, shape (T, nZ, nAge, nAlpha)."""
    ln_wave: Float
    """Pixel centres in ln(wavelength / Angstrom), shape (T,), uniform."""
    metals: Float
    """[M/H] in dex, shape (nZ,)."""
    ages: Float
    """Ages in Gyr, shape (nAge,)."""
    alphas: Float
    """[alpha/Fe] in dex, shape (nAlpha,)."""
    light: Float
    """Mean flux density of each original template over `norm_range`, shape (nZ, nAge, nAlpha)."""
    divisor: Float
    """What each original template was divided by, same shape: `light`, or one number."""
    masses: Float
    """Mass behind one unit of each template as divided, same shape; see `mass_kind`."""
    mass_kind: Literal["stars and remnants", "formed"]
    """Mass the library states, or, where it states none, one unit per original template."""
    normalization: TemplateNormalization
    """Whether a weight of one is light or mass."""
    norm_range: tuple[float, float]
    """Wavelengths of the normalisation in Angstrom."""
    medium: str
    """Medium of the wavelengths, "air" or "vacuum"."""
    resolution: str
    """What was done about the spectral resolution, in words."""
    is_matched: bool
    """Whether templates were smoothed to the resolution of the data."""
    coarser: tuple[float, float] | None
    """Rest-frame Angstrom between which templates stayed a little coarser than the data."""
    source: str
    """Where the spectra come from."""

    @property
    def mass_to_light(self) -> Float:
        """Mass (see `mass_kind`) over mean flux density in `norm_range`, (nZ, nAge, nAlpha)."""
        return np.asarray(self.masses * self.divisor / self.light)

    def rows(self) -> list[tuple[str, str]]:
        """Return what was done, in words."""
        low, high = self.norm_range
        unit = "mean of each" if self.normalization == "light" else "median of all"
        told = [
            ("library", self.source),
            ("wavelengths", self.medium),
            ("resolution", self.resolution),
            ("weights", f"{self.normalization} ({unit} is 1 in {low:.0f}-{high:.0f} A)"),
            ("masses", self.mass_kind),
        ]
        if self.coarser is not None:
            ends = f"{self.coarser[0]:.0f}-{self.coarser[1]:.0f} A"
            told.append(("templates coarser than the data", ends))
        return told


def template_ln_grid(
    obs_ln_wave: Float,
    *,
    oversampling: int = 2,
    guard_px: int | None = None,
    guard_kms: tuple[float, float] | None = None,
) -> Float:
    """Return a template grid that is finer than the data's and wider.

    Parameters
    ----------
    obs_ln_wave : ndarray, shape (L,)
        Observed pixel centres in ln(wavelength / Angstrom), uniform.
    oversampling : int
        Template pixels in an observed one.
    guard_px : int, optional
        Template pixels between the first (last) centre of the data and that of the templates.
    guard_kms : tuple of float, optional
        Instead: lowest and highest velocity of the LOSVDs in km/s; `SAFETY_PX` are added.

    Returns
    -------
    ndarray, shape (T,)
        Every ``oversampling``-th pixel centre is one of the data's.

    Raises
    ------
    ConfigError
        Unless one of ``guard_px`` and ``guard_kms`` is given, and possible.
    GridError
        If the observed grid is not uniform in ln(Angstrom).
    """
    observed = require_ln_wave(obs_ln_wave, "obs_ln_wave")
    require_whole("oversampling", oversampling, 1)
    dln = step_of(observed) / oversampling
    if (guard_px is None) == (guard_kms is None):
        raise ConfigError("Give one of guard_px and guard_kms, not both and not none.")
    if guard_kms is not None:
        low, high = (float(shift) for shift in ln_shift(guard_kms))
        if not low <= high:
            raise ConfigError(f"guard_kms={guard_kms}: give the lowest velocity first, in km/s.")
        # From the outer edges of the data on, half an observed pixel beyond the centres.
        blue, red = (
            math.ceil(max(shift, 0.0) / dln + 0.5 * oversampling) + SAFETY_PX
            for shift in (high, -low)
        )
    else:
        require_whole("guard_px", guard_px, 0)
        blue = red = int(guard_px or 0)
    size = (observed.size - 1) * oversampling + 1 + blue + red
    return np.asarray(observed[0] - blue * dln + dln * np.arange(size))


def needed_wave_range(
    ln_wave: Float, *, medium: str, library_medium: str, widest_fwhm: float = 0.0
) -> tuple[float, float]:
    """Return the wavelengths that a library must cover for a template grid.

    Parameters
    ----------
    ln_wave : ndarray, shape (T,)
        Template pixel centres in ln(wavelength / Angstrom).
    medium, library_medium : {"air", "vacuum"}
        Of the grid and the data, and of the library.
    widest_fwhm : float
        Resolution (Angstrom) that templates may be smoothed to.

    Returns
    -------
    tuple of float
        Lowest and highest wavelength in Angstrom, in the library's medium.
    """
    ends = np.exp(edges_of(ln_wave)[[0, -1]])
    low, high = (float(end) for end in in_medium(ends, medium, library_medium))
    reach = 0.5 * REACH * widest_fwhm
    return low - reach, high + reach


def prepared_templates(
    library: SSPLibrary,
    ln_wave: Float,
    *,
    medium: str,
    line_spread: LineSpread | None = None,
    data_range: tuple[float, float] | None = None,
    normalization: TemplateNormalization = "light",
    norm_range: tuple[float, float] | None = None,
) -> TemplateGrid:
    """Return the templates of a fit from a library.

    Wavelengths are converted to the data's medium, spectra smoothed to the instrument's
    resolution, averaged over the pixels of the grid (which conserves flux), and normalised.

    Parameters
    ----------
    library : SSPLibrary
        At least the wavelengths of the grid, see `needed_wave_range`.
    ln_wave : ndarray, shape (T,)
        Template pixel centres in ln(wavelength / Angstrom), uniform, see `template_ln_grid`.
    medium : {"air", "vacuum"}
        Of the data, and of the grid.
    line_spread : LineSpread, optional
        Of the data, in the rest frame (``at_redshift(z)``) and before their pixels
        (``without_pixel(width)``). None leaves the templates' own.
    data_range : tuple of float, optional
        Rest-frame wavelengths (Angstrom) of the data; default all of the grid. In the guard
        beyond, the line spread is that at the nearer end of the data.
    normalization : {"light", "mass"}
        "light": each template is divided by its mean, and a weight is the light it gives.
        "mass": all are divided by the median of all, and a weight is mass up to one constant.
    norm_range : tuple of float, optional
        Wavelengths of the normalisation (Angstrom); default ``data_range``.

    Returns
    -------
    TemplateGrid

    Raises
    ------
    GridError
        If the library does not cover the grid, or a range is not inside it.
    InputError
        If the library's resolution is not known or coarser than the data's, or a template is zero
        somewhere in the grid (from 3000 Angstrom on), or in all of ``norm_range``.
    ConfigError
        If the medium or the normalization is unknown.
    """
    require_choice("normalization", normalization, TemplateNormalization)
    ln_edges = edges_of(require_ln_wave(ln_wave, "ln_wave"))
    edges = np.exp(ln_edges)
    whole = (float(edges[0]), float(edges[-1]))
    data_range = _inside("data_range", data_range or whole, whole)
    norm_range = _inside("norm_range", norm_range or data_range, whole)
    flux, flux_edges, resolution, coarser = _at_resolution(
        library, ln_edges, medium, line_spread, data_range
    )
    # Where cool stars give no ultraviolet light at all, the spline ends up 1e-15 below zero.
    templates = np.maximum(log_rebin_linear(flux, flux_edges, ln_edges), 0.0)
    centres = np.exp(ln_wave)
    _require_stars(templates, centres, library)
    counts = (centres >= norm_range[0]) & (centres <= norm_range[1])
    if not counts.any():
        raise GridError(f"norm_range={norm_range} holds no pixel of the templates: widen it.")
    light = np.average(templates[counts], axis=0, weights=np.diff(edges)[counts])
    if normalization == "light":
        divisor = light
    else:
        divisor = np.full(light.shape, float(np.median(templates[counts])))
    _require_light(divisor, library, norm_range)
    return TemplateGrid(
        templates=templates / divisor,
        ln_wave=np.asarray(ln_wave, np.float64),
        metals=library.metals,
        ages=library.ages,
        alphas=library.alphas,
        light=light,
        divisor=divisor,
        masses=(np.ones(light.shape) if library.masses is None else library.masses) / divisor,
        mass_kind="formed" if library.masses is None else "stars and remnants",
        normalization=normalization,
        norm_range=norm_range,
        medium=medium,
        resolution=resolution,
        is_matched=line_spread is not None,
        coarser=coarser,
        source=library.source,
    )


def _inside(
    name: str, given: tuple[float, float], whole: tuple[float, float]
) -> tuple[float, float]:
    low, high = float(given[0]), float(given[1])
    slack = 1e-9 * high
    if not (whole[0] - slack <= low < high <= whole[1] + slack):
        raise GridError(
            f"{name}=({low:g}, {high:g}) is no range inside the templates' "
            f"{whole[0]:.1f}-{whole[1]:.1f} A: give rest-frame Angstrom, the lower first."
        )
    return low, high


def _at_resolution(
    library: SSPLibrary,
    ln_edges: Float,
    medium: str,
    line_spread: LineSpread | None,
    data_range: tuple[float, float],
) -> tuple[Float, Float, str, tuple[float, float] | None]:
    """Return flux and edges in the data's medium, and what was done about the resolution."""
    target = np.exp(ln_edges[[0, -1]])
    low, high = (float(end) for end in in_medium(target, medium, library.medium))
    widest = 0.0 if line_spread is None else float(line_spread(np.array(data_range)).max())
    part = library.trimmed((low, high), guard_px=_guard_px(library, low, widest))
    edges = in_medium(part.wave_edges, library.medium, medium)
    # Flux per Angstrom of one medium to flux per Angstrom of the other.
    flux = (part.templates.T * (np.diff(part.wave_edges) / np.diff(edges))).T
    if line_spread is None:
        return flux, edges, "as the library gives it", None
    if part.fwhm is None:
        raise InputError(
            f"{library.source} says nothing of its resolution from {low:.0f} to {high:.0f} A, "
            f"which is to become that of {line_spread.name}: read a wave_range in which it is "
            'known, give the library its fwhm, or set resolution = "as given".'
        )
    fwhm = np.broadcast_to(np.asarray(part.fwhm), part.wave.shape)
    # Its own pixels are in what the publisher measured, and not in what goes into the models.
    fwhm = before_pixels(fwhm, np.diff(edges))
    flux, edges, fwhm = _evenly_sampled(flux, edges, fwhm)
    wave = 0.5 * (edges[1:] + edges[:-1])
    want = line_spread(np.clip(wave, *data_range))
    sigma_px, coarser = matching_sigma_px(wave, fwhm, want, within=data_range)
    return smoothed(flux, sigma_px), edges, f"smoothed to that of {line_spread.name}", coarser


def _guard_px(library: SSPLibrary, low: float, widest_fwhm: float) -> int:
    """Return how many pixels beyond the grid the smoothing can reach."""
    near = int(np.clip(np.searchsorted(library.wave, low), 1, library.wave.size - 1))
    step = float(library.wave[near] - library.wave[near - 1])
    return GUARD_PX + math.ceil(0.5 * REACH * widest_fwhm / step)


def _evenly_sampled(flux: Float, edges: Float, fwhm: Float) -> tuple[Float, Float, Float]:
    """Return spectra on pixels of slowly changing width: a step in width would skew a kernel."""
    widths = np.diff(edges)
    if (np.abs(np.diff(np.log(widths))) < UNEVEN).all():
        return flux, edges, fwhm
    finest = float((widths / edges[1:]).min())
    size = math.ceil(math.log(edges[-1] / edges[0]) / finest)
    even = np.linspace(math.log(edges[0]), math.log(edges[-1]), size + 1)
    centres, wanted = 0.5 * (edges[1:] + edges[:-1]), np.exp(0.5 * (even[1:] + even[:-1]))
    return log_rebin_linear(flux, edges, even), np.exp(even), np.interp(wanted, centres, fwhm)


def _require_stars(templates: Float, centres: Float, library: SSPLibrary) -> None:
    """Refuse templates that are zero where stars shine: their publisher had none."""
    dark = (templates <= DARK_SHARE * np.median(templates, axis=0)) & (
        centres >= DARK_BELOW_ANGSTROM
    ).reshape(-1, 1, 1, 1)
    if dark.any():
        bad = centres[dark.any(axis=(1, 2, 3))]
        places = np.argwhere(dark.any(axis=0))
        raise InputError(
            f"{library.source}: {len(places)} templates are zero within {bad[0]:.1f}-{bad[-1]:.1f} "
            f"A, the first at {_population(library, places[0])}: fit a range that ends before (the "
            "guard for the LOSVDs counts), or leave those populations out."
        )


def _population(library: SSPLibrary, place: NDArray[np.intp]) -> str:
    metal, age, alpha = place
    return (
        f"[M/H]={library.metals[metal]:+.2f}, age {library.ages[age]:.4f} Gyr, "
        f"[alpha/Fe]={library.alphas[alpha]:+.2f}"
    )


def _require_light(light: Float, library: SSPLibrary, norm_range: tuple[float, float]) -> None:
    # Rounding of the spline leaves 1e-15 of the brightest where there is nothing.
    dark = np.argwhere(light <= 1e-12 * light.max())
    if dark.size:
        raise InputError(
            f"{library.source}: {len(dark)} templates send no light in {norm_range[0]:.0f}-"
            f"{norm_range[1]:.0f} A, the first at {_population(library, dark[0])}: choose another "
            "range, or leave those populations out."
        )
