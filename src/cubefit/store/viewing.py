"""Parts of a file that its viewers read by themselves: a spaxel, the newest weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from cubefit.config import Normalization
from cubefit.spectra.losvd import losvd_amplitudes
from cubefit.store import schema
from cubefit.store.checkpoints import read_checkpoint
from cubefit.store.handle import reading
from cubefit.store.results import own_normalization

Float = NDArray[np.float64]

SPAXELS_AT_ONCE: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaxelSpectrum:
    """What was observed in one spaxel."""

    data: Float
    """Flux density, shape (L,)."""
    noise: Float | None
    """One sigma, shape (L,)."""
    used: NDArray[np.bool_]
    """True where the fit uses the pixel, shape (L,)."""


class Weights(NamedTuple):
    """The newest weights in a file."""

    x: Float
    """Shape (C, P), template units."""
    told: str
    """Where they come from."""
    normalization: Normalization


def read_spectrum(path: Path, spaxel: int) -> SpaxelSpectrum:
    """Return what was observed in a spaxel."""
    with reading(path) as file:
        return spectrum_of(file, spaxel)


def read_losvd(path: Path, spaxel: int) -> NDArray[np.float32]:
    """Return the LOSVDs of one spaxel, shape (V, C)."""
    with reading(path) as file:
        return np.asarray(file[schema.LOSVD.path][spaxel])


def read_share(path: Path, normalization: Normalization) -> Float:
    """Return the share of component c's light in spaxel s, shape (S, C), some spaxels at a time."""
    with reading(path) as file:
        losvd = file[schema.LOSVD.path]
        return np.concatenate(
            [
                losvd_amplitudes(losvd[s : s + SPAXELS_AT_ONCE], normalization)
                for s in range(0, losvd.shape[0], SPAXELS_AT_ONCE)
            ]
        )


def spectrum_of(file: h5py.File, spaxel: int) -> SpaxelSpectrum:
    """Return what was observed in a spaxel of an open file."""

    def row(entry: schema.Entry) -> NDArray[Any] | None:
        if entry.path not in file:
            return None
        dataset = file[entry.path]
        return np.asarray(dataset[spaxel] if dataset.ndim == 2 else dataset[()])

    data = np.asarray(file[schema.DATA_CUBE.path][spaxel], np.float64)
    used = np.isfinite(data)
    for entry in (schema.MASK, schema.VOXEL_MASK):
        mask = row(entry)
        if mask is not None:
            used &= mask.astype(bool)
    return SpaxelSpectrum(data=data, noise=row(schema.NOISE), used=used)


def newest_weights(file: h5py.File, shape: tuple[int, int], *, runs: bool) -> Weights | None:
    """Return the newest weights in an open file, or None if there are none.

    Those of an unfinished fit come first: its last row of metrics, else its last checkpoint. Then
    the committed solution.

    Parameters
    ----------
    file : h5py.File
        The file, open.
    shape : tuple of int
        ``(C, P)``.
    runs : bool
        Whether a fit is under way.
    """
    latest = read_checkpoint(file, "latest")
    step = "round" if latest is None or latest.run.get("method") == "exact" else "epoch"
    unfinished = latest is not None and not latest.finished
    if runs or unfinished:
        found = newest_in_ring(file)
        if found is not None:
            x, epoch = found
            told = "fit under way" if runs else "unfinished fit"
            acting = own_normalization(file)
            if latest is not None:
                acting = latest.run.get("normalization", acting)
            return Weights(x.reshape(shape), f"{told}, {step} {epoch}", acting)
    if latest is not None and unfinished:
        return Weights(
            latest.x.reshape(shape),
            f"last checkpoint of an unfinished fit, {step} {latest.epoch}",
            latest.run.get("normalization", own_normalization(file)),
        )
    if schema.X_GLOBAL.path not in file:
        return None
    dataset = file[schema.X_GLOBAL.path]
    return Weights(
        np.asarray(dataset[()], np.float64).reshape(shape),
        f"solution saved at {dataset.attrs.get('written', 'an unknown time')}",
        dataset.attrs.get(schema.ATTR_NORMALIZATION, own_normalization(file)),
    )


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
