"""A file as its viewers see it, also while it is written."""

from __future__ import annotations

from cubefit.live.file import LiveFile, Look
from cubefit.live.galaxy import Galaxy
from cubefit.live.words import headline, tone_of, what_is_fitted
from cubefit.store.viewing import SpaxelSpectrum

__all__ = [
    "Galaxy",
    "LiveFile",
    "Look",
    "SpaxelSpectrum",
    "headline",
    "tone_of",
    "what_is_fitted",
]
