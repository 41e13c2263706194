"""Plain arrays under fixed names in npz, HDF5 and FITS files: for all that has no format here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cubefit.errors import InputError
from cubefit.io.cube_formats.cube import IFUCube, Layers, Voxels
from cubefit.io.cube_formats.spectra_table import (
    SpectraTable,
    require_spectra,
    require_wave_of,
    table_voxels,
    true_is_use,
)
from cubefit.io.cube_formats.wavelengths import medium_of
from cubefit.io.npz import open_npz
from cubefit.store.foreign import ForeignFile, foreign_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

REQUIRED: Final = ("flux", "wave")
KEYS: Final = (*REQUIRED, "noise", "mask", "x", "y", "binnum", "medium", "unit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What a file holds beside its voxels, not checked yet."""

    wave: NDArray[Any]
    x: NDArray[Any] | None
    y: NDArray[Any] | None
    binnum: NDArray[Any] | None
    medium: str | None
    unit: str


def read_npz(path: Path, medium: str | None) -> IFUCube:
    """Read arrays of an npz file.

    ``flux (S, L)`` and ``wave (L,)`` in Angstrom; where there are any also ``noise`` (one sigma)
    and ``mask`` (True = use), both (S, L), ``x``, ``y`` in arcsec and ``binnum``, (S,) each, and
    the texts ``medium`` and ``unit``. They are held in memory while the cube is read.
    """
    arrays = _npz_arrays(path, KEYS)
    table = _table(arrays, path)
    beside = Beside(
        wave=arrays["wave"],
        x=arrays.get("x"),
        y=arrays.get("y"),
        binnum=arrays.get("binnum"),
        medium=str(arrays["medium"]) if "medium" in arrays else None,
        unit=str(arrays.get("unit", "")),
    )
    voxels = table_voxels(table, lambda: _table(_npz_arrays(path, KEYS[:4]), path))
    return spectra_cube(path, table.flux.shape, beside, medium, voxels)


def read_hdf5(path: Path, medium: str | None) -> IFUCube:
    """Read datasets of an HDF5 file, named as the arrays of an npz file.

    ``medium`` and ``unit`` are attributes of the file.
    """
    with foreign_file(path) as file:
        file.require(*REQUIRED)
        shape = file.shapes["flux"]
        require_spectra(shape, file.dtypes["flux"], str(path))
        have = [name for name in ("flux", "noise", "mask") if name in file.shapes]
        for name in have:
            if file.shapes[name] != shape:
                raise InputError(
                    f"{path}: {name} has shape {file.shapes[name]}, but flux has {shape}: give "
                    "arrays that belong together."
                )
        medium_there = file.attribute("medium")
        beside = Beside(
            wave=file.read("wave"),
            medium=None if medium_there is None else str(medium_there),
            unit=str(file.attribute("unit") or ""),
            **{n: file.read(n) if n in file.shapes else None for n in ("x", "y", "binnum")},
        )
        raw_bytes = sum(file.dtypes[name].itemsize for name in have)
    voxels = Voxels(
        opened=_opener(path, set(have)),
        n_pix=shape[0],
        raw_bytes=raw_bytes,
        has_noise="noise" in have,
    )
    return spectra_cube(path, shape, beside, medium, voxels)


def spectra_cube(
    path: Path, shape: tuple[int, ...], beside: Beside, medium: str | None, voxels: Voxels
) -> IFUCube:
    """Return the cube of a table of spectra.

    Parameters
    ----------
    path : Path
        The file.
    shape : tuple of int
        (S, L) of its flux.
    beside : Beside
        What else it holds.
    medium : {"air", "vacuum"} or None
        Instead of what it states.
    voxels : Voxels
        Its values.

    Raises
    ------
    InputError
        If arrays do not fit together, or the medium is not known.
    """
    require_wave_of(shape, beside.wave.shape, str(path))
    if (beside.x is None) != (beside.y is None):
        raise InputError(f"{path} has one of x and y: give both positions, in arcsec, or none.")
    return IFUCube(
        wave=_numbers(beside.wave, "wave", path),
        medium=medium_of(medium, beside.medium, str(path)),
        x=None if beside.x is None else _numbers(beside.x, "x", path),
        y=None if beside.y is None else _numbers(beside.y, "y", path),
        unit=beside.unit,
        image_shape=None,
        wcs=None,
        fwhm=None,
        source=f"{path} (plain)",
        binnum=None if beside.binnum is None else _bin_numbers(beside.binnum, path),
        voxels=voxels,
    )


def _npz_arrays(path: Path, keys: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    with open_npz(path) as stored:
        missing = [key for key in REQUIRED if key not in stored]
        if missing:
            raise InputError(
                f"{path} lacks {', '.join(missing)}; it holds {', '.join(stored.files)}: save "
                "flux (S, L) and wave (L,) with np.savez, and noise and mask if you have them."
            )
        return {key: stored[key] for key in keys if key in stored}


def _table(arrays: Mapping[str, NDArray[Any]], path: Path) -> SpectraTable:
    mask = arrays.get("mask")
    table = SpectraTable(
        flux=arrays["flux"],
        noise=arrays.get("noise"),
        use=None if mask is None else true_is_use(mask, str(path)),
    )
    table.require(str(path))
    return table


def _opener(path: Path, have: set[str]) -> Callable[[], Any]:
    @contextmanager
    def opened() -> Iterator[Layers]:
        with foreign_file(path) as file:
            yield Layers(
                flux=lambda wave: _columns(file, "flux", wave),
                noise=(lambda wave: _columns(file, "noise", wave)) if "noise" in have else None,
                use=(lambda wave: true_is_use(_columns(file, "mask", wave), str(path)))
                if "mask" in have
                else None,
            )

    return opened


def _columns(file: ForeignFile, name: str, wave: slice) -> NDArray[Any]:
    return file.read(name, (slice(None), wave)).T


def _numbers(values: NDArray[Any], name: str, path: Path) -> NDArray[np.float64]:
    if values.dtype.kind not in "fiu" or not np.isfinite(values).all():
        raise InputError(
            f"{path}: {name} is of type {values.dtype} and not all finite: give real numbers."
        )
    return values.astype(np.float64)


def _bin_numbers(values: NDArray[Any], path: Path) -> NDArray[np.int32]:
    if values.dtype.kind not in "iu" or (values < -1).any():
        raise InputError(
            f"{path}: binnum is of type {values.dtype}, or below -1: give one integer a spectrum, "
            "from 0, and -1 for those in no bin."
        )
    return values.astype(np.int32)
