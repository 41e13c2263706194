"""The Gram matrix of a working set, kept from round to round."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cubefit.inverse.objective import Objective
from cubefit.inverse.operators import Float, Members


class GramCache:
    """The Gram matrix of a working set, of which each round computes what is new.

    Parameters
    ----------
    objective : Objective
        Of the fit.
    n_bytes : float
        Memory for a batch of columns.
    """

    def __init__(self, objective: Objective, n_bytes: float) -> None:
        self._objective = objective
        self._n_bytes = n_bytes
        self._known = np.empty(0, np.intp)
        self._gram: Float = np.empty((0, 0))

    def of(self, chosen: NDArray[np.bool_]) -> Float:
        """Return the Gram matrix of the columns chosen (C, P), in C order, and keep it."""
        P = chosen.shape[1]
        wanted = np.flatnonzero(chosen)
        _, here, there = np.intersect1d(
            wanted, self._known, assume_unique=True, return_indices=True
        )
        gram = np.empty((wanted.size, wanted.size))
        gram[np.ix_(here, here)] = self._gram[np.ix_(there, there)]
        fresh = np.setdiff1d(np.arange(wanted.size), here, assume_unique=True)
        if fresh.size:
            order = np.concatenate([fresh, here])
            numbers = wanted[order]
            members = Members(numbers // P, numbers % P)
            first = Members(members.components[: fresh.size], members.populations[: fresh.size])
            rows = self._objective.misfit.gram(first, members, self._n_bytes)
            if self._objective.priors is not None:
                rows = rows + self._objective.priors.gram(first, members)
            gram[np.ix_(fresh, order)] = rows
            gram[np.ix_(order, fresh)] = rows.T
        self._known, self._gram = wanted, gram
        return gram
