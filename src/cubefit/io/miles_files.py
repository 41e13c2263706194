"""MILES and E-MILES FITS files: what their names say, and the spectra in them, both checked."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
from astropy.io import fits

from cubefit.errors import InputError
from cubefit.io.fits_files import reading_fits
from cubefit.prepare.resolution import FWHM_PER_SIGMA
from cubefit.prepare.ssp_library import pixels_covering
from cubefit.spectra.grids import SPEED_OF_LIGHT_KMS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

MILES_NAME: Final = re.compile(
    r"(?P<library>[EM])(?P<imf>[a-z]{2}\d+\.\d+)"
    r"Z(?P<metal_sign>[mp])(?P<metal>\d+\.\d+)T(?P<age>\d+\.\d+)"
    r"(?:_i(?P<isochrone>[PT])[mp]\d+\.\d+)?"
    r"(?:_(?:baseFe|E(?P<alpha_sign>[mp])(?P<alpha>\d+\.\d+)))?"
    r"(?P<sampling>(?:_linear)?"
    r"(?:_FWHM_(?:variable|(?P<fwhm>\d+\.\d+))|_Sigma_(?P<sigma>\d+))?)\.fits"
)
"""``Eun1.30Zm0.71T00.1259_iPp0.00_baseFe_linear_FWHM_variable.fits``: library, IMF and slope,
[M/H], age in Gyr, isochrones, [alpha/Fe] (``baseFe`` counts as 0), sampling and resolution."""

MILES_RESOLUTION: Final = (3541.4, 8950.4, 2.51)
"""From and to where (Angstrom) the stars are those of MILES, and their FWHM (Falcon-Barroso et al.
2011, A&A 532, A95; Vazdekis et al. 2016, MNRAS 463, 3409, section 2)."""

INFRARED_SIGMA_KMS: Final = 60.0
"""Velocity dispersion that E-MILES is smoothed to beyond the stars of MILES."""

GridPoint: TypeAlias = tuple[float, float, float]
"""[M/H] in dex, age in Gyr, [alpha/Fe] in dex."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MilesFile:
    """What the name of one MILES file says."""

    path: Path
    metal: float
    age: float
    alpha: float
    ingredients: tuple[str, str, str]
    """Letters of the library, the IMF and the isochrones (if named)."""
    sampling: str
    """What the name says of sampling and resolution."""
    fwhm_angstrom: float | None
    """Resolution that the name states, if any."""
    sigma_kms: float | None
    """Likewise, as a velocity dispersion."""

    @property
    def point(self) -> GridPoint:
        """[M/H], age in Gyr and [alpha/Fe]."""
        return self.metal, self.age, self.alpha


@dataclass(frozen=True, slots=True)
class LinearAxis:
    """Linear wavelength axis of a FITS spectrum."""

    first: float
    """Centre of the first pixel (Angstrom)."""
    step: float
    """Pixel width (Angstrom)."""
    size: int
    """Number of pixels."""

    def window(self, wave_range: tuple[float, float] | None, name: str) -> slice:
        """Return the pixels that cover a range (Angstrom), and a few more; all for None."""
        everything = slice(0, self.size)
        if wave_range is None:
            return everything
        return pixels_covering(self.edges(everything), wave_range, name)

    def edges(self, window: slice) -> NDArray[np.float64]:
        """Return the pixel edges of a window in Angstrom."""
        return self.first + self.step * (np.arange(window.start, window.stop + 1) - 0.5)

    def centres(self, window: slice) -> NDArray[np.float64]:
        """Return the pixel centres of a window in Angstrom."""
        return self.first + self.step * np.arange(window.start, window.stop)


def miles_grid(folder: Path) -> dict[GridPoint, MilesFile]:
    """Return the files of a folder by grid point, in the order metallicity, age, alpha.

    Parameters
    ----------
    folder : Path
        Holds one file for each point of a complete grid, and no other FITS files.

    Returns
    -------
    dict
        ([M/H], age in Gyr, [alpha/Fe]) to file; the last runs fastest.

    Raises
    ------
    InputError
        If the folder is empty, a name is not of MILES, files belong to different grids, or a
        grid point is missing.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder: give the one that holds the MILES FITS files.")
    paths = sorted(path for path in folder.iterdir() if path.suffix == ".fits")
    if not paths:
        raise InputError(f"{folder} holds no *.fits files: give the folder of the MILES spectra.")
    return _complete([_parse_name(path) for path in paths])


def _parse_name(path: Path) -> MilesFile:
    match = MILES_NAME.fullmatch(path.name)
    if match is None:
        raise InputError(
            f"{path.name} in {path.parent} is not named as MILES or E-MILES files are "
            "(such as Eun1.30Zm0.71T00.1259_iPp0.00_baseFe.fits): rename it, or move it away."
        )
    part = match.groupdict(default="")
    return MilesFile(
        path=path,
        metal=_signed(part["metal_sign"], part["metal"]),
        age=float(part["age"]),
        alpha=_signed(part["alpha_sign"], part["alpha"]) if part["alpha"] else 0.0,
        ingredients=(part["library"], part["imf"], part["isochrone"]),
        sampling=part["sampling"],
        fwhm_angstrom=float(part["fwhm"]) if part["fwhm"] else None,
        sigma_kms=float(part["sigma"]) if part["sigma"] else None,
    )


def _signed(sign: str, digits: str) -> float:
    # Adding zero turns -0.0 into 0.0, so that Zm0.00 and Zp0.00 are one metallicity.
    return (-1.0 if sign == "m" else 1.0) * float(digits) + 0.0


def _complete(parsed: Sequence[MilesFile]) -> dict[GridPoint, MilesFile]:
    """Order the files of one complete grid, or name a point that is missing or twice there."""
    files: dict[GridPoint, MilesFile] = {}
    for file in parsed:
        same_point = files.setdefault(file.point, file)
        other = parsed[0] if same_point is file else same_point
        same_set = (file.ingredients, file.sampling) == (other.ingredients, other.sampling)
        if same_point is not file or not same_set:
            raise InputError(
                f"{other.path.name} and {file.path.name} in {file.path.parent} do not belong to "
                "one grid (same point twice, or another library, IMF, isochrone or sampling): "
                "keep one set in the folder."
            )
    axes = [sorted(set(axis)) for axis in zip(*files, strict=True)]
    points = [(metal, age, alpha) for metal in axes[0] for age in axes[1] for alpha in axes[2]]
    missing = [point for point in points if point not in files]
    if missing:
        metal, age, alpha = missing[0]
        raise InputError(
            f"{parsed[0].path.parent} lacks {len(missing)} of {len(points)} grid points, the first "
            f"at [M/H]={metal:+.2f}, age {age:.4f} Gyr, [alpha/Fe]={alpha:+.2f}: "
            "add the files, or move away the others of that age, metallicity or alpha."
        )
    return {point: files[point] for point in points}


def read_window(
    files: Mapping[GridPoint, MilesFile], wave_range: tuple[float, float] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Read one range of wavelengths of each file, and nothing else.

    Parameters
    ----------
    files : mapping
        At least one file, see `miles_grid`.
    wave_range : tuple of float or None
        Wavelengths in Angstrom that the pixels must cover; None reads all.

    Returns
    -------
    flux : ndarray, shape (T, n_files)
        Flux density per Angstrom.
    wave : ndarray, shape (T,)
        Pixel centres in Angstrom.

    Raises
    ------
    InputError
        If a file is damaged, disagrees with its name or the other files, or holds negative, NaN
        or infinite fluxes.
    GridError
        If a file does not cover the range.
    """
    spectra = [(file, *_read_spectrum(file, wave_range)) for file in files.values()]
    axis = spectra[0][1]
    for file, found, _ in spectra:
        if found != axis:
            raise InputError(
                f"{file.path} has the wavelength axis {found}, but {spectra[0][0].path.name} has "
                f"{axis}: download all files with one sampling."
            )
    wave = axis.centres(axis.window(wave_range, spectra[0][0].path.name))
    return np.stack([flux for _, _, flux in spectra], axis=1), wave


def miles_fwhm(file: MilesFile, wave: NDArray[np.float64]) -> float | NDArray[np.float64] | None:
    """Return the resolution (FWHM, Angstrom) of a library at its pixels.

    Parameters
    ----------
    file : MilesFile
        Any file of the library.
    wave : ndarray, shape (T,)
        Pixel centres in Angstrom.

    Returns
    -------
    float, ndarray of shape (T,), or None
        One number where it is the same everywhere, None where it is not known.
    """
    if file.fwhm_angstrom is not None:
        return file.fwhm_angstrom
    if file.sigma_kms is not None:
        return _fwhm_of_sigma(wave, file.sigma_kms)
    low, high, fwhm = MILES_RESOLUTION
    found = np.where((wave >= low) & (wave <= high), fwhm, np.nan)
    if file.ingredients[0] == "E":
        found = np.where(wave > high, _fwhm_of_sigma(wave, INFRARED_SIGMA_KMS), found)
    if np.isnan(found).any():
        return None
    return float(found[0]) if (found == found[0]).all() else found


def _fwhm_of_sigma(wave: NDArray[np.float64], sigma_kms: float) -> NDArray[np.float64]:
    return FWHM_PER_SIGMA * sigma_kms / SPEED_OF_LIGHT_KMS * wave


def _read_spectrum(
    file: MilesFile, wave_range: tuple[float, float] | None
) -> tuple[LinearAxis, NDArray[np.float64]]:
    # Our own stream, because astropy leaves its own open when it stumbles over a damaged header.
    mend = "download the file again"
    with reading_fits(file.path, mend), file.path.open("rb") as stream, fits.open(stream) as hdus:
        axis = _linear_axis(file.path, hdus[0])
        _require_same_labels(file, str(hdus[0].header.get("COMMENT", "")))
        window = axis.window(wave_range, str(file.path))
        flux = np.array(hdus[0].section[window], np.float64)
    bad = ~np.isfinite(flux) | (flux < 0)
    if bad.any():
        low, high = axis.centres(window)[[0, -1]]
        raise InputError(
            f"{file.path} holds {bad.sum()} negative, NaN or infinite fluxes from {low:.1f} to "
            f"{high:.1f} A: choose a wave_range without them, or download the file again."
        )
    return axis, flux


def _linear_axis(path: Path, hdu: fits.PrimaryHDU) -> LinearAxis:
    # A damaged header makes astropy return an object of another kind, without a shape.
    whole = isinstance(hdu, fits.PrimaryHDU)
    header, shape = (hdu.header, list(hdu.shape)) if whole else ({}, [])
    values: list[Any] = [header.get(key) for key in ("CRVAL1", "CDELT1", "CRPIX1")]
    # Not isinstance: bool is an int to Python, and a FITS logical is no wavelength.
    usable = all(type(value) in {int, float} and math.isfinite(value) for value in values)
    if not usable or values[1] <= 0 or len(shape) != 1:
        raise InputError(
            f"{path} has the shape {tuple(shape)} and CRVAL1, CDELT1, CRPIX1 = {values}: one "
            "spectrum with a linear wavelength axis in Angstrom is due; download the file again."
        )
    first, step, reference = (float(value) for value in values)
    return LinearAxis(first=first + step * (1.0 - reference), step=step, size=shape[0])


def _require_same_labels(file: MilesFile, comments: str) -> None:
    """Refuse a renamed file: MILES headers repeat age and metallicity in their comments."""
    for label, named, tolerance in (("Age (Gyr)", file.age, 1e-3), ("[M/H]", file.metal, 5e-3)):
        match = re.search(re.escape(label) + r":\s*([-+]?\d+\.?\d*)", comments)
        if match and abs(float(match.group(1)) - named) > tolerance:
            raise InputError(
                f"{file.path} is named {label} = {named:g}, but its header says "
                f"{float(match.group(1)):g}: download the file again, or mend its name."
            )
