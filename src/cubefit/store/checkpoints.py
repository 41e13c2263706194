"""Checkpoints of a fit: all that is needed to go on with the same bits."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from cubefit.errors import StoreError
from cubefit.store import schema

Float = NDArray[np.float64]

RECORD_BYTES: Final = np.dtype(schema.CHECKPOINT_RECORD[0].dtype).itemsize


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """One moment of a fit."""

    x: Float
    """Weights, shape (C*P,)."""
    epoch: int
    """Epochs finished."""
    elapsed_s: float
    """Time of the fit behind it, over all of its calls."""
    written: float
    """When, in seconds since 1970."""
    state: Mapping[str, float] = field(default_factory=dict)
    """What else the solver needs to go on."""
    run: Mapping[str, Any] = field(default_factory=dict)
    """Of which fit: method, settings, digest of its inputs, ..."""
    val_rmse: float = float("nan")
    """On the fixed sample; NaN where it was not computed."""
    chi2: float = float("nan")
    finished: bool = False
    """Whether the fit came to its end, and ``x`` is ``/X_global``."""


def text_checksum(facts: Mapping[str, Any]) -> int:
    """Return the CRC-32 of facts written as JSON."""
    return zlib.crc32(json.dumps(facts).encode())


def encoded(checkpoint: Checkpoint) -> bytes:
    """Return everything but ``x`` as JSON, with checksums of ``x`` and of itself.

    Raises
    ------
    StoreError
        If it is too long for its place.
    """
    facts = {k: v for k, v in asdict(checkpoint).items() if k != "x"}
    facts["x_crc32"] = zlib.crc32(np.ascontiguousarray(checkpoint.x, "<f8").data.cast("B"))
    facts["record_crc32"] = text_checksum(facts)
    record = json.dumps(facts).encode()
    if len(record) > RECORD_BYTES:
        raise StoreError(
            f"The record of a checkpoint takes {len(record)} bytes of {RECORD_BYTES}: give the "
            "tracker a shorter `run` or `state`."
        )
    return record.ljust(RECORD_BYTES, b"\0")


def decoded(record: bytes, x: Float) -> Checkpoint | None:
    """Return the checkpoint of a record, or None where none was written yet.

    Raises
    ------
    StoreError
        If ``x`` is not the one that was written, or the record is none.
    """
    text = record.rstrip(b"\0")
    if not text:
        return None
    try:
        facts = json.loads(text)
        same = facts.pop("record_crc32") == text_checksum(facts)
        same &= facts.pop("x_crc32") == zlib.crc32(np.ascontiguousarray(x, "<f8").data.cast("B"))
        checkpoint = Checkpoint(x=x, **facts)
    except (ValueError, TypeError, LookupError, AttributeError):
        same = False
    if not same:
        raise StoreError(
            "A checkpoint of the fit is damaged (its checksum is another): start afresh with "
            "warm_start='zeros', or pass x0."
        )
    return checkpoint


def read_checkpoint(file: h5py.File, which: Literal["latest", "best"]) -> Checkpoint | None:
    """Return the latest or the best checkpoint in a file, or None.

    Raises
    ------
    StoreError
        If it is damaged.
    """
    slot = file.get(schema.LATEST_LINK if which == "latest" else schema.BEST_LINK)
    if slot is None:
        return None
    return decoded(slot["record"][()], slot["x"][()])


def mark_finished(file: h5py.File, x: Float) -> None:
    """Say in the latest checkpoint that its fit came to its end, if ``x`` is that end.

    Parameters
    ----------
    file : h5py.File
        An amendment of the file.
    x : ndarray, shape (C, P)
        The solution that is being committed.
    """
    try:
        latest = read_checkpoint(file, "latest")
    except StoreError:
        # Damaged: the next one takes its place.
        return
    if latest is None or not np.array_equal(latest.x, np.ravel(x)):
        return
    facts = {name: getattr(latest, name) for name in Checkpoint.__slots__}
    record = encoded(Checkpoint(**(facts | {"finished": True})))
    file[schema.LATEST_LINK]["record"][()] = np.bytes_(record)
