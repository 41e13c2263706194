"""The command line: parses, prints, and turns errors into one sentence."""

from cubefit.cli import (
    check,
    compress,
    dashboard,
    demo,
    export,
    fit,
    galaxy,
    gather,
    info,
    plot,
    populate,
    reconstruct,
    snapshot,
    status,
    work,
)
from cubefit.cli.root import app, main

__all__ = [
    "app",
    "check",
    "compress",
    "dashboard",
    "demo",
    "export",
    "fit",
    "galaxy",
    "gather",
    "info",
    "main",
    "plot",
    "populate",
    "reconstruct",
    "snapshot",
    "status",
    "work",
]
