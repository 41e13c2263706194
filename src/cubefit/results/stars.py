"""Weights of some stars alone: of chosen components, ages and metallicities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cubefit.errors import ConfigError, MissingDataError
from cubefit.results.axes import Axis

Float = NDArray[np.float64]
Limits = tuple[float, float]
ROUNDING: Final = 1e-5
"""Of values in float32, and of those that are told: both ends of a range are in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stars:
    """Which stars count; those that fulfil all of it.

    Raises
    ------
    ConfigError
        If a choice is none: no number, a number twice, or a range without two ends.
    """

    components: tuple[int, ...] | None = None
    """Numbers, or None for all."""
    ages: Limits | None = None
    """Youngest and oldest in Gyr, both included."""
    metals: Limits | None = None
    """Lowest and highest [M/H], both included."""

    def __post_init__(self) -> None:
        """Check what can be checked without a file."""
        if self.components is not None:
            require_distinct("components", self.components)
        for name, limits in (("ages", self.ages), ("metals", self.metals)):
            if limits is not None:
                _require_limits(name, limits)

    @property
    def are_all(self) -> bool:
        """Whether nothing is left out."""
        return self.components is None and self.ages is None and self.metals is None

    def told(self) -> list[str]:
        """Return each choice in words."""
        words = []
        if self.components is not None:
            plural = "s" if len(self.components) > 1 else ""
            words.append(f"component{plural} {as_ranges(self.components)}")
        if self.ages is not None:
            words.append(f"ages {self.ages[0]:g} to {self.ages[1]:g} Gyr")
        if self.metals is not None:
            words.append(f"[M/H] {self.metals[0]:g} to {self.metals[1]:g}")
        return words

    def weights_of(self, x: Float, axes: tuple[Axis, ...], path: Path) -> Float:
        """Return weights (C, P) that are zero but for these stars.

        Parameters
        ----------
        x : ndarray, shape (C, P)
            Weights.
        axes : tuple of Axis
            Of the templates, P in C order.
        path : Path
            Of the file, for errors.

        Raises
        ------
        ConfigError
            If there is no such component, or no template in a range.
        MissingDataError
            If an axis is not known.
        """
        of_component = np.ones(len(x), np.bool_)
        if self.components is not None:
            require_numbers("components", self.components, len(x), path)
            of_component[:] = False
            of_component[list(self.components)] = True
        of_population = np.ones(x.shape[1], np.bool_)
        for name, limits in (("age", self.ages), ("metal", self.metals)):
            if limits is not None:
                of_population &= _templates_within(axes, path, name, limits)
        return np.where(of_component[:, None] & of_population, x, 0.0)


ALL_STARS: Final = Stars()


def stars_of(**choices: Any) -> Stars:
    """Return which stars count by sequences of numbers, None for all; see `Stars`.

    Raises
    ------
    ConfigError
        If one is no sequence, or as `Stars`.
    """
    try:
        found = {name: tuple(chosen) for name, chosen in choices.items() if chosen is not None}
    except TypeError:
        raise ConfigError(f"{choices}: give sequences of numbers.") from None
    return Stars(**found)


def as_ranges(numbers: Sequence[int]) -> str:
    """Return whole numbers in order, runs of them as ranges: ``0, 3-5``."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(r[0]) if len(r) == 1 else f"{r[0]}-{r[-1]}" for r in runs)


def require_distinct(name: str, chosen: Sequence[Any]) -> None:
    """Raise ConfigError unless there are whole numbers, each once."""
    whole = all(isinstance(n, int | np.integer) and not isinstance(n, bool) for n in chosen)
    if not chosen or not whole or len(set(chosen)) < len(chosen):
        raise ConfigError(f"{name}={chosen}: give at least one number, each once.")


def _require_limits(name: str, limits: Sequence[Any]) -> None:
    numbers = [limit for limit in limits if isinstance(limit, int | float | np.number)]
    if not (len(limits) == len(numbers) == 2 and numbers[0] <= numbers[1]):
        raise ConfigError(f"{name}={limits}: give the lower end of a range, and the upper.")


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
    rounding = ROUNDING * np.maximum(np.abs(values), 1.0)
    inside = (values >= low - rounding) & (values <= high + rounding)
    if not inside.any():
        raise ConfigError(
            f"{name} {low:g} to {high:g} {unit} holds no template of {path}, whose values run from "
            f"{values.min():g} to {values.max():g}: give a range that holds some, its lower end "
            "first."
        )
    chosen = [inside if axis.name == name else np.ones(axis.values.size, bool) for axis in axes]
    return np.asarray(np.logical_and.reduce(np.meshgrid(*chosen, indexing="ij"))).ravel()
