"""The exact solver: the global minimum of the objective, with a bound on what is left.

Without smoothness by working sets (`working_set`), with it by an interior-point method
(`interior_point`). Both are generators over states; whoever follows them decides when to stop.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from cubefit.inverse import interior_point, working_set
from cubefit.inverse.certificate import Certificate, Gap
from cubefit.inverse.compressed import CompressedModel
from cubefit.inverse.objective import Evaluation, Objective
from cubefit.inverse.operators import Float

PRECONDITIONER_TOLERANCE: Final = 3e-4
"""Of the templates in the preconditioner, relative singular value: half as many as for choosing
columns make its factors eight times cheaper, and cost a few more products; see docs/solvers.md."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactState:
    """A point on the way to the optimum. Its x is all that is needed to go on."""

    x: Float
    """Weights, shape (C, P), not negative."""
    round: int
    """Rounds behind it."""
    value: float
    """The objective, priors included."""
    chi2: float
    """Of the data alone."""
    gap: Gap
    """The objective is at most this far above its minimum."""
    converged: bool
    """Whether the gap is within the tolerance."""

    @property
    def n_nonzero(self) -> int:
        """Weights above zero."""
        return int(np.count_nonzero(self.x))


@dataclass(frozen=True, slots=True, kw_only=True)
class Exact:
    """All that a fit needs besides its start."""

    objective: Objective
    """Its operators are of float64 arithmetic: in float32 the gap stalls at 5e-5; see
    docs/solvers.md."""
    certificate: Certificate
    model: CompressedModel
    """Both of its misfit."""
    batch_bytes: float
    """For columns of the model, see `gram.stream_gram`."""
    columns_per_round: int = 2
    """Per component."""

    def _state(self, number: int, here: Evaluation, gap_tolerance: float) -> ExactState:
        gap = self.certificate.gap(here)
        return ExactState(
            x=here.x,
            round=number,
            value=here.value,
            chi2=here.chi2,
            gap=gap,
            converged=gap.relative <= gap_tolerance,
        )

    def solve(self, start: Float, gap_tolerance: float) -> Iterator[ExactState]:
        """Yield the start and the state after each round, until converged or at rounding's end.

        Parameters
        ----------
        start : ndarray, shape (C, P)
            Any weights; negative ones count as zero. Not changed.
        gap_tolerance : float
            Relative gap at which to stop.
        """
        start = np.maximum(start, 0.0)
        is_smooth = self.objective.priors is not None and self.objective.priors.is_smooth
        if is_smooth:
            points = interior_point.rounds(
                self.objective,
                self.certificate,
                self.model.coarser(PRECONDITIONER_TOLERANCE),
                start,
            )
        else:
            points = working_set.rounds(
                self.objective,
                self.certificate,
                self.model,
                start,
                gap_tolerance=gap_tolerance,
                count=self.columns_per_round,
                n_bytes=self.batch_bytes,
            )
        for number, here in enumerate(points):
            state = self._state(number, here, gap_tolerance)
            yield state
            if state.converged:
                return
