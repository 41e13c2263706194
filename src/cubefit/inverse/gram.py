"""Second derivatives between chosen columns of some spaxels, by streaming over them."""

from __future__ import annotations

import numpy as np

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
