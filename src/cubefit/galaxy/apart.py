"""What a run reads and what it writes are apart: nothing of the user's is replaced."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cubefit.errors import ConfigError
from cubefit.galaxy.settings import GalaxySettings

MADE: Final = ("orbits.npz", "spectra.npz", "templates.npz", "cube.h5", "steps.json", "products")
"""What a run leaves in its folder."""


def require_apart(settings: GalaxySettings) -> None:
    """Raise ConfigError at an input that the run would replace.

    Parameters
    ----------
    settings : GalaxySettings
        With absolute paths.
    """
    out = Path(settings.galaxy.out).resolve()
    made = [out / name for name in MADE]
    for key, given in inputs_of(settings).items():
        path = Path(given).resolve()
        if any(own == path or own in path.parents for own in made):
            raise ConfigError(
                f"{key} = {given} would be replaced by what the run leaves in galaxy.out = {out}: "
                "choose another galaxy.out."
            )


def inputs_of(settings: GalaxySettings) -> dict[str, str]:
    """Return the paths that settings name, by their keys."""
    lsf, options = settings.cube.lsf, settings.orbits.options
    named = {
        "cube.path": settings.cube.path,
        "cube.lsf": lsf if lsf != "muse" else None,
        "bins.path": settings.bins.path,
        "orbits.path": settings.orbits.path,
        "orbits.mapping": settings.orbits.mapping,
        **{f"orbits.options.{key}": options.get(key) for key in ("config", "weights")},
        "ssp.path": settings.ssp.path,
    }
    return {key: path for key, path in named.items() if isinstance(path, str)}
