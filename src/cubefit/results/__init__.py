"""What a solution says, as labelled arrays."""

from __future__ import annotations

from cubefit.results.fit_result import FitResult

__all__ = ["FitResult"]
