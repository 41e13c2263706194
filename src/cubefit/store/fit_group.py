"""The group ``/Fit``: its datasets, all of them in place before a fit begins.

While a fit runs nothing is created or resized, so that a kill finds no half-made structure. Columns
of metrics have room for `CAPACITY` rows; after a clean end they are cut to those that were written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import h5py
import numpy as np
from numpy.typing import NDArray

from cubefit.errors import StaleError, StoreError
from cubefit.store import schema
from cubefit.store.checkpoints import mark_finished

CAPACITY: Final = 8192
"""Rows of metrics: four weeks at the default interval. A longer history keeps every other row."""
COLUMNS: Final = tuple(schema.METRICS.values())
EMPTY_EPOCH: Final = -1
GROUPS: Final = (
    schema.FIT_GROUP, schema.CHECKPOINTS_GROUP, schema.METRICS_GROUP, schema.SAMPLE_GROUP,
)  # fmt: skip
RING_ROWS: Final = (schema.X_RING_ROW, schema.X_VIS_RING_ROW)


@dataclass(frozen=True, slots=True, kw_only=True)
class FitSizes:
    """Lengths of what a fit writes."""

    n_weights: int
    """C*P."""
    ring_size: int
    spaxels: NDArray[np.int32]
    """Validation sample, shape (Ns,)."""
    pixels: NDArray[np.int32]
    """Validation sample, shape (Kval,)."""
    orbit_weights: NDArray[np.float64] | None = None
    """What the components' shares are compared with, shape (C,)."""

    @property
    def given(self) -> dict[schema.Entry, NDArray[Any]]:
        """Values that stand in the file from the beginning."""
        found: dict[schema.Entry, NDArray[Any]] = {
            schema.SAMPLE_SPAXELS: self.spaxels,
            schema.SAMPLE_PIXELS: self.pixels,
        }
        if self.orbit_weights is not None:
            found[schema.FIT_ORBIT_WEIGHTS] = self.orbit_weights
        return found

    @property
    def n_bytes(self) -> int:
        """Room that the values take."""
        columns = 8 * CAPACITY * len(COLUMNS)
        solutions = self.n_weights * (8 * schema.N_SLOTS + 12 * self.ring_size)
        rows = 16 * self.ring_size + sum(values.nbytes for values in self.given.values())
        return columns + solutions + rows


def empty_value(entry: schema.Entry) -> float:
    """Return what an unwritten element reads as."""
    return EMPTY_EPOCH if np.dtype(entry.dtype).kind == "i" else np.nan


def early(file: h5py.File, entry: schema.Entry, shape: tuple[int, ...]) -> h5py.Dataset:
    """Create a contiguous dataset in space of its own, every element empty."""
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    plist.set_fill_time(h5py.h5d.FILL_TIME_ALLOC)
    dtype = np.dtype(entry.dtype)
    if dtype.kind != "S":
        plist.set_fill_value(np.array(empty_value(entry), dtype))
    links = h5py.h5p.create(h5py.h5p.LINK_CREATE)
    links.set_create_intermediate_group(True)
    made = h5py.h5d.create(
        file.id,
        entry.path.encode(),
        h5py.h5t.py_create(dtype),
        h5py.h5s.create_simple(shape) if shape else h5py.h5s.create(h5py.h5s.SCALAR),
        dcpl=plist,
        lcpl=links,
    )
    dataset = h5py.Dataset(made)
    dataset.attrs.update(entry.labels())
    return dataset


def ensure(file: h5py.File, entry: schema.Entry, shape: tuple[int, ...]) -> bool:
    """Make sure that a dataset of that shape is there; True if it was made anew."""
    found = file.get(entry.path)
    if (
        isinstance(found, h5py.Dataset)
        and found.shape == shape
        and found.dtype == np.dtype(entry.dtype)
    ):
        return False
    if found is not None:
        del file[entry.path]
    early(file, entry, shape)
    return True


def ensure_link(file: h5py.File, path: str, target: str) -> None:
    """Make sure that a soft link is there; one that is there keeps its target."""
    if not isinstance(file.get(path), h5py.Group | h5py.Dataset) or not isinstance(
        file.get(path, getlink=True), h5py.SoftLink
    ):
        if file.get(path, getlink=True) is not None:
            del file[path]
        file[path] = h5py.SoftLink(target)


def require_groups(file: h5py.File) -> None:
    """Raise StoreError if something else stands where a group of a fit belongs."""
    for name in GROUPS:
        if file.get(name, getlink=True) is None:
            continue
        if not isinstance(file.get(name), h5py.Group):
            raise StoreError(f"{name} in the file is no group of a fit: move or delete it.")


def ensure_checkpoints(file: h5py.File, n_weights: int, *, fresh: bool) -> None:
    """Make room for checkpoints, keeping those that are there.

    Raises
    ------
    StaleError
        If they have another length, unless the fit starts afresh.
    """
    for x, record in zip(schema.CHECKPOINT_X, schema.CHECKPOINT_RECORD, strict=True):
        found = file.get(x.path)
        if isinstance(found, h5py.Dataset) and found.shape != (n_weights,) and not fresh:
            raise StaleError(
                f"The checkpoints in /Fit have {found.size} weights, this fit has {n_weights}: "
                "start afresh with warm_start='zeros', or pass x0."
            )
        if ensure(file, x, (n_weights,)) and record.path in file:
            del file[record.path]
        ensure(file, record, ())
    for link in (schema.LATEST_LINK, schema.BEST_LINK):
        ensure_link(file, link, "0")
    ensure_link(file, schema.X_LATEST.path, schema.LATEST_LINK + "/x")
    ensure_link(file, schema.X_BEST.path, schema.BEST_LINK + "/x")


def ensure_columns(file: h5py.File, *, fresh: bool) -> None:
    """Give every column of metrics its full length, the rows behind the written ones empty."""
    if ensure(file, schema.N_METRICS, ()):
        fresh = True
    n_rows = 0 if fresh else int(file[schema.N_METRICS.path][()])
    for entry in COLUMNS:
        column = file.get(entry.path)
        if getattr(column, "chunks", None) != (CAPACITY,):
            if column is not None:
                del file[entry.path]
            # One chunk for all rows: the length can change and the place of the values stays.
            column = file.create_dataset(
                entry.path,
                (CAPACITY,),
                entry.dtype,
                chunks=(CAPACITY,),
                maxshape=(CAPACITY,),
                fillvalue=empty_value(entry),
            )
            column.attrs.update(entry.labels())
        n_rows = min(n_rows, column.shape[0])
        column.resize((CAPACITY,))
        column[n_rows:] = empty_value(entry)
    file[schema.N_METRICS.path][()] = n_rows


def last_time(file: h5py.File) -> float:
    """Return the time of the fit in the last row of metrics; 0 if there is none."""
    if schema.N_METRICS.path not in file:
        return 0.0
    times = file[schema.METRICS["time_sec"].path][: int(file[schema.N_METRICS.path][()])]
    return float(times[-1]) if times.size else 0.0


def rows_until(file: h5py.File, elapsed_s: float) -> int:
    """Return the rows of metrics that were written up to a time of the fit."""
    n_rows = int(file[schema.N_METRICS.path][()])
    times = file[schema.METRICS["time_sec"].path][:n_rows]
    return int(np.count_nonzero(~(times > elapsed_s)))


def prepare_fit_group(
    file: h5py.File, sizes: FitSizes, *, fresh: bool, elapsed_s: float = np.inf
) -> None:
    """Put all of ``/Fit`` in place; ``file`` is an amendment.

    Parameters
    ----------
    file : h5py.File
        The file, open to write.
    sizes : FitSizes
        Of this fit.
    fresh : bool
        Whether to drop the history; checkpoints stay until the first new one.
    elapsed_s : float
        Time of the fit where it goes on; later rows, of sweeps that are made again, are dropped.
    """
    require_groups(file)
    ensure_checkpoints(file, sizes.n_weights, fresh=fresh)
    if not fresh and schema.N_METRICS.path in file:
        file[schema.N_METRICS.path][()] = rows_until(file, elapsed_s)
    ensure_columns(file, fresh=fresh)
    n_rows = int(file[schema.N_METRICS.path][()])
    for ring in (schema.X_RING, schema.X_VIS_RING):
        fresh |= ensure(file, ring, (sizes.ring_size, sizes.n_weights))
    for rows in RING_ROWS:
        if ensure(file, rows, (sizes.ring_size,)) or fresh:
            file[rows.path][...] = EMPTY_EPOCH
        named = file[rows.path][()]
        file[rows.path][...] = np.where(named < n_rows, named, EMPTY_EPOCH)
    if sizes.orbit_weights is None and schema.FIT_ORBIT_WEIGHTS.path in file:
        del file[schema.FIT_ORBIT_WEIGHTS.path]
    for entry, values in sizes.given.items():
        ensure(file, entry, values.shape)
        file[entry.path][...] = values


def is_prepared(file: h5py.File, sizes: FitSizes, elapsed_s: float = np.inf) -> bool:
    """Whether ``/Fit`` is in place already, as a stopped fit leaves it."""

    def has(entry: schema.Entry, shape: tuple[int, ...]) -> bool:
        found = file.get(entry.path)
        return isinstance(found, h5py.Dataset) and found.shape == shape

    x, ring = (sizes.n_weights,), (sizes.ring_size, sizes.n_weights)
    shapes = {schema.X_LATEST: x, schema.X_BEST: x, schema.X_RING: ring, schema.X_VIS_RING: ring}
    shapes |= dict.fromkeys(schema.CHECKPOINT_X, x) | dict.fromkeys(schema.CHECKPOINT_RECORD, ())
    shapes |= dict.fromkeys(RING_ROWS, (sizes.ring_size,))
    shapes |= dict.fromkeys(COLUMNS, (CAPACITY,)) | {schema.N_METRICS: ()}
    return (
        all(has(entry, shape) for entry, shape in shapes.items())
        and all(file[entry.path].chunks == (CAPACITY,) for entry in COLUMNS)
        and all(
            has(entry, values.shape) and bool((file[entry.path][()] == values).all())
            for entry, values in sizes.given.items()
        )
        and (sizes.orbit_weights is not None) == (schema.FIT_ORBIT_WEIGHTS.path in file)
        and rows_until(file, elapsed_s) == int(file[schema.N_METRICS.path][()])
    )


def cut_columns(file: h5py.File) -> None:
    """Cut the columns of metrics to the rows written; ``file`` is an amendment."""
    n_rows = int(file[schema.N_METRICS.path][()])
    for entry in COLUMNS:
        # HDF5 frees the space of a column of no rows.
        file[entry.path].resize((max(n_rows, 1),))


def thin_columns(file: h5py.File) -> None:
    """Keep every other row of the metrics; ``file`` is an amendment."""
    n_rows = int(file[schema.N_METRICS.path][()])
    kept = np.arange(n_rows % 2 == 0, n_rows, 2)
    for entry in COLUMNS:
        column = file[entry.path]
        column[: kept.size] = column[:n_rows][kept]
        column[kept.size :] = empty_value(entry)
    for entry in RING_ROWS:
        rows = file[entry.path][()]
        file[entry.path][...] = np.where(np.isin(rows, kept), rows // 2, EMPTY_EPOCH)
    file[schema.N_METRICS.path][()] = kept.size


def finish_fit_group(file: h5py.File, x: NDArray[np.float64]) -> None:
    """End a fit whose solution ``x`` (C, P) is in the file; ``file`` is an amendment."""
    if schema.N_METRICS.path in file:
        cut_columns(file)
        mark_finished(file, x)
