"""Single stellar populations (SSPs) as they are published to plain arrays."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from cubefit.config import require_choice
from cubefit.errors import ConfigError, DependencyError, InputError
from cubefit.io.miles_files import MilesFile, miles_fwhm, miles_grid, read_window
from cubefit.io.ssp_npz import read_ssp_npz
from cubefit.prepare.air import require_medium
from cubefit.prepare.ssp_library import SSPLibrary

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["SSPFormat", "SSPLibrary", "bundled_miles_folder", "read_ssp", "ssp_files"]

SSPFormat: TypeAlias = Literal["auto", "miles", "ppxf", "npz"]
"""Formats that `read_ssp` knows."""


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


def read_ssp(
    path: str | Path,
    *,
    medium: Literal["air", "vacuum"] | None = None,
    wave_range: tuple[float, float] | None = None,
    format: str = "auto",  # noqa: A002  as all readers call it
    axes: Sequence[str] | None = None,
) -> SSPLibrary:
    """Read an SSP library on its own wavelengths.

    Parameters
    ----------
    path : str or Path
        - ``miles``: a folder with one FITS file of MILES or E-MILES for each point of a complete
          ([M/H], age, [alpha/Fe]) grid, of one library, IMF and isochrone set, and no other FITS
          files. The points come from the names (see `cubefit.io.miles_files`) and must agree
          with the headers where these state them. These files say nothing of masses.
        - ``ppxf``: an npz file of pPXF 9, ``templates (npix, n_ages, n_metals)``, ``lam``,
          ``ages`` (Gyr), ``metals``, ``masses`` and ``fwhm``.
        - ``npz``: any other npz file with ``templates``, ``wave`` or ``lam`` (Angstrom),
          ``metals``, ``ages`` (Gyr), and optionally ``alphas``, ``masses`` (axes in the order of
          ``templates``), ``fwhm`` (Angstrom), ``medium`` and ``axes``.
    medium : {"air", "vacuum"}, optional
        Medium of the file's wavelengths (nothing is converted here). MILES is in air; npz files
        that do not say it need it.
    wave_range : tuple of float, optional
        Wavelengths (Angstrom, in the library's medium) that must be covered; a few pixels more
        are kept. Default all, where E-MILES has no one resolution (``fwhm`` is None then).
        Fluxes outside may be anything.
    format : {"auto", "miles", "ppxf", "npz"}
        By default a folder is ``miles``, and a file with pPXF's keys and no others ``ppxf``.
    axes : sequence of str, optional
        Names of the axes of ``templates`` in order, such as ``("wave", "ages", "metals")``, for
        npz files without the key ``axes`` whose shapes leave it open.

    Returns
    -------
    SSPLibrary

    Raises
    ------
    InputError
        If files are missing, misnamed, damaged, incomplete or contradict each other, or hold
        impossible values; the message names the file.
    GridError
        If the files do not cover the range.
    ConfigError
        If the format or the medium is unknown or not told.
    """
    path = Path(path)
    require_choice("format", format, SSPFormat)
    if medium is not None:
        require_medium(medium)
    if format == "miles" or (format == "auto" and path.is_dir()):
        if axes is not None:
            raise ConfigError(f"{path}: the axes of MILES files stand in their names: no axes.")
        return _read_miles(path, medium or "air", wave_range)
    if path.suffix in {".fits", ".fit"}:
        raise InputError(f"{path} is one FITS file: give the folder of all MILES files.")
    known = None if format == "auto" else format == "ppxf"
    return read_ssp_npz(path, medium=medium, wave_range=wave_range, axes=axes, ppxf=known)


def ssp_files(path: str | Path) -> list[Path]:
    """Return the files that `read_ssp` reads: one, or all FITS files of a folder.

    Raises
    ------
    InputError
        If there is nothing of that name.
    """
    path = Path(path)
    if path.is_dir():
        return sorted(file for file in path.iterdir() if file.suffix == ".fits")
    if not path.is_file():
        raise InputError(f"{path} does not exist: give a folder of MILES files, or an npz file.")
    return [path]


def _read_miles(folder: Path, medium: str, wave_range: tuple[float, float] | None) -> SSPLibrary:
    files = miles_grid(folder)
    flux, wave = read_window(files, wave_range)
    first = next(iter(files.values()))
    metals, ages, alphas = (np.array(sorted(set(axis))) for axis in zip(*files, strict=True))
    return SSPLibrary(
        templates=flux.reshape(-1, metals.size, ages.size, alphas.size),
        wave=wave,
        metals=metals,
        ages=ages,
        alphas=alphas,
        fwhm=miles_fwhm(first, wave),
        medium=medium,
        source=f"{_ingredients(first)} ({len(files)} files in {folder})",
    )


def _ingredients(file: MilesFile) -> str:
    library, imf, isochrone = file.ingredients
    names = {"E": "E-MILES", "M": "MILES", "P": "Padova+00", "T": "BaSTI"}
    return " ".join(names.get(part, part) for part in (library, imf, isochrone) if part)
