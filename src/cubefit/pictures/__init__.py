"""Pictures of the answer: what a file says, drawn; one name for each kind."""

from __future__ import annotations

from cubefit.pictures.kinds import KINDS, Kind, draw, draw_all

__all__ = ["KINDS", "Kind", "draw", "draw_all"]
