"""Second derivatives between chosen columns of the model itself, by streaming over spaxels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cubefit.inverse.objective import Objective
from cubefit.inverse.operators import Float, Members, Operator


def stream_gram(
    operator: Operator, inverse_noise: Float, one: Members, other: Members, n_bytes: float
) -> Float:
    """Return ``A_one^T W^2 A_other``, shape (W1, W2).

    Parameters
    ----------
    operator : Operator
        The linear model.
    inverse_noise : ndarray, shape (S, L)
        ``W``.
    one, other : Members
        Columns; those of ``one`` are the first of ``other``.
    n_bytes : float
        Memory for the columns of a batch of spaxels: nothing needs S*L*W numbers.
    """
    S, _, _, L = operator.shape
    result = np.zeros((one.size, other.size))
    lit = np.flatnonzero(inverse_noise.any(axis=1))
    # Two copies: of the columns, and of the products that they are made of.
    batch = max(1, min(S, int(n_bytes / (2 * 8 * L * max(other.size, 1)))))
    columns_in = operator.columns(other)
    for start in range(0, lit.size, batch):
        spaxels = lit[start : start + batch]
        columns = columns_in(spaxels)
        columns *= inverse_noise[spaxels]
        flat = columns.reshape(other.size, -1)
        result += flat[: one.size] @ flat.T
    return result


class GramCache:
    """The Gram matrix of a working set, of which each round computes what is new.

    Parameters
    ----------
    operator : Operator
        The linear model.
    objective : Objective
        Its weights and priors count.
    n_bytes : float
        Memory for a batch of columns.
    """

    def __init__(self, operator: Operator, objective: Objective, n_bytes: float) -> None:
        self._operator = operator
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
            rows = stream_gram(
                self._operator, self._objective.inverse_noise, first, members, self._n_bytes
            )
            if self._objective.priors is not None:
                rows += self._objective.priors.gram(first, members)
            gram[np.ix_(fresh, order)] = rows
            gram[np.ix_(order, fresh)] = rows.T
        self._known, self._gram = wanted, gram
        return gram
