"""Single stellar populations (SSPs): MILES and E-MILES FITS files to plain arrays."""

from __future__ import annotations

import importlib.util
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.interpolate import make_interp_spline

from cubefit.errors import ConfigError, DependencyError, GridError, InputError
from cubefit.io.miles_files import MilesFile, miles_grid, read_window
from cubefit.spectra.grids import edges_of, require_ln_wave

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

MILES_FWHM_ANGSTROM: Final = 2.51
"""Resolution of the MILES stars (Falcon-Barroso et al. 2011, A&A 532, A95)."""

MILES_STARS_ANGSTROM: Final = (3541.4, 8950.4)
"""Where E-MILES has that resolution (Vazdekis et al. 2016, MNRAS 463, 3409, section 2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SSPLibrary:
    """A complete grid of SSP spectra on one uniform ln(wavelength) grid.

    Raises
    ------
    InputError
        If the arrays disagree in shape, an axis does not increase, or ``medium`` is unknown.
    GridError
        If ``ln_wave`` is not uniform in ln(Angstrom).
    """

    templates: NDArray[np.float64]
    """Flux density per Angstrom, shape (T, nZ, nAge, nAlpha), average over each pixel."""
    ln_wave: NDArray[np.float64]
    """Pixel centres in ln(wavelength / Angstrom), shape (T,)."""
    metals: NDArray[np.float64]
    """[M/H] in dex, shape (nZ,), increasing."""
    ages: NDArray[np.float64]
    """Ages in Gyr, shape (nAge,), increasing."""
    alphas: NDArray[np.float64]
    """[alpha/Fe] in dex, shape (nAlpha,), increasing."""
    medium: str
    """Medium of the wavelengths, "air" or "vacuum"."""
    fwhm_angstrom: float | None
    """Spectral resolution (FWHM) where one number holds for the whole range, else None."""
    source: str
    """Where the spectra come from, for people."""

    def __post_init__(self) -> None:
        """Refuse arrays that do not fit together."""
        require_ln_wave(self.ln_wave, "SSPLibrary.ln_wave")
        for name in ("metals", "ages", "alphas"):
            axis = getattr(self, name)
            if axis.ndim != 1 or not axis.size or not (np.diff(axis) > 0).all():
                raise InputError(
                    f"SSPLibrary.{name} must be a strictly increasing vector: sort it."
                )
        axes = (self.ln_wave, self.metals, self.ages, self.alphas)
        due = tuple(axis.size for axis in axes)
        if self.templates.shape != due:
            raise InputError(
                f"SSPLibrary.templates has shape {self.templates.shape}, but ln_wave, metals, ages "
                f"and alphas ask for {due}: order the axes (T, nZ, nAge, nAlpha)."
            )
        _require_medium(self.medium)


def vacuum_to_air(wave: ArrayLike) -> NDArray[np.float64]:
    """Return the wavelength in standard air of a wavelength in vacuum.

    The refractive index is that of Birch & Downs (1994, Metrologia 31, 315), as in VALD.

    Parameters
    ----------
    wave : array_like
        Vacuum wavelength in Angstrom, at least 2000.

    Returns
    -------
    ndarray
        Air wavelength in Angstrom, same shape.

    Raises
    ------
    InputError
        Below 2000 Angstrom, where the formula does not hold.
    """
    vacuum = np.asarray(wave, np.float64)
    if not (vacuum >= 2000.0).all():
        raise InputError("Air wavelengths are defined from 2000 Angstrom on: start redder.")
    wavenumber2 = (1e4 / vacuum) ** 2
    index = (
        1.0 + 8.34254e-5 + 2.406147e-2 / (130.0 - wavenumber2) + 1.5998e-4 / (38.9 - wavenumber2)
    )
    return np.asarray(vacuum / index)


def log_rebin_linear(
    flux: NDArray[np.floating],
    wave_edges: NDArray[np.float64],
    ln_edges: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Average spectra over pixels that are even in ln(wavelength); conserves flux.

    The running integral of the flux, known exactly at the source edges, is joined by a cubic
    spline and differenced at the target edges: the flux between any two source edges is kept to
    rounding, and pixels finer than the source's show no stairs. (E-MILES on pixels of 38 km/s:
    flux that is even within a pixel gives stairs of up to 2 % and 0.2 % rms.)

    Parameters
    ----------
    flux : ndarray, shape (n_pix, ...)
        Flux density per Angstrom in each source pixel.
    wave_edges : ndarray, shape (n_pix + 1,)
        Source pixel edges in Angstrom, strictly increasing.
    ln_edges : ndarray, shape (n_ln + 1,)
        Target pixel edges in ln(wavelength / Angstrom), strictly increasing, inside the source.

    Returns
    -------
    ndarray, shape (n_ln, ...)
        Flux density per Angstrom, averaged over each target pixel.

    Raises
    ------
    GridError
        If edges do not increase, do not fit ``flux``, or the source does not cover the target.
    """
    target = np.exp(np.asarray(ln_edges, np.float64))
    for name, edges in (("wave_edges", wave_edges), ("ln_edges", target)):
        if edges.ndim != 1 or edges.size < 2 or not (np.diff(edges) > 0).all():
            raise GridError(f"{name} must be a strictly increasing vector of at least 2: sort it.")
    if flux.shape[0] != wave_edges.size - 1:
        raise GridError(
            f"flux has {flux.shape[0]} pixels, but wave_edges holds {wave_edges.size} edges: "
            "give one edge more than pixels."
        )
    slack = 1e-9 * target[-1]
    if wave_edges[0] > target[0] + slack or wave_edges[-1] < target[-1] - slack:
        raise GridError(
            f"Spectra cover {wave_edges[0]:.2f}-{wave_edges[-1]:.2f} A, but the grid needs "
            f"{target[0]:.2f}-{target[-1]:.2f} A: narrow the requested range."
        )
    integral = np.zeros((wave_edges.size, *flux.shape[1:]))
    np.cumsum((flux.T * np.diff(wave_edges)).T, axis=0, out=integral[1:])
    running = make_interp_spline(wave_edges, integral, k=min(3, wave_edges.size - 1))(target)
    return np.asarray((np.diff(running, axis=0).T / np.diff(target)).T)


def bundled_miles_folder() -> Path:
    """Return the folder of the E-MILES spectra that the pPXF package carries.

    pPXF is located, never imported: its licence allows reading these files, not shipping them.

    Raises
    ------
    DependencyError
        If pPXF is not installed, or is a release without the spectra.
    """
    mend = 'Run: pip install "cubefit[demo]" (it brings ppxf 8.2.6).'
    spec = importlib.util.find_spec("ppxf")
    if spec is None or not spec.submodule_search_locations:
        raise DependencyError(f"The E-MILES spectra come with pPXF, which is not installed. {mend}")
    folder = Path(spec.submodule_search_locations[0]) / "miles_models"
    if not folder.is_dir():
        raise DependencyError(f"The installed pPXF has no folder {folder} of E-MILES FITS. {mend}")
    return folder


def read_miles_folder(
    folder: Path,
    *,
    ln_wave_range: tuple[float, float],
    dln: float,
    medium: str = "air",
) -> SSPLibrary:
    """Read a folder of MILES or E-MILES FITS files as one library, log-rebinned.

    Metallicity, age and [alpha/Fe] come from the names (see `cubefit.io.miles_files`), and must
    agree with the headers where these state them. Only the wavelengths in need are read.

    Parameters
    ----------
    folder : Path
        Holds one FITS file for each point of a complete ([M/H], age, [alpha/Fe]) grid, of one
        library, IMF and isochrone set, and no other FITS files.
    ln_wave_range : tuple of float
        Centres of the first pixel and, at most, of the last, in ln(wavelength / Angstrom).
    dln : float
        Pixel width in ln(wavelength).
    medium : {"air", "vacuum"}
        Medium of the wavelengths returned. MILES is published in air; "vacuum" converts.

    Returns
    -------
    SSPLibrary

    Raises
    ------
    InputError
        If a file is misnamed, damaged, disagrees with its header or the others, holds impossible
        fluxes, or the grid is incomplete; the message names the file or the missing point.
    GridError
        If the files do not cover the requested range.
    ConfigError
        If the range, the step or the medium is impossible.
    """
    ln_wave = _ln_wave_grid(ln_wave_range, dln)
    ln_edges = edges_of(ln_wave)
    if _require_medium(medium) == "vacuum":
        ln_edges = np.log(vacuum_to_air(np.exp(ln_edges)))
    low, high = math.exp(ln_edges[0]), math.exp(ln_edges[-1])

    files = miles_grid(Path(folder))
    flux, wave_edges = read_window(files, low, high)
    first = next(iter(files.values()))
    metals, ages, alphas = (np.array(sorted(set(axis))) for axis in zip(*files, strict=True))
    # Where cool stars give no ultraviolet light at all, the spline ends up 1e-15 below zero.
    templates = np.maximum(log_rebin_linear(flux, wave_edges, ln_edges), 0.0)
    return SSPLibrary(
        templates=templates.reshape(-1, metals.size, ages.size, alphas.size),
        ln_wave=ln_wave,
        metals=metals,
        ages=ages,
        alphas=alphas,
        medium=medium,
        fwhm_angstrom=_fwhm_angstrom(first, low, high),
        source=f"{_ingredients(first)} ({len(files)} files in {folder})",
    )


def _require_medium(medium: str) -> str:
    if medium not in {"air", "vacuum"}:
        raise ConfigError(f"medium={medium!r}: must be 'air' or 'vacuum'.")
    return medium


def _ln_wave_grid(ln_wave_range: tuple[float, float], dln: float) -> NDArray[np.float64]:
    low, high = ln_wave_range
    if not (0 < dln < math.inf and high - low >= dln and math.isfinite(high)):
        raise ConfigError(
            f"ln_wave_range=({low}, {high}), dln={dln}: give a range of at least two pixels, "
            "lowest first, and a positive step, all in ln(Angstrom)."
        )
    # The small allowance keeps a last pixel that rounding put just beyond the range.
    size = math.floor((high - low) / dln + 1e-6) + 1
    return require_ln_wave(low + dln * np.arange(size), "ln_wave_range")


def _ingredients(file: MilesFile) -> str:
    library, imf, isochrone = file.ingredients
    names = {"E": "E-MILES", "M": "MILES", "P": "Padova+00", "T": "BaSTI"}
    return " ".join(names.get(part, part) for part in (library, imf, isochrone) if part)


def _fwhm_angstrom(file: MilesFile, low: float, high: float) -> float | None:
    """Return the resolution if the name states it, or all stars in the range are of MILES."""
    if file.fwhm_angstrom is not None:
        return file.fwhm_angstrom
    plain = file.sampling in {"", "_linear", "_linear_FWHM_variable"}
    inside = MILES_STARS_ANGSTROM[0] <= low and high <= MILES_STARS_ANGSTROM[1]
    return MILES_FWHM_ANGSTROM if plain and inside else None
