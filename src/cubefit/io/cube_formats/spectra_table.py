"""Spectra in a row each, (S, L), as tables and arrays of several formats hold them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cubefit.errors import InputError
from cubefit.io.cube_formats.cube import Layers, Voxels

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class SpectraTable:
    """Spectra in memory, each array of shape (S, L)."""

    flux: NDArray[Any]
    noise: NDArray[Any] | None
    """One sigma."""
    use: NDArray[np.bool_] | None

    def require(self, where: str) -> None:
        """Refuse arrays that do not fit together.

        Raises
        ------
        InputError
            If the flux is no table of numbers, or the others differ from it in shape.
        """
        require_spectra(self.flux.shape, self.flux.dtype, where)
        for name in ("noise", "use"):
            values = getattr(self, name)
            if values is not None and values.shape != self.flux.shape:
                raise InputError(
                    f"{where}: {'mask' if name == 'use' else name} has shape {values.shape}, but "
                    f"flux has {self.flux.shape}: give arrays that belong together."
                )


def require_spectra(shape: tuple[int, ...], dtype: np.dtype[Any], where: str) -> None:
    """Refuse a flux that is no (S, L) array of real numbers.

    Raises
    ------
    InputError
        It says what is due.
    """
    if len(shape) != 2 or not all(shape) or dtype.kind not in "fiu":
        raise InputError(
            f"{where}: flux has shape {shape} and type {dtype}: give real numbers of shape (S, L), "
            "one spectrum a row."
        )


def require_wave_of(flux_shape: tuple[int, ...], wave_shape: tuple[int, ...], where: str) -> None:
    """Refuse wavelengths that are not one for each pixel of the spectra.

    Raises
    ------
    InputError
        It says so when the spectra stand in columns.
    """
    if wave_shape != flux_shape[1:]:
        columns = wave_shape == flux_shape[:1]
        mend = "transpose it" if columns else "give one wavelength for each pixel"
        raise InputError(
            f"{where}: wave has shape {wave_shape} and flux {flux_shape}, but (S, L) is due, one "
            f"spectrum a row: {mend}."
        )


def table_voxels(table: SpectraTable, load: Callable[[], SpectraTable]) -> Voxels:
    """Return the voxels of spectra that are loaded as a whole while the cube is read.

    Parameters
    ----------
    table : SpectraTable
        The spectra as they are now; only their shapes and types are kept.
    load : callable
        Loads them again.
    """
    arrays = (table.flux, table.noise, table.use)

    @contextmanager
    def opened() -> Iterator[Layers]:
        loaded = load()
        noise, use = loaded.noise, loaded.use
        yield Layers(
            flux=lambda wave: loaded.flux[:, wave].T,
            noise=None if noise is None else lambda wave: noise[:, wave].T,
            use=None if use is None else lambda wave: use[:, wave].T,
        )

    return Voxels(
        opened=opened,
        n_pix=table.flux.shape[0],
        raw_bytes=sum(array.itemsize for array in arrays if array is not None),
        has_noise=table.noise is not None,
    )


def true_is_use(flags: NDArray[Any], where: str) -> NDArray[np.bool_]:
    """Return a mask as bool.

    Raises
    ------
    InputError
        If it holds anything but True and False, or 1 and 0.
    """
    if flags.dtype.kind not in "biu" or (
        flags.dtype.kind != "b" and not np.isin(flags, (0, 1)).all()
    ):
        raise InputError(
            f"{where}: mask is of type {flags.dtype} and holds other values than 0 and 1: give "
            "True or 1 for voxels to use, and False or 0 for the others."
        )
    return flags.astype(np.bool_)
