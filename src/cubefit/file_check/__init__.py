"""Verifying a file: what stands in it, whether it fits together, and whether it is undamaged.

Each kind of check is a module of functions that take what they look at and return a `Verdict`;
`run` puts them in order.
"""

from cubefit.file_check.findings import Finding, State
from cubefit.file_check.run import CheckReport, check_file
from cubefit.file_check.tiles import forget_damaged

__all__ = ["CheckReport", "Finding", "State", "check_file", "forget_damaged"]
