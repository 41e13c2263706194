"""What a fit will weigh altogether, roughly, before it is made."""

from __future__ import annotations

import numpy as np

from cubefit.inverse.compressed import CompressedModel
from cubefit.inverse.objective import Evaluation
from cubefit.inverse.operators import Float
from cubefit.inverse.working_set import solve_members


def one_population_total(model: CompressedModel, here: Evaluation, weights: Float) -> float:
    """Return the total of the best fit in which all orbits share one mix of populations.

    Parameters
    ----------
    model : CompressedModel
        Second derivatives of the misfit.
    here : Evaluation
        The objective at x = 0.
    weights : ndarray, shape (C,)
        Orbit weights, any scale.
    """
    shares = weights / weights.sum()
    small = np.einsum("c,ckdl,d->kl", shares, model.curvature, shares, optimize=True)
    gram = model.basis @ small @ model.basis.T
    gradient = (shares @ here.gradient)[None]
    every = np.ones(gradient.shape, bool)
    start = np.zeros(gradient.shape)
    return float(solve_members(gram, gradient, start, every, start).sum())
