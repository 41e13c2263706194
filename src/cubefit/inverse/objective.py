"""The objective of a fit: the weighted misfit over unmasked voxels, and the prior terms."""

from __future__ import annotations

from dataclasses import dataclass

from cubefit.inverse.misfit import Misfit
from cubefit.inverse.operators import Float
from cubefit.inverse.priors import Priors


@dataclass(frozen=True, slots=True)
class Objective:
    """``1/2 || (A x - y) / noise ||^2`` over the voxels in use, and ``1/2 |prior rows x|^2``."""

    misfit: Misfit
    priors: Priors | None = None
    """Prior terms; None where only the data count."""

    def at(self, x: Float) -> Evaluation:
        """Return value and gradient at ``x`` (C, P): one ``A x`` and one ``A^T r``."""
        chi2, gradient = self.misfit.at(x)
        prior = 0.0
        if self.priors is not None:
            prior, gradient = self.priors.value(x), gradient + self.priors.gradient(x)
        return Evaluation(x=x, gradient=gradient, chi2=chi2, value=0.5 * chi2 + prior)

    def curvature(self, direction: Float) -> Float:
        """Return the second derivative times ``direction`` (C, P)."""
        result = self.misfit.curvature(direction)
        return result if self.priors is None else result + self.priors.gradient(direction)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """The objective at one point."""

    x: Float
    """Weights, shape (C, P)."""
    gradient: Float
    """Shape (C, P), prior terms included."""
    chi2: float
    """Of the data alone."""
    value: float
    """The objective: half of chi2, and the prior terms."""
