"""Options of the formats of orbit libraries, with their types: mistyped ones are refused."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeAlias, get_args, get_type_hints

import msgspec
import numpy as np
from msgspec import Meta, Struct

from cubefit.errors import ConfigError

Scale: TypeAlias = Annotated[float, Meta(gt=0)]


class NpzOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """CubeFit's own npz files say all themselves."""


class DynamiteOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of `cubefit.io.dynamite.read_dynamite`."""

    config: Annotated[str | None, "the path of DYNAMITE's configuration file"] = None
    sets: Annotated[Any, "a list of KinematicSet"] = None
    kinematics: Annotated[int | str, "the place, from 0, or the name of a kinematic set"] = 0
    bundle: Annotated[Any, "a BundleBins, or the component of each orbit"] = None
    weights: Annotated[Any, "a path, or a number for each orbit"] = None
    velocity_scale: Annotated[Scale | None, "a factor above 0 on all velocities"] = None
    flip_tubes: Annotated[bool | None, "true or false"] = None
    zero_ends: Annotated[bool, "true or false"] = True


class AgamaOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of `cubefit.io.agama.orbits_from_agama`, but for what the file says."""

    vel_edges: Annotated[list[float] | None, "rising edges of velocity bins in km/s"] = None
    bundle: Annotated[Any, "a BundleBins, or the component of each orbit"] = None
    velocity_scale: Annotated[Scale, "a factor above 0 on all velocities"] = 1.0
    x_points_left: Annotated[bool, "true or false"] = False
    negative: Annotated[Literal["refuse", "zero"], "'refuse' or 'zero'"] = "refuse"


OPTIONS: Final[dict[str, type[Struct]]] = {
    "npz": NpzOptions,
    "agama": AgamaOptions,
    "dynamite": DynamiteOptions,
}


def require_options(options: Mapping[str, Any], format: str, where: str) -> None:  # noqa: A002
    """Refuse options that a format of orbit libraries does not have, or of a wrong type.

    Parameters
    ----------
    options : mapping
        As given to `cubefit.io.orbits.read_orbits`.
    format : {"npz", "agama", "dynamite"}
        The format.
    where : str
        What the error messages start with, such as the path of the library.

    Raises
    ------
    ConfigError
        It names the option, and the nearest valid one or what the option must be.
    """
    known = get_type_hints(OPTIONS[format], include_extras=True)
    if options and not known:
        raise ConfigError(
            f"{where} is an {format} library, and has no options {', '.join(options)}: leave them "
            "out, or use the methods of the OrbitLibrary."
        )
    for key, value in options.items():
        if key not in known:
            near = difflib.get_close_matches(key.lower(), known, n=1, cutoff=0.5)
            mend = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(known)}."
            raise ConfigError(
                f"{where}: orbit libraries of the format {format} have no option {key!r}; {mend}"
            )
        due = get_args(known[key])[-1]
        try:
            msgspec.convert(_plain(value), known[key])
        except msgspec.ValidationError as error:
            raise ConfigError(f"{where}: option {key} = {value!r}: give {due}.") from error


def _plain(value: Any) -> Any:
    """Return paths and numbers of NumPy as the plain types that they stand for."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
