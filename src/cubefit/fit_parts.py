"""The parts that a fit of a file is put together from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubefit.config import Normalization
from cubefit.inverse.misfit import Misfit
from cubefit.inverse.shares import OneShare, Share
from cubefit.store.resume import Earlier

Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class FitParts:
    """What every method fits: model, data, and what is known from before."""

    path: Path
    misfit: Misfit
    template_shape: tuple[int, ...]
    """Sizes of the template axes."""
    operator: str
    normalization: Normalization
    run: dict[str, Any]
    """What identifies the fit."""
    x0: Float | None
    """The user's start, shape (C, P)."""
    earlier: Earlier | None
    """What the file holds to go on from."""

    @property
    def share(self) -> Share:
        """All spaxels, which this process holds."""
        assert isinstance(self.misfit.shares, OneShare)  # noqa: S101 - Kaczmarz takes no other
        held: Share = self.misfit.shares.held
        return held

    def told(self, origin: str) -> str:
        """Return where the fit starts, for the log."""
        note = "" if self.earlier is None else self.earlier.note
        return f"{origin} ({note})" if note else origin
