"""Orbit libraries in npz files: CubeFit's own layout, and B-spline amplitudes of AGAMA."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cubefit.errors import InputError
from cubefit.io.agama import orbits_from_agama
from cubefit.io.npz import open_npz
from cubefit.prepare.orbit_library import ArrayNames, OrbitLibrary, checked_library

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.lib.npyio import NpzFile
    from numpy.typing import NDArray

_SKY_KEYS: Final = ("xpix", "ypix", "binnum", "w")
REQUIRED_KEYS: Final = ("losvd", "vel", *_SKY_KEYS)
AGAMA_KEYS: Final = ("amplitudes", "gridv", "degree", *_SKY_KEYS)
PROPERTY_PREFIX: Final = "orb_"

_NAMES: Final = ArrayNames(weights="w", x="xpix", y="ypix", property_prefix=PROPERTY_PREFIX)


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
    arrays, properties = _load(Path(path), REQUIRED_KEYS)
    return checked_library(
        str(path),
        losvd=arrays["losvd"],
        vel=arrays["vel"],
        weights=arrays["w"],
        binnum=arrays["binnum"],
        x=arrays["xpix"],
        y=arrays["ypix"],
        properties=properties,
        names=_NAMES,
    )


def read_agama_npz(path: Path, **options: Any) -> OrbitLibrary:
    """Read B-spline amplitudes of AGAMA's LOSVD targets from an npz file.

    Parameters
    ----------
    path : Path
        Holds ``amplitudes``, ``gridv`` and ``degree`` as in `orbits_from_agama`, and ``xpix``,
        ``ypix``, ``binnum``, ``w`` and any ``orb_<name>`` as in `read_orbits_npz`.
    **options
        Passed to `orbits_from_agama`.

    Raises
    ------
    InputError, GridError, ConfigError
        See `orbits_from_agama`.
    """
    arrays, properties = _load(Path(path), AGAMA_KEYS)
    degree = arrays["degree"]
    if degree.size != 1 or degree.dtype.kind not in "iu":
        raise InputError(
            f"{path}: degree has shape {degree.shape} and type {degree.dtype}: give one integer."
        )
    return orbits_from_agama(
        arrays["amplitudes"],
        arrays["gridv"],
        int(degree.item()),
        binnum=arrays["binnum"],
        x=arrays["xpix"],
        y=arrays["ypix"],
        weights=arrays["w"],
        properties=properties,
        source=str(path),
        names=_NAMES,
        **options,
    )


def npz_format(path: Path) -> str:
    """Return "npz" or "agama", whichever the keys of an npz file say.

    Raises
    ------
    InputError
        If it is no npz.
    """
    with open_npz(path) as stored:
        return "agama" if "amplitudes" in stored and "losvd" not in stored else "npz"


def _load(
    path: Path, required: Sequence[str]
) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
    """Return the required arrays, and the properties without their prefix."""
    with open_npz(path) as stored:
        _require_keys(path, stored, required)
        arrays = {key: stored[key] for key in required}
        properties = {
            key.removeprefix(PROPERTY_PREFIX): stored[key]
            for key in stored.files
            if key.startswith(PROPERTY_PREFIX)
        }
    return arrays, properties


def _require_keys(path: Path, stored: NpzFile, required: Sequence[str]) -> None:
    missing = [key for key in required if key not in stored]
    if missing:
        raise InputError(
            f"{path} lacks {', '.join(missing)}; it holds {', '.join(stored.files)}: "
            f"save all of {', '.join(required)} with np.savez."
        )
