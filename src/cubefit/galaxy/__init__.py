"""From what is on disk to fitted products: one file of settings, steps that are done once."""

from __future__ import annotations

from cubefit.galaxy.run import GalaxyReport, run_galaxy
from cubefit.galaxy.settings import GalaxySettings
from cubefit.galaxy.settings_file import read_settings
from cubefit.galaxy.template import settings_template

__all__ = ["GalaxyReport", "GalaxySettings", "read_settings", "run_galaxy", "settings_template"]
