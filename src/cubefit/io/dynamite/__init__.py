"""DYNAMITE's orbit libraries, read without DYNAMITE and with one orbit in memory at a time."""

from __future__ import annotations

from cubefit.io.dynamite.config import DynamiteConfig, KinematicSet, read_config
from cubefit.io.dynamite.library import model_files, read_dynamite

__all__ = ["DynamiteConfig", "KinematicSet", "model_files", "read_config", "read_dynamite"]
