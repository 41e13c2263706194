"""The command line: parses, prints, and turns errors into one sentence."""

from cubefit.cli import check, demo, fit, status, work
from cubefit.cli.root import app, main

__all__ = ["app", "check", "demo", "fit", "main", "status", "work"]
