"""What a solution says, as labelled arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cubefit.results.fit_result import FitResult

__all__ = ["FitResult"]


def __getattr__(name: str) -> Any:
    """Import the result on first use: xarray takes a second, and the axes do without it."""
    if name == "FitResult":
        from cubefit.results.fit_result import FitResult  # noqa: PLC0415

        return FitResult
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
