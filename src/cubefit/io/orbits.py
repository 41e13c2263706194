"""Orbit libraries: one door for all formats, and the libraries that come with CubeFit."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cubefit.errors import ConfigError, InputError
from cubefit.io.dynamite import model_files, read_dynamite
from cubefit.io.orbit_files import npz_format, read_agama_npz, read_orbits_npz
from cubefit.io.orbit_options import require_options
from cubefit.prepare.orbit_library import OrbitLibrary

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "OrbitLibrary",
    "bundled_orbits",
    "orbit_files",
    "orbit_format",
    "read_orbits",
    "read_orbits_npz",
]

BUNDLED_SIZES: Final = ("small", "medium")
"""Orbit libraries that the package carries."""

_READERS: Final[dict[str, Callable[..., OrbitLibrary]]] = {
    "npz": read_orbits_npz,
    "agama": read_agama_npz,
    "dynamite": read_dynamite,
}

ORBIT_FORMATS: Final = ("auto", *_READERS)
"""What `read_orbits` reads."""


def read_orbits(path: Path | str, format: str = "auto", **options: Any) -> OrbitLibrary:  # noqa: A002
    """Read an orbit library.

    Parameters
    ----------
    path : path
        An npz file, or the folder of a DYNAMITE model.
    format : {"auto", "npz", "agama", "dynamite"}
        "auto" takes a folder as DYNAMITE's, and looks at the keys of an npz file.
    **options
        Of the format: those of `cubefit.io.dynamite.read_dynamite` (``config``, ``kinematics``,
        ``bundle``, ...) or `cubefit.io.agama.orbits_from_agama` (``vel_edges``, ...); npz has
        none.

    Returns
    -------
    OrbitLibrary

    Raises
    ------
    InputError, GridError
        If the files are missing, damaged or contradict each other.
    ConfigError
        If the format is unknown, or an option is none of its options, or of a wrong type.
    """
    where = Path(path)
    return _READERS[_checked_format(where, format, options)](where, **options)


def orbit_files(path: Path | str, format: str = "auto", **options: Any) -> list[Path]:  # noqa: A002
    """Return the files that `read_orbits` reads with the same arguments.

    Raises
    ------
    InputError
        If there are none.
    ConfigError
        As there.
    """
    where = Path(path)
    if _checked_format(where, format, options) != "dynamite":
        return [where]
    weights = options.get("weights")
    named = Path(weights) if isinstance(weights, str | Path) else None
    return model_files(where, options.get("config"), named)


def orbit_format(path: Path) -> str:
    """Return the format of an orbit library: "dynamite", "agama" or "npz".

    Raises
    ------
    InputError
        If there is nothing of that name, or it is no npz file.
    """
    if path.is_dir():
        return "dynamite"
    if not path.exists():
        raise InputError(f"{path} does not exist: give an npz file or the folder of a model.")
    return npz_format(path)


def _checked_format(path: Path, format: str, options: Mapping[str, Any]) -> str:  # noqa: A002
    """Return the format of a library, or refuse options that it does not have."""
    if format not in ORBIT_FORMATS:
        raise ConfigError(f"format={format!r}: must be one of {', '.join(ORBIT_FORMATS)}.")
    found = orbit_format(path) if format == "auto" else format
    require_options(options, found, str(path))
    return found


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
