"""The axes of the templates, and the properties that each template has by them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cubefit.errors import InputError
from cubefit.inputs.axes import our_name

Float = NDArray[np.float64]

UNITS: Final = {"metal": "dex", "age": "Gyr", "alpha": "dex"}
LONG_NAMES: Final = {"metal": "[M/H]", "age": "age", "alpha": "[alpha/Fe]"}
RESERVED: Final = frozenset({"component", "population", "spaxel", "pixel", "x", "y"})
"""Names of our own dimensions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One axis of the templates."""

    name: str
    values: Float
    """Shape (n,)."""

    @property
    def unit(self) -> str:
        """Unit of the values; empty where it is not known."""
        return UNITS.get(self.name, "")

    @property
    def long_name(self) -> str:
        """What the values are."""
        return LONG_NAMES.get(self.name, self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Property:
    """A number that every template has."""

    values: Float
    """Shape (P,)."""
    unit: str
    long_name: str


def axes_of(values: Mapping[str, Sequence[float]]) -> tuple[Axis, ...]:
    """Return the template axes under our names: ``metal``, ``age``, ``alpha``, others as they are.

    Parameters
    ----------
    values : mapping of str to sequence
        Values of each axis under the file's name, in order; empty where the file has none.
    """
    axes: list[Axis] = []
    for name, numbers in values.items():
        ours = our_name(name)
        if ours in {axis.name for axis in axes}:
            ours = name
        if ours in RESERVED:
            ours = f"template_{ours}"
        axes.append(Axis(name=ours, values=np.asarray(numbers, np.float64)))
    return tuple(axes)


def properties_of(axes: tuple[Axis, ...]) -> dict[str, Property]:
    """Return what every template has by the axes, P in C order; ages as ``log_age``.

    Raises
    ------
    InputError
        If there are ages that have no logarithm.
    """
    if not axes:
        return {}
    meshes = np.meshgrid(*(axis.values for axis in axes), indexing="ij")
    found = {}
    for axis, mesh in zip(axes, meshes, strict=True):
        values = mesh.ravel()
        if axis.name != "age":
            found[axis.name] = Property(values=values, unit=axis.unit, long_name=axis.long_name)
            continue
        if not (values > 0).all():
            raise InputError(
                f"The template ages reach down to {values.min():g}: mean ages need ages above zero "
                "in Gyr (not their logarithm); populate with template_axes of those."
            )
        found["log_age"] = Property(
            values=np.log10(values), unit="dex", long_name="log10(age / Gyr)"
        )
    return found
