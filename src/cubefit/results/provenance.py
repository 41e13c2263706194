"""Where a solution comes from."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TypeAlias

from cubefit.store import schema
from cubefit.store.fitted import Fitted

Facts: TypeAlias = Mapping[str, str | int | float]
"""Text and numbers: what attributes of labelled arrays may be."""


def facts_of(path: Path, found: Fitted) -> dict[str, str | int | float]:
    """Return where a solution comes from and how good it is, as text and numbers."""
    told = found.solution.facts
    facts: dict[str, str | int | float] = {
        "source": str(path),
        "solution": schema.X_GLOBAL.path if found.is_committed else "given",
        "cubefit_version": version("cubefit"),
        "normalization": found.normalization,
        "has_noise": int(found.has_noise),
    }
    facts |= {k: v for k, v in told.items() if isinstance(v, str | int | float)}
    if told.get("n_voxels") and "chi2" in told:
        facts["chi2_per_voxel"] = float(told["chi2"]) / int(told["n_voxels"])
    return facts
