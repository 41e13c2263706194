"""What an earlier call left in a file to go on from: an unfinished fit, or a solution."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from cubefit.errors import StaleError
from cubefit.store import schema
from cubefit.store.checkpoints import Checkpoint, read_checkpoint
from cubefit.store.handle import reading

logger = logging.getLogger(__name__)

Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """An earlier solution in a file."""

    path: str
    """Where it stands."""
    x: Float
    """Shape (C, P)."""
    epochs: int
    """Epochs behind it, over all calls."""
    seed: int | None
    """Random seed of those epochs."""
    elapsed_s: float | None = None
    """Time of the fit behind it, where it is known."""
    state: Mapping[str, float] = field(default_factory=dict)
    """Where its solver stopped; empty unless its fit is unfinished."""
    note: str = ""
    """What else there is to say of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The fit that wants to go on."""

    digest: str
    """`digest_of_fit` of its inputs."""
    normalization: str
    run: Mapping[str, Any]
    """What identifies it: an unfinished fit of another kind is not completed."""


def require_same_inputs(
    path: Path, name: str, shape: tuple[int, ...], n_weights: int, digest: object, wanted: Wanted
) -> None:
    """Raise StaleError unless a solution belongs to the inputs that are now in the file."""
    if shape != (n_weights,) or digest != wanted.digest:
        raise StaleError(
            f"{name} in {path} was made from other inputs than those now in the file: "
            "start afresh with warm_start='zeros', or pass x0."
        )


def require_same_normalization(path: Path, name: str, had: object, wanted: Wanted) -> None:
    """Raise StaleError if a solution was fitted with another normalization."""
    if had not in (None, wanted.normalization):
        raise StaleError(
            f"{name} in {path} was fitted with normalization={had!r}, not "
            f"{wanted.normalization!r}: start afresh with warm_start='zeros', or pass x0."
        )


def read_earlier(path: Path, wanted: Wanted) -> Earlier | None:
    """Return what a fit is to go on from, or None.

    An unfinished fit of the same kind is completed from its latest checkpoint. Otherwise the order
    is ``/Fit/x_best``, ``/X_global``, but for an ``/X_global`` of a later fit that left no
    checkpoint; the random choices go on from the latest epoch.

    Parameters
    ----------
    path : Path
        The file.
    wanted : Wanted
        The fit that wants to go on.

    Raises
    ------
    StaleError
        If it belongs to other inputs than those now in the file, or to another normalization.
    StoreError
        If a checkpoint is damaged.
    """
    with reading(path) as file:
        shape = file[schema.LOSVD.path].shape[2], file[schema.TEMPLATES.path].shape[0]
        latest, best = read_checkpoint(file, "latest"), read_checkpoint(file, "best")
        for name, checkpoint in ((schema.X_LATEST.path, latest), (schema.X_BEST.path, best)):
            if checkpoint is not None:
                digest, had = (checkpoint.run.get(k) for k in ("digest", "normalization"))
                n_weights = shape[0] * shape[1]
                require_same_inputs(path, name, checkpoint.x.shape, n_weights, digest, wanted)
                require_same_normalization(path, name, had, wanted)
        later = latest is not None and is_later(file, latest)
        completed = later and is_same_fit(committed_run(file), wanted)
        if latest is not None and not completed and is_unfinished(latest, wanted):
            return of_checkpoint(schema.X_LATEST.path, latest, latest, shape)
        # Priors raise the validation RMSE on purpose: an optimum is not its lowest.
        is_exact = wanted.run.get("method") == "exact"
        if is_exact and is_same_fit(committed_run(file), wanted):
            return of_global(file, path, wanted, shape)
        if best is not None and not later:
            return of_checkpoint(schema.X_BEST.path, best, latest or best, shape, state={})
        return of_global(file, path, wanted, shape)


def committed_run(file: h5py.File) -> Mapping[str, Any]:
    """Return what identifies the fit of the committed solution; empty if there is none."""
    if schema.X_GLOBAL.path not in file:
        return {}
    run: dict[str, Any] = json.loads(file[schema.X_GLOBAL.path].attrs.get(schema.ATTR_RUN, "{}"))
    return run


def is_later(file: h5py.File, latest: Checkpoint) -> bool:
    """Whether the committed solution is of a fit after the latest checkpoint."""
    if schema.X_GLOBAL.path not in file:
        return False
    committed = file[schema.X_GLOBAL.path]
    written = committed.attrs.get(schema.ATTR_WRITTEN, 0.0)
    return bool(written > latest.written) and not np.array_equal(committed[()], latest.x)


def is_same_fit(run: Mapping[str, Any], wanted: Wanted) -> bool:
    """Whether two fits are of one kind: from one state they give the same bits."""
    now = json.loads(json.dumps(dict(wanted.run)))
    return all(run.get(key) == now.get(key) for key in ("method", "settings", "priors"))


def is_unfinished(latest: Checkpoint, wanted: Wanted) -> bool:
    """Whether the latest checkpoint is one of a fit of this kind that was stopped."""
    if latest.finished or not latest.state:
        return False
    if is_same_fit(latest.run, wanted):
        return True
    before, now = (
        {**(run.get("settings") or {}), **(run.get("priors") or {})}
        for run in (latest.run, wanted.run)
    )
    differing = [f"{k}: {before.get(k)}, now {v}" for k, v in now.items() if before.get(k) != v]
    logger.warning(
        "The unfinished fit in the file is not completed, because it has other settings (%s).",
        "; ".join(differing) or "another method",
    )
    return False


def of_checkpoint(
    name: str,
    found: Checkpoint,
    latest: Checkpoint,
    shape: tuple[int, int],
    state: Mapping[str, float] | None = None,
) -> Earlier:
    """Return a checkpoint as what to go on from."""
    settings = latest.run.get("settings") or {}
    return Earlier(
        path=name,
        x=found.x.reshape(shape),
        epochs=latest.epoch,
        seed=settings.get("seed"),
        elapsed_s=latest.elapsed_s,
        state=found.state if state is None else state,
        note=f"validation RMSE {found.val_rmse:.4g}, epoch {found.epoch}",
    )


def of_global(
    file: h5py.File, path: Path, wanted: Wanted, shape: tuple[int, int]
) -> Earlier | None:
    """Return the committed solution as what to go on from, or None if there is none."""
    name = schema.X_GLOBAL.path
    if name not in file:
        return None
    dataset = file[name]
    digest, had = (dataset.attrs.get(k) for k in (schema.ATTR_DIGEST, schema.ATTR_NORMALIZATION))
    require_same_inputs(path, name, dataset.shape, shape[0] * shape[1], digest, wanted)
    require_same_normalization(path, name, had, wanted)
    seed = dataset.attrs.get("seed")
    return Earlier(
        path=name,
        x=np.asarray(dataset[()], np.float64).reshape(shape),
        epochs=int(dataset.attrs.get("epochs_total", 0)),
        seed=None if seed is None else int(seed),
    )
