"""Orbit libraries: LOSVDs per spatial bin and component, from npz files to plain arrays."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cubefit.errors import ConfigError, InputError
from cubefit.io.npz import open_npz
from cubefit.spectra.grids import SPEED_OF_LIGHT_KMS, require_uniform

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

BUNDLED_SIZES: Final = ("small", "medium")
"""Orbit libraries that the package carries."""

REQUIRED_KEYS: Final = ("losvd", "vel", "xpix", "ypix", "binnum", "w")
PROPERTY_PREFIX: Final = "orb_"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrbitLibrary:
    """Orbits (components) of a dynamical model, seen in the spatial bins of a cube."""

    losvd: NDArray[np.float32]
    """Share of the light of component c in spatial bin s and velocity bin v, shape (S, V, C)."""
    velocity_kms: NDArray[np.float64]
    """Centres of the velocity bins in km/s, shape (V,), uniform, positive receding."""
    weights: NDArray[np.float64]
    """Mass of each component as the dynamical model has it, shape (C,), non-negative."""
    binnum: NDArray[np.int32]
    """Spatial bin of each sky pixel, shape (nPix,), from 0; -1 marks a pixel in no bin."""
    x_arcsec: NDArray[np.float64]
    """Position of each sky pixel in arcsec, shape (nPix,)."""
    y_arcsec: NDArray[np.float64]
    """Position of each sky pixel in arcsec, shape (nPix,)."""
    properties: dict[str, NDArray[np.float64]]
    """Numbers per component by name with unit, such as ``Rc_kpc``, each of shape (C,)."""


def read_orbits_npz(path: Path) -> OrbitLibrary:
    """Read an orbit library from an npz file, and check all of it.

    Parameters
    ----------
    path : Path
        Holds ``losvd (S, V, C)``, ``vel (V,)`` in km/s, ``xpix``, ``ypix`` in arcsec and
        ``binnum``, each (nPix,), ``w (C,)``, and any ``orb_<name> (C,)``, which become the
        properties ``<name>``. Other keys, such as ``meta_json``, are not read.

    Returns
    -------
    OrbitLibrary

    Raises
    ------
    InputError
        If the file is missing, no npz, lacks a key, or holds arrays of impossible shape, type or
        value.
    GridError
        If the velocity grid is not uniform and increasing.
    """
    arrays = _load(Path(path))
    with np.errstate(over="ignore"):  # what float32 cannot hold is refused below
        losvd = _finite(path, "losvd", arrays["losvd"], ndim=3).astype(np.float32)
    if losvd.size == 0 or not np.isfinite(losvd).all() or losvd.min() < 0:
        raise InputError(
            f"{path}: losvd, shape {losvd.shape}, is empty or holds values below 0 or beyond "
            "float32: give histograms, shares of light per velocity bin."
        )
    n_bins, n_velocities, n_components = losvd.shape
    velocity_kms = require_uniform(
        _sized(path, "vel", arrays, n_velocities, "losvd.shape[1]"), f"{path}: vel", "km/s"
    )
    if np.abs(velocity_kms).max() >= SPEED_OF_LIGHT_KMS:
        raise InputError(f"{path}: vel reaches the speed of light: give it in km/s.")
    binnum = _bin_numbers(path, arrays["binnum"], n_bins)
    return OrbitLibrary(
        losvd=losvd,
        velocity_kms=velocity_kms,
        weights=_weights(path, arrays, n_components),
        binnum=binnum,
        x_arcsec=_sized(path, "xpix", arrays, binnum.size, "binnum.size"),
        y_arcsec=_sized(path, "ypix", arrays, binnum.size, "binnum.size"),
        properties={
            key.removeprefix(PROPERTY_PREFIX): _sized(
                path, key, arrays, n_components, "losvd.shape[2]"
            )
            for key in arrays
            if key.startswith(PROPERTY_PREFIX)
        },
    )


def bundled_orbits(size: str) -> OrbitLibrary:
    """Return an orbit library that comes with CubeFit.

    Both show one model galaxy (disk, bulge, halo and black hole), integrated with AGAMA.

    Parameters
    ----------
    size : {"small", "medium"}
        40 spatial bins x 31 velocities x 24 components, or 293 x 45 x 120.

    Returns
    -------
    OrbitLibrary

    Raises
    ------
    ConfigError
        For any other size.
    """
    if size not in BUNDLED_SIZES:
        raise ConfigError(f"size={size!r}: must be one of {', '.join(BUNDLED_SIZES)}.")
    bundled = resources.files("cubefit").joinpath("data", f"orbits_{size}.npz")
    with resources.as_file(bundled) as path:
        return read_orbits_npz(path)


def _load(path: Path) -> dict[str, NDArray[np.generic]]:
    with open_npz(path) as stored:
        missing = [key for key in REQUIRED_KEYS if key not in stored]
        if missing:
            raise InputError(
                f"{path} lacks {', '.join(missing)}; it holds {', '.join(stored.files)}: "
                f"save all of {', '.join(REQUIRED_KEYS)} with np.savez."
            )
        properties = [key for key in stored.files if key.startswith(PROPERTY_PREFIX)]
        return {key: stored[key] for key in (*REQUIRED_KEYS, *properties)}


def _finite(path: Path, key: str, array: NDArray[np.generic], *, ndim: int) -> NDArray[np.floating]:
    if array.ndim != ndim or array.dtype.kind not in "fiu":
        raise InputError(
            f"{path}: {key} has shape {array.shape} and type {array.dtype}: "
            f"give {ndim} axes of real numbers."
        )
    values = array.astype(np.float64) if array.dtype.kind != "f" else array
    if not np.isfinite(values).all():
        raise InputError(f"{path}: {key} holds NaN or infinite values: replace them at the source.")
    return np.asarray(values)


def _sized(
    path: Path, key: str, arrays: Mapping[str, NDArray[np.generic]], size: int, why: str
) -> NDArray[np.float64]:
    values = _finite(path, key, arrays[key], ndim=1)
    if values.size != size:
        raise InputError(
            f"{path}: {key} holds {values.size} values, but {why} is {size}: "
            "save arrays of one library together."
        )
    return values.astype(np.float64)


def _weights(
    path: Path, arrays: Mapping[str, NDArray[np.generic]], n_components: int
) -> NDArray[np.float64]:
    weights = _sized(path, "w", arrays, n_components, "losvd.shape[2]")
    if weights.min() < 0 or not weights.sum() > 0:
        raise InputError(
            f"{path}: w runs from {weights.min():g} to {weights.max():g}: orbit weights are "
            "masses, none below 0 and not all 0."
        )
    return weights


def _bin_numbers(path: Path, array: NDArray[Any], n_bins: int) -> NDArray[np.int32]:
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise InputError(
            f"{path}: binnum has shape {array.shape} and type {array.dtype}: give one integer a "
            "pixel, from 0, and -1 for pixels in no bin."
        )
    used = np.unique(array[array >= 0])
    if (array < -1).any() or not np.array_equal(used, np.arange(n_bins)):
        raise InputError(
            f"{path}: binnum names {used.size} bins up to {used.max(initial=-1)}, but losvd has "
            f"{n_bins}: number the bins 0 to {n_bins - 1}, each with a pixel, and -1 for none."
        )
    return array.astype(np.int32)
