"""Weights of some stars alone: of chosen components, ages and metallicities."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cubefit.errors import ConfigError, MissingDataError
from cubefit.results.axes import Axis

Float = NDArray[np.float64]
Limits = tuple[float, float]


def chosen_weights(
    x: Float,
    axes: tuple[Axis, ...],
    path: Path,
    *,
    components: Sequence[int] | None,
    limits: dict[str, Limits | None],
) -> Float:
    """Return weights (C, P) that are zero but for the chosen stars.

    Parameters
    ----------
    x : ndarray, shape (C, P)
        Weights.
    axes : tuple of Axis
        Of the templates, P in C order.
    path : Path
        Of the file, for errors.
    components : sequence of int or None
        Those that count; None for all.
    limits : dict
        Least and largest value that counts, by the name of an axis; None for all.

    Raises
    ------
    ConfigError
        If there is no such component, or no template in a range.
    MissingDataError
        If an axis is not known.
    """
    of_component = np.ones(len(x), np.bool_)
    if components is not None:
        require_numbers("components", components, len(x), path)
        of_component[:] = False
        of_component[list(components)] = True
    of_population = np.ones(x.shape[1], np.bool_)
    for name, wanted in limits.items():
        if wanted is not None:
            of_population &= _templates_within(axes, path, name, wanted)
    return np.where(of_component[:, None] & of_population, x, 0.0)


def require_numbers(name: str, chosen: Sequence[int], count: int, path: Path) -> None:
    """Raise ConfigError at numbers that a file of ``count`` does not have."""
    wrong = [number for number in chosen if not 0 <= number < count]
    if wrong:
        raise ConfigError(
            f"{name} {', '.join(map(str, wrong))} are not in {path}: it has 0 to {count - 1}."
        )


def _templates_within(
    axes: tuple[Axis, ...], path: Path, name: str, limits: Limits
) -> NDArray[np.bool_]:
    """Return which templates have the value of an axis between two, shape (P,)."""
    known = {axis.name: axis for axis in axes}
    if name not in known:
        raise MissingDataError(
            f"{path} does not know the {name} of its templates: populate with template_axes=, the "
            "values of each axis by name."
        )
    low, high = limits
    values, unit = known[name].values, known[name].unit
    if not ((values >= low) & (values <= high)).any():
        raise ConfigError(
            f"{name} {low:g} to {high:g} {unit} holds no template of {path}, whose values run from "
            f"{values.min():g} to {values.max():g}: give a range that holds some, its lower end "
            "first."
        )
    meshes = np.meshgrid(*(axis.values for axis in axes), indexing="ij")
    mesh = meshes[list(known).index(name)].ravel()
    return np.asarray((mesh >= low) & (mesh <= high))
