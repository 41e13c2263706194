"""Parts of a file that its viewers read by themselves: a spaxel, the newest weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray

from cubefit.config import Normalization
from cubefit.errors import StaleError, StoreError
from cubefit.spectra.losvd import losvd_moments
from cubefit.store import schema
from cubefit.store.checkpoints import read_checkpoint
from cubefit.store.file_status import FitState
from cubefit.store.handle import looked_at, reading
from cubefit.store.load import input_stamp, read_orbit_weights
from cubefit.store.results import own_normalization

Float = NDArray[np.float64]
T = TypeVar("T")

SPAXELS_AT_ONCE: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SpaxelSpectrum:
    """What was observed in one spaxel."""

    data: Float
    """Flux density, shape (L,)."""
    noise: Float | None
    """One sigma, shape (L,)."""
    used: NDArray[np.bool_]
    """True where the fit uses the pixel, shape (L,)."""
    measured: NDArray[np.bool_]
    """True where the voxel is good, though the mask of all spaxels may leave it out, shape (L,)."""

    @property
    def measured_data(self) -> Float:
        """The data, NaN where they mean nothing: voxels that are masked often hold zeros."""
        return np.where(self.measured, self.data, np.nan)


class Weights(NamedTuple):
    """The newest weights in a file."""

    x: Float
    """Shape (C, P), template units."""
    told: str
    """Where they come from."""
    normalization: Normalization
    orbit_weights: Float | None
    """What their fit was given, shape (C,), any scale; else those of the inputs."""


def galaxy_stamp(file: h5py.File) -> str:
    """Return what tells the inputs in an open file, and what is said of them, from any others."""
    return f"{input_stamp(file)} {file.attrs.get(schema.ATTR_OBSERVATION, '')}"


def read_of(path: Path, stamp: str, read: Callable[[h5py.File], T]) -> T:
    """Return what is read from a file, if it still holds the inputs of that stamp.

    Raises
    ------
    StaleError
        If it holds others now.
    StoreError
        If it cannot be read.
    """

    def look(path: Path) -> T:
        with reading(path) as file:
            if galaxy_stamp(file) != stamp:
                raise StaleError(f"{path} holds other inputs now: look at it again.")
            return read(file)

    return looked_at(path, look)


def read_spectrum(path: Path, stamp: str, spaxel: int) -> SpaxelSpectrum:
    """Return what was observed in a spaxel, see `read_of`."""
    return read_of(path, stamp, lambda file: spectrum_of(file, spaxel))


def read_losvd(path: Path, stamp: str, spaxel: int) -> NDArray[np.float32]:
    """Return the LOSVDs of one spaxel, shape (V, C), see `read_of`."""
    return read_of(path, stamp, lambda file: np.asarray(file[schema.LOSVD.path][spaxel]))


def read_moments(path: Path, stamp: str, normalization: Normalization) -> Float:
    """Return light and velocities of component c in spaxel s, `losvd_moments`, see `read_of`."""

    def moments(file: h5py.File) -> Float:
        losvd, vel_pix = file[schema.LOSVD.path], file[schema.VEL_PIX.path][()]
        blocks = (
            losvd[start : start + SPAXELS_AT_ONCE]
            for start in range(0, losvd.shape[0], SPAXELS_AT_ONCE)
        )
        found = [losvd_moments(block, vel_pix, normalization) for block in blocks]
        return np.concatenate(found, axis=1)

    return read_of(path, stamp, moments)


def spectrum_of(file: h5py.File, spaxel: int) -> SpaxelSpectrum:
    """Return what was observed in a spaxel of an open file."""

    def row(entry: schema.Entry) -> NDArray[Any] | None:
        if entry.path not in file:
            return None
        dataset = file[entry.path]
        return np.asarray(dataset[spaxel] if dataset.ndim == 2 else dataset[()])

    data = np.asarray(file[schema.DATA_CUBE.path][spaxel], np.float64)
    voxels, mask = row(schema.VOXEL_MASK), row(schema.MASK)
    measured = np.isfinite(data)
    if voxels is not None:
        measured &= voxels.astype(bool)
    used = measured if mask is None else measured & mask.astype(bool)
    return SpaxelSpectrum(data=data, noise=row(schema.NOISE), used=used, measured=measured)


def finite(x: NDArray[Any], told: str) -> Float:
    """Return weights as float64; raise StoreError if they hold NaN or infinite values."""
    if not np.isfinite(x).all():
        raise StoreError(
            f"The weights ({told}) hold NaN or infinite values: fit again with "
            "warm_start='zeros' (--fresh)."
        )
    return np.asarray(x, np.float64)


def newest_weights(
    file: h5py.File, shape: tuple[int, int], fit: FitState | None, facts: Mapping[str, Any]
) -> Weights | None:
    """Return the newest weights in an open file, or None if there are none.

    Those of an unfinished fit come first, unless a later one was committed: its last row of
    metrics, else its last checkpoint. Then the committed solution.

    Parameters
    ----------
    file : h5py.File
        The file, open.
    shape : tuple of int
        ``(C, P)``.
    fit : FitState, optional
        How far the tracked fit is.
    facts : mapping
        What the writer of a fit under way said of it.
    """
    if fit is not None and (fit.running or not fit.finished):
        found = newest_of_fit(file, fit, facts)
        if found is not None:
            x, told, normalization = found
            given = read_orbit_weights(file, schema.FIT_ORBIT_WEIGHTS)
            return Weights(finite(x, told).reshape(shape), told, normalization, given)
    if schema.X_GLOBAL.path not in file:
        return None
    dataset = file[schema.X_GLOBAL.path]
    told = f"solution saved at {dataset.attrs.get('written', 'an unknown time')}"
    return Weights(
        finite(dataset[()], told).reshape(shape),
        told,
        dataset.attrs.get(schema.ATTR_NORMALIZATION, own_normalization(file)),
        read_orbit_weights(file, schema.X_ORBIT_WEIGHTS),
    )


def committed_at(file: h5py.File) -> float:
    """Return when the solution was committed, in seconds since 1970; minus infinity if never."""
    if schema.X_GLOBAL.path not in file:
        return float("-inf")
    return float(file[schema.X_GLOBAL.path].attrs.get(schema.ATTR_WRITTEN, "-inf"))


def newest_of_fit(
    file: h5py.File, fit: FitState, facts: Mapping[str, Any]
) -> tuple[Float, str, Normalization] | None:
    """Return the weights of an unfinished fit, in words, and their normalization, if any."""
    step = fit.step
    latest = read_checkpoint(file, "latest")
    run = {} if latest is None else latest.run
    normalization = facts.get("normalization") or run.get("normalization")
    acting: Normalization = normalization or own_normalization(file)
    if not fit.running and (0.0 if latest is None else latest.written) < committed_at(file):
        return None
    found = newest_in_ring(file)
    if found is not None:
        told = "fit under way" if fit.running else "unfinished fit"
        return found[0], f"{told}, {step} {found[1]}", acting
    if latest is None or latest.finished:
        return None
    return latest.x, f"last checkpoint of an unfinished fit, {step} {latest.epoch}", acting


def newest_in_ring(file: h5py.File) -> tuple[Float, int] | None:
    """Return the weights of the last row of metrics that has them, and its epoch."""
    if schema.X_VIS_RING_ROW.path not in file or not int(file[schema.N_METRICS.path][()]):
        return None
    rows = file[schema.X_VIS_RING_ROW.path][()]
    place = int(np.argmax(rows))
    if rows[place] < 0:
        return None
    epoch = int(file[schema.METRICS["epoch"].path][int(rows[place])])
    return np.asarray(file[schema.X_VIS_RING.path][place], np.float64), epoch
