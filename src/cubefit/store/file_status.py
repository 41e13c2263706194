"""What a file says of itself: inputs, HyperCube, fit, and who writes to it now."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np

from cubefit.display import html_table
from cubefit.store import schema
from cubefit.store.checkpoints import read_checkpoint
from cubefit.store.files import beside
from cubefit.store.handle import looked_at, reading
from cubefit.store.load import read_dims
from cubefit.store.lock import Owner, who_writes
from cubefit.store.shards import stored_bytes
from cubefit.store.status_rows import status_rows
from cubefit.store.tiles import read_status

NAN: Final = float("nan")
LEFTOVERS: Final = (".tmp", ".amend", ".redo", ".redo.tmp")
"""Files of a writer at work; of one that was killed, where nobody writes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterState:
    """The Dask cluster that the work under way runs on, as of a few seconds ago."""

    scheduler: str
    """Address."""
    dashboard: str
    """Link of Dask's own."""
    workers: int
    """Alive."""
    shares: int
    """Parts that the spaxels lie in."""
    rounds: int
    """Questions to all shares; none in a build."""
    moved_bytes: int
    """That have travelled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildState:
    """How far the HyperCube is."""

    shape: tuple[int, ...]
    """(S, C, P, L)."""
    n_bytes: int
    normalization: str
    compression: str
    tiles_done: int
    tiles_total: int
    tiles_per_s: float
    """Of the build under way; NaN where there is none."""
    left_s: float
    """Until that build ends."""
    shards_missing: int = 0
    """Files that it lies in and that are not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FitState:
    """How far the tracked fit is, as of its last checkpoint and row of metrics."""

    method: str
    epoch: int
    """Epochs finished, or rounds of the exact method."""
    epochs_wanted: int | None
    """Where the fit under way, or a stopped one, will end; None where there is none."""
    running: bool
    """Whether somebody writes to it now."""
    finished: bool
    resumable: bool
    """Whether the same call would complete it."""
    elapsed_s: float
    row_age_s: float
    """Since the row of metrics that the figures here are of; NaN where no fit is under way."""
    left_s: float
    checkpoint_age_s: float
    n_rows: int
    """Rows of metrics."""
    train_rmse: float
    val_rmse: float
    """The last that was computed."""
    chi2: float
    """Of the last row; NaN where it was not computed for that."""
    gap_rel: float
    nnz: float

    @property
    def step(self) -> str:
        """What its steps are called."""
        return "round" if self.method == "exact" else "epoch"


@dataclass(frozen=True, slots=True, kw_only=True)
class SolutionState:
    """The committed solution."""

    method: str
    written: str
    chi2: float
    n_voxels: int
    epochs: int
    """Of Kaczmarz sweeps."""
    gap_rel: float
    """Certified distance to the optimum; NaN where the method has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileStatus:
    """All of it."""

    path: str
    n_bytes: int
    dims: dict[str, int]
    has_noise: bool
    build: BuildState | None
    fit: FitState | None
    solution: SolutionState | None
    writer: Owner | str | None
    """Who writes now."""
    cluster: ClusterState | None
    """Where that one works, if not alone."""
    leftovers: list[str]
    """Files beside it that a killed writer left, which the next one removes."""

    def as_json(self) -> dict[str, Any]:
        """Return plain values, NaN as None."""
        facts = plain(asdict(self))
        assert isinstance(facts, dict)  # noqa: S101 - a dataclass
        facts["writer_text"] = None if self.writer is None else str(self.writer)
        return facts

    def _repr_html_(self) -> str:
        """Return the status as a small table, for notebooks."""
        return html_table(self.path, status_rows(self).items())


def plain(value: object) -> object:
    """Return a value as JSON knows it."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def facts_of(writer: Owner | str | None, task: str) -> dict[str, Any]:
    """Return what a writer said of its work, if it is at that task."""
    return writer.facts if isinstance(writer, Owner) and writer.task == task else {}


def cluster_state(writer: Owner | str | None) -> ClusterState | None:
    """Return where a writer works, if it is on a cluster."""
    told = writer.facts.get("cluster") if isinstance(writer, Owner) else None
    return None if told is None else ClusterState(**told)


def build_state(file: h5py.File, writer: Owner | str | None) -> BuildState | None:
    """Return how far the HyperCube is, or None if there is none."""
    status = read_status(file)
    if status is None:
        return None
    n_done, rate = int(status.done.sum()), NAN
    facts = facts_of(writer, "build")
    if "filling_since" in facts:
        new = n_done - facts["tiles_before"]
        rate = new / max(time.time() - facts["filling_since"], 1e-3)
    return BuildState(
        shape=status.grid.shape,
        n_bytes=stored_bytes(file),
        normalization=status.normalization,
        compression=status.compression,
        tiles_done=n_done,
        tiles_total=status.done.size,
        tiles_per_s=rate,
        left_s=(status.done.size - n_done) / rate if rate > 0 else NAN,
        shards_missing=len(status.missing),
    )


def last_values(file: h5py.File, n_rows: int) -> dict[str, float]:
    """Return the last written value of every column of metrics."""
    values = {}
    for name, entry in schema.METRICS.items():
        column = file[entry.path][:n_rows].astype(float)
        known = column[np.isfinite(column)]
        values[name] = float(known[-1]) if known.size else NAN
    return values


def fit_state(file: h5py.File, writer: Owner | str | None) -> FitState | None:
    """Return how far the tracked fit is, or None if nothing was written of one."""
    if schema.N_METRICS.path not in file:
        return None
    n_rows = int(file[schema.N_METRICS.path][()])
    latest = read_checkpoint(file, "latest")
    if latest is None and not n_rows:
        return None
    last = last_values(file, n_rows)
    facts = facts_of(writer, "fit")
    wanted, elapsed_s, age_s, left_s = facts.get("epochs_wanted"), last["time_sec"], NAN, NAN
    if wanted is not None:
        elapsed_s = time.time() - facts["fitting_since"]
        age_s = elapsed_s - last["time_sec"]
        spent, done = (last["time_sec"] - facts["elapsed_before"], last["epoch"])
        if done > facts["epochs_before"]:
            per_epoch = spent / (done - facts["epochs_before"])
            left_s = max((wanted - done) * per_epoch - age_s, 0.0)
    if wanted is None and latest is not None and not latest.finished:
        end = latest.state.get("last_epoch")
        wanted = None if end is None else int(end)
    return FitState(
        # Before its first checkpoint, the latest is that of an earlier fit.
        method=facts.get("method", "" if latest is None else str(latest.run.get("method", ""))),
        epoch=int(last["epoch"]) if n_rows else 0,
        epochs_wanted=wanted,
        running=writer is not None and (isinstance(writer, str) or writer.task == "fit"),
        finished=latest is not None and latest.finished,
        resumable=latest is not None and bool(latest.state) and not latest.finished,
        elapsed_s=elapsed_s,
        row_age_s=age_s,
        left_s=left_s,
        checkpoint_age_s=NAN if latest is None else time.time() - latest.written,
        n_rows=n_rows,
        train_rmse=last["train_rmse_ewma"],
        val_rmse=last["val_rmse"],
        chi2=float(file[schema.METRICS["chi2"].path][n_rows - 1]) if n_rows else NAN,
        gap_rel=last["gap_rel"],
        nnz=last["nnz"],
    )


def solution_state(file: h5py.File) -> SolutionState | None:
    """Return what stands beside the committed solution, or None if there is none."""
    if schema.X_GLOBAL.path not in file:
        return None
    facts = file[schema.X_GLOBAL.path].attrs
    return SolutionState(
        method=str(facts.get("method", "")),
        written=str(facts.get("written", "")),
        chi2=float(facts.get("chi2", NAN)),
        n_voxels=int(facts.get("n_voxels", 0)),
        epochs=int(facts.get("epochs_total", 0)),
        gap_rel=float(facts.get("gap_rel", NAN)),
    )


def file_status(path: str | Path) -> FileStatus:
    """Return how far the HyperCube and the fit of a file are, also while it is written to.

    Parameters
    ----------
    path : str or Path
        A populated file.

    Returns
    -------
    FileStatus
        A table in a notebook; ``as_json()`` for scripts.

    Raises
    ------
    StoreError
        If it is missing, foreign, damaged, cut short, or made by a newer version.
    """
    return looked_at(Path(path), status_of)


def status_of(path: Path) -> FileStatus:
    """Return the status of a file by one look at it."""
    writer = who_writes(path)
    with reading(path) as file:
        return status_in(file, path, writer)


def status_in(file: h5py.File, path: Path, writer: Owner | str | None) -> FileStatus:
    """Return the status of an open file.

    Parameters
    ----------
    file : h5py.File
        The file, open.
    path : Path
        Its name.
    writer : Owner, str or None
        Who writes to it, looked up before it was opened.
    """
    return FileStatus(
        path=str(path),
        n_bytes=path.stat().st_size,
        dims=read_dims(file),
        has_noise=schema.NOISE.path in file,
        build=build_state(file, writer),
        fit=fit_state(file, writer),
        solution=solution_state(file),
        writer=writer,
        cluster=cluster_state(writer),
        leftovers=[]
        if writer is not None
        else [p.name for p in (beside(path, s) for s in LEFTOVERS) if p.exists()],
    )
