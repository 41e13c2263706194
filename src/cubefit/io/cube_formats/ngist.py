"""GIST and nGIST: spectra of bins (error: one sigma) or of spaxels (error: variance)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cubefit.errors import InputError
from cubefit.io.cube_formats import sigma
from cubefit.io.cube_formats.cube import IFUCube, Layers, Voxels
from cubefit.io.cube_formats.spectra_table import (
    SpectraTable,
    require_spectra,
    require_wave_of,
    table_voxels,
)
from cubefit.io.cube_formats.wavelengths import from_logarithm, medium_of
from cubefit.io.fits_files import FitsFile, fits_file, reading_fits
from cubefit.store.foreign import ForeignFile, foreign_file, is_hdf5

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cubefit.io.cube_formats.sigma import ToSigma

DATASETS: Final = ("SPEC", "ESPEC", "LOGLAM")
ENDINGS: Final = {"bins": ("_BinSpectra", "_BinSpectra_linear"), "all": ("_AllSpectra",)}


@dataclass(frozen=True, slots=True)
class _Found:
    voxels: Voxels
    wave: NDArray[np.float64]
    unit: str


def recognised_hdf5(file: ForeignFile) -> bool:
    """Return whether an HDF5 file holds such spectra."""
    return set(DATASETS) <= set(file.shapes)


def recognised(file: FitsFile) -> bool:
    """Return whether a FITS file holds such spectra."""
    return _tables(file) is not None


def read(path: Path, medium: str | None, kind: str | None) -> IFUCube:
    """Read spectra that nGIST prepared.

    ``LOGLAM`` is ln(wavelength / Angstrom), or the wavelength itself in files of linear spectra.
    It has been divided by 1 + REDSHIFT of nGIST's configuration. Positions are not in the file:
    read its table with `cubefit.io.read_bins`.

    Parameters
    ----------
    path : Path
        ``RUN_BinSpectra.hdf5`` or ``RUN_AllSpectra.hdf5``, or their older ``.fits``.
    medium : {"air", "vacuum"}
        Medium of the wavelengths: the file does not say.
    kind : {"bins", "all"} or None
        What ``ESPEC`` is: one sigma of bins, or the variance of spaxels. By default the name of
        the file tells, and nothing else can.
    """
    kind = kind or _kind(path)
    where = f"{path} (nGIST)"
    medium = medium_of(medium, None, where)
    to_sigma = sigma.of_sigma if kind == "bins" else sigma.of_variance
    found = (_read_hdf5 if is_hdf5(path) else _read_fits)(path, to_sigma)
    n_pix = found.voxels.n_pix
    return IFUCube(
        wave=found.wave
        if found.wave.max() > 20.0
        else from_logarithm(found.wave, f"{path}: LOGLAM"),
        medium=medium,
        x=None,
        y=None,
        unit=found.unit,
        image_shape=None,
        wcs=None,
        fwhm=None,
        source=f"{path} (nGIST spectra of {'bins' if kind == 'bins' else 'spaxels'})",
        binnum=np.arange(n_pix, dtype=np.int32) if kind == "bins" else None,
        voxels=found.voxels,
        at_rest=True,
    )


def _kind(path: Path) -> str:
    stem = path.name.partition(".")[0] if path.name.endswith(".gz") else path.stem
    for kind, endings in ENDINGS.items():
        if stem.endswith(endings):
            return kind
    raise InputError(
        f"{path} holds spectra of nGIST, but its name does not tell whether ESPEC is one sigma "
        "(RUN_BinSpectra) or the variance (RUN_AllSpectra): give format='ngist-bins' or "
        "format='ngist-all'."
    )


def _read_hdf5(path: Path, to_sigma: ToSigma) -> _Found:
    with foreign_file(path) as file:
        file.require(*DATASETS)
        shape, dtype = file.shapes["SPEC"], file.dtypes["SPEC"]
        require_spectra(shape[::-1], dtype, f"{path}: SPEC, transposed")
        require_wave_of(shape[::-1], file.shapes["LOGLAM"], f"{path}: SPEC, transposed, and LOGLAM")
        if file.shapes["ESPEC"] != shape:
            raise InputError(
                f"{path}: ESPEC has shape {file.shapes['ESPEC']}, but SPEC has {shape}: get the "
                "file again."
            )
        wave = file.read("LOGLAM").astype(np.float64)
        unit = str(file.attribute("BUNIT") or "")
        raw_bytes = dtype.itemsize + file.dtypes["ESPEC"].itemsize
    voxels = Voxels(
        opened=_opener(path, to_sigma), n_pix=shape[1], raw_bytes=raw_bytes, has_noise=True
    )
    return _Found(voxels, wave, unit)


def _opener(path: Path, to_sigma: ToSigma) -> Callable[[], Any]:
    @contextmanager
    def opened() -> Iterator[Layers]:
        with foreign_file(path) as file:
            yield Layers(
                flux=lambda wave: file.read("SPEC", wave),
                noise=lambda wave: to_sigma(file.read("ESPEC", wave)),
                use=None,
            )

    return opened


def _read_fits(path: Path, to_sigma: ToSigma) -> _Found:
    table, wave = _load(path, to_sigma)
    table.require(f"{path}: SPEC")
    require_wave_of(table.flux.shape, wave.shape, f"{path}: LOGLAM")
    return _Found(table_voxels(table, lambda: _load(path, to_sigma)[0]), wave, "")


def _load(path: Path, to_sigma: ToSigma) -> tuple[SpectraTable, NDArray[np.float64]]:
    with fits_file(path) as file:
        numbers = _tables(file)
        if numbers is None:
            raise InputError(
                f"{path} has no tables with the columns SPEC, ESPEC and LOGLAM; it holds "
                f"{file.contents()}: give a file of nGIST, or another format=."
            )
        spectra, grid = (file.table(number) for number in numbers)
        with reading_fits(path):
            table = SpectraTable(
                flux=np.array(spectra["SPEC"], np.float64),
                noise=to_sigma(np.array(spectra["ESPEC"], np.float64)),
                use=None,
            )
            return table, np.array(grid["LOGLAM"], np.float64).ravel()


def _tables(file: FitsFile) -> tuple[int, int] | None:
    """Return which HDUs hold the spectra and the wavelengths."""
    columns = [set(file.columns(number)) for number in range(len(file.hdus))]
    spectra = [n for n, names in enumerate(columns) if {"SPEC", "ESPEC"} <= names]
    grids = [n for n, names in enumerate(columns) if "LOGLAM" in names]
    return (spectra[0], grids[0]) if spectra and grids else None
