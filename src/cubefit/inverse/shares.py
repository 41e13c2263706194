"""Spaxels in shares: what a fit asks of the data is always a sum over spaxels.

On one machine there is one share. On a cluster there are many, each where its LOSVDs and spectra
lie, and only what adds up travels. The solvers see neither: they ask for totals.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from cubefit.inverse.observed import Observed
from cubefit.inverse.operators import Operator

T_co = TypeVar("T_co", covariant=True)
U = TypeVar("U")

Sums = tuple[Any, ...]
"""Numbers and arrays, each of which adds to its like of another share."""


@dataclass(frozen=True, slots=True)
class Share:
    """Model and spectra of some neighbouring spaxels."""

    operator: Operator
    """Of these spaxels alone."""
    observed: Observed
    first: int = 0
    """Number of the first spaxel in the cube."""


class Shares(Protocol[T_co]):
    """All spaxels; of each share something is held, a `Share` or what was made of it.

    Functions that are handed over are those of a module, because they may travel.
    """

    @property
    def are_here(self) -> bool:
        """Whether this process holds them."""
        ...

    def facts(self) -> dict[str, Any]:
        """Return what one who watches the fit may want to know of where they lie."""
        ...

    def total(self, part: Callable[..., Sums], *given: Any) -> Sums:
        """Return the sum over the shares of ``part(held, *given)``, always in the same order."""
        ...

    def any_of(self, ask: Callable[..., U], *given: Any) -> U:
        """Return ``ask(held, *given)`` of any one share: of what they have in common."""
        ...

    def each(self, make: Callable[..., U], *given: Any) -> Shares[U]:
        """Return the shares of what ``make(held, *given)`` makes of each."""
        ...


class OneShare(Shares[T_co]):
    """All spaxels in this process.

    Parameters
    ----------
    held : object
        What is held of them.
    """

    def __init__(self, held: T_co) -> None:
        self._held = held

    @property
    def held(self) -> T_co:
        """What is held of them."""
        return self._held

    @property
    def are_here(self) -> bool:
        """Yes."""
        return True

    def facts(self) -> dict[str, Any]:
        """Nothing: they lie here."""
        return {}

    def total(self, part: Callable[..., Sums], *given: Any) -> Sums:
        """Return ``part(held, *given)``."""
        return part(self._held, *given)

    def any_of(self, ask: Callable[..., U], *given: Any) -> U:
        """Return ``ask(held, *given)``."""
        return ask(self._held, *given)

    def each(self, make: Callable[..., U], *given: Any) -> Shares[U]:
        """Return the share of ``make(held, *given)``."""
        return OneShare(make(self._held, *given))


def one_share(operator: Operator, observed: Observed) -> OneShare[Share]:
    """Return all spaxels of a model and its data as one share."""
    return OneShare(Share(operator, observed))


def cut_evenly(n_spaxels: int, count: int) -> list[tuple[int, int]]:
    """Return the first spaxel, and the one after the last, of each of ``count`` parts."""
    bounds = [n_spaxels * i // count for i in range(count + 1)]
    return list(itertools.pairwise(bounds))
