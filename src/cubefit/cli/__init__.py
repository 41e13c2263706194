"""The command line: parses, prints, and turns errors into one sentence."""

from cubefit.cli import demo
from cubefit.cli.root import app, main

__all__ = ["app", "demo", "main"]
