"""Settings out of a TOML file: everything wrong in it is said with its place and its mend."""

from __future__ import annotations

import difflib
import math
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

import msgspec

from cubefit.config import require_smoothness
from cubefit.errors import ConfigError
from cubefit.galaxy.paths import with_absolute_paths
from cubefit.galaxy.settings import TABLES, CubeTable, GalaxySettings, OrbitsTable

LEAST_ANGSTROM: Final = 1000.0
"""Wavelengths below are none of stars' spectra in Angstrom, but in nanometres or microns."""


def read_settings(path: str | Path) -> GalaxySettings:
    """Return the settings of a TOML file; paths in it count from its folder.

    Parameters
    ----------
    path : str or Path
        As `cubefit.galaxy.settings_template` explains it.

    Returns
    -------
    GalaxySettings
        With absolute paths.

    Raises
    ------
    ConfigError
        If the file is missing or no TOML, or a key is unknown, mistyped, missing, or out of its
        range; the message names it, and the nearest valid one.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(
            f"{path} is no file: give a file of settings; `cubefit init` writes one to begin with."
        )
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read ({error.strerror}): get read permission."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is no TOML ({error}): mend that place.") from error
    return settings_of(given, path)


def settings_of(given: Mapping[str, Any], path: Path) -> GalaxySettings:
    """Return settings given as tables of keys; ``path`` is where they stand."""
    require_known_keys(given, path)
    require_finite(given, path)
    try:
        found = msgspec.convert(dict(given), GalaxySettings)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {_in_words(str(error))}") from error
    require_consistent(found, path)
    return with_absolute_paths(found, path.resolve().parent)


def require_consistent(settings: GalaxySettings, path: Path) -> None:
    """Raise ConfigError at settings that contradict one another or cannot be meant."""
    if not isinstance(settings.fit.regularization, str):
        require_smoothness(settings.fit.regularization)
    if not -0.1 < settings.galaxy.redshift < 10:
        raise ConfigError(
            f"{path}: galaxy.redshift = {settings.galaxy.redshift:g}: give z, not km/s (divide by "
            "299792.458)."
        )
    require_cube(settings.cube, path)
    for key in ("ages", "metals", "alphas"):
        require_rising(f"{path}: ssp.{key}", getattr(settings.ssp, key))
    require_options(settings.orbits, path)
    require_bundles(settings.orbits, path)


def require_cube(cube: CubeTable, path: Path) -> None:
    """Raise ConfigError at a resolution or a range of wavelengths that cannot be meant."""
    if isinstance(cube.lsf, float) and cube.lsf <= 0:
        raise ConfigError(f"{path}: cube.lsf = {cube.lsf}: give a FWHM above 0.")
    require_rising(f"{path}: cube.wave_range", cube.wave_range)
    if cube.wave_range is not None and cube.wave_range[0] < LEAST_ANGSTROM:
        raise ConfigError(
            f"{path}: cube.wave_range = {list(cube.wave_range)}: give Angstrom, from "
            f"{LEAST_ANGSTROM:g} on."
        )


def require_rising(name: str, pair: tuple[float, float] | None) -> None:
    """Raise ConfigError unless the first of two numbers is the lower."""
    if pair is not None and not pair[0] <= pair[1]:
        raise ConfigError(f"{name} = {list(pair)}: give the lower first.")


def require_bundles(orbits: OrbitsTable, path: Path) -> None:
    """Raise ConfigError at ways to bundle orbits that are none, or several."""
    for key in ("radius", "circularity"):
        bins = getattr(orbits, key)
        if isinstance(bins, tuple) and (len(bins) < 2 or list(bins) != sorted(set(bins))):
            raise ConfigError(f"{path}: orbits.{key} = {list(bins)}: give two or more, rising.")
    if orbits.mapping is not None and orbits.radius is not None:
        raise ConfigError(f"{path}: orbits.mapping and orbits.radius both bundle: give one.")
    if (orbits.radius is None) != (orbits.circularity is None):
        raise ConfigError(
            f"{path}: orbits.radius and orbits.circularity go together: give both, 1 for what is "
            "not to be divided."
        )


def require_options(orbits: OrbitsTable, path: Path) -> None:
    """Raise ConfigError at further arguments of `read_orbits` that are keys, or of a wrong type."""
    for key, value in orbits.options.items():
        if key in {"path", "format", "bundle"}:
            raise ConfigError(
                f"{path}: orbits.options.{key} is none: the keys of [orbits] say it, leave it out."
            )
        if key in {"config", "weights"} and not isinstance(value, str):
            raise ConfigError(f"{path}: orbits.options.{key} = {value}: give a path in quotes.")


def as_tables(settings: GalaxySettings) -> dict[str, dict[str, Any]]:
    """Return settings as plain tables of keys."""
    plain: dict[str, dict[str, Any]] = msgspec.to_builtins(settings)
    return plain


def require_known_keys(given: Mapping[str, Any], path: Path) -> None:
    """Raise ConfigError at the first unknown table or key, and name the nearest valid one."""
    for name, table in given.items():
        if name not in TABLES:
            raise ConfigError(f"{path}: there is no table [{name}]; {_nearest(name, TABLES)}.")
        if not isinstance(table, Mapping):
            raise ConfigError(f"{path}: {name} is a table: write [{name}] and its keys below.")
        known = TABLES[name].__struct_fields__
        for key in table:
            if key not in known:
                raise ConfigError(f"{path}: [{name}] has no key {key!r}; {_nearest(key, known)}.")


def require_finite(given: Mapping[str, Any], path: Path) -> None:
    """Raise ConfigError at nan and inf, which TOML has words for."""
    for where, value in _leaves(given, ""):
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{path}: {where} = {value}: give a finite number.")


def _leaves(value: Any, where: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{where}.{key}".lstrip("."))
    elif isinstance(value, list):
        for n, inner in enumerate(value):
            yield from _leaves(inner, f"{where}[{n}]")
    else:
        yield where, value


def _nearest(word: str, known: Mapping[str, Any] | tuple[str, ...]) -> str:
    found = _closest(word, known)
    return f"did you mean {found!r}?" if found else f"choose one of {', '.join(known)}"


def _closest(word: str, known: Iterable[str]) -> str | None:
    found = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.5)
    return found[0] if found else None


def _in_words(problem: str) -> str:
    """Return a message of msgspec as one of ours: the place first, as TOML has it."""
    told, _, place = problem.partition(" - at `$.")
    missing = re.fullmatch(r"Object missing required field `(\w+)`", told)
    where = place.rstrip("`")
    if missing:
        name = missing.group(1)
        if not where:
            return f"the table [{name}] is missing: add it; `cubefit init` writes all of them."
        return f"[{where}] lacks {name}: give it; `cubefit init` explains every key."
    wrong = re.fullmatch(r"Invalid enum value '(.*)'", told)
    choices = choices_of(where) if wrong else ()
    mend = f"choose of {', '.join(choices)}" if choices else "`cubefit init` explains every key"
    if wrong and (found := _closest(wrong.group(1), choices)):
        mend = f"did you mean {found!r}? Else {mend}"
    return f"{where}: {told[0].lower()}{told[1:]}; {mend}."


def choices_of(where: str) -> tuple[str, ...]:
    """Return the words that a key may have, such as of ``cube.medium``."""
    table, _, key = where.partition(".")
    key = key.partition("[")[0]
    return tuple(_words(get_type_hints(TABLES[table])[key]))


def _words(kind: Any) -> Iterator[str]:
    if get_origin(kind) is Literal:
        yield from (word for word in get_args(kind) if isinstance(word, str))
    else:
        for part in get_args(kind):
            yield from _words(part)
