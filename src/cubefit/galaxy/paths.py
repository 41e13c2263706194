"""The paths of a run: where they count from, what is there, and that nothing is replaced."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

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


def require_there(settings: GalaxySettings) -> None:
    """Raise ConfigError at an input that does not exist."""
    for key, given in inputs_of(settings).items():
        if not Path(given).exists():
            named = " ('muse' is a name)" if key == "cube.lsf" else ""
            raise ConfigError(f"{key} = {given}: there is no such file{named}; mend its name.")


def inputs_of(settings: GalaxySettings) -> dict[str, str]:
    """Return the paths that settings name, by their keys."""
    lsf, options = settings.cube.lsf, settings.orbits.options
    named = {
        "cube.path": settings.cube.path,
        "cube.spatial_mask": settings.cube.spatial_mask,
        "cube.lsf": lsf if lsf != "muse" else None,
        "bins.path": settings.bins.path,
        "orbits.path": settings.orbits.path,
        "orbits.mapping": settings.orbits.mapping,
        **{f"orbits.options.{key}": options.get(key) for key in ("config", "weights")},
        "ssp.path": settings.ssp.path,
    }
    return {key: path for key, path in named.items() if isinstance(path, str)}


def with_absolute_paths(settings: GalaxySettings, folder: Path) -> GalaxySettings:
    """Return settings whose paths count from a folder as absolute ones."""

    def absolute(given: str) -> str:
        if not given.strip() or "\0" in given:
            raise ConfigError(f"{given!r} in the settings in {folder} is no path: name one.")
        try:
            return str((folder / Path(given).expanduser()).absolute())
        except RuntimeError as error:
            raise ConfigError(
                f"{given!r} in the settings in {folder}: there is no such user, write the folder "
                "out."
            ) from error

    return _with_paths(settings, absolute)


def with_names_of_paths(settings: GalaxySettings) -> GalaxySettings:
    """Return settings with the last part of each path alone, and no ``out``.

    Where folders lie decides nothing.

    What stands in the files is digested, see `cubefit.galaxy.record.Record`.
    """
    nowhere = msgspec.structs.replace(settings.galaxy, out="")
    settings = msgspec.structs.replace(settings, galaxy=nowhere)
    return _with_paths(settings, lambda path: Path(path).name)


def _with_paths(settings: GalaxySettings, change: Callable[[str], str]) -> GalaxySettings:
    """Return settings with another text for each path."""
    cube, bins = settings.cube, settings.bins
    replace = msgspec.structs.replace
    lsf = change(cube.lsf) if isinstance(cube.lsf, str) and cube.lsf != "muse" else cube.lsf
    mask = cube.spatial_mask if cube.spatial_mask is None else change(cube.spatial_mask)
    options = dict(settings.orbits.options)
    for key in ("config", "weights"):
        if isinstance(options.get(key), str):
            options[key] = change(options[key])
    return replace(
        settings,
        galaxy=replace(settings.galaxy, out=change(settings.galaxy.out)),
        cube=replace(cube, path=change(cube.path), lsf=lsf, spatial_mask=mask),
        bins=bins if bins.path is None else replace(bins, path=change(bins.path)),
        orbits=replace(
            settings.orbits,
            path=change(settings.orbits.path),
            mapping=None if settings.orbits.mapping is None else change(settings.orbits.mapping),
            options=options,
        ),
        ssp=replace(settings.ssp, path=change(settings.ssp.path)),
    )
