"""The history of a fit: the rows of metrics in its file, as columns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from cubefit.store import schema
from cubefit.store.checkpoints import read_checkpoint
from cubefit.store.handle import looked_at, reading


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class History:
    """What was written down of a fit while it ran."""

    method: str
    """``exact`` or ``kaczmarz``; empty where the fit did not say."""
    columns: dict[str, NDArray[np.float64]]
    """The written rows of every column of ``/Fit/metrics``, NaN where not computed."""

    @property
    def n_rows(self) -> int:
        """Rows written."""
        return self.columns["epoch"].size


def history_of(file: h5py.File) -> History:
    """Return the history in an open file; without rows where nothing was tracked."""
    if schema.N_METRICS.path not in file:
        return History(method="", columns={name: np.empty(0) for name in schema.METRICS})
    n_rows = int(file[schema.N_METRICS.path][()])
    columns = {
        name: file[entry.path][:n_rows].astype(np.float64)
        if entry.path in file
        else np.full(n_rows, np.nan)
        for name, entry in schema.METRICS.items()
    }
    latest = read_checkpoint(file, "latest")
    return History(
        method="" if latest is None else str(latest.run.get("method", "")), columns=columns
    )


def read_history(path: Path) -> History:
    """Return the history of the fit in a file, also while it runs.

    Raises
    ------
    StoreError
        If the file is missing, foreign or damaged.
    """

    def look(path: Path) -> History:
        with reading(path) as file:
            return history_of(file)

    return looked_at(path, look)
