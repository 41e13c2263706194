"""Writing to ``/Fit`` while a fit runs: plain writes to known places, never through HDF5.

A checkpoint goes to the one of three slots that is neither the latest nor the best; then one byte
turns the link ``latest`` (or ``best``, or both) to it. A kill at any moment leaves every link on a
complete checkpoint. A row of metrics counts from when the number of rows says so, and a place in a
ring from when it names its row.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from cubefit.errors import CubeFitError, StoreError
from cubefit.store import schema
from cubefit.store.amend import amended
from cubefit.store.checkpoints import Checkpoint, encoded
from cubefit.store.files import require_whole, write_all
from cubefit.store.fit_group import CAPACITY, COLUMNS, EMPTY_EPOCH, empty_value, thin_columns
from cubefit.store.handle import READ_DAMAGE, reading
from cubefit.store.lock import open_to_write
from cubefit.store.soft_links import soft_link_place
from cubefit.store.tiles import sync_values

RINGS: Final = {
    "x": (schema.X_RING, schema.X_RING_ROW),
    "vis": (schema.X_VIS_RING, schema.X_VIS_RING_ROW),
}


class FitFile:
    """The open ``/Fit`` of a file that `prepare_fit_group` has prepared.

    Parameters
    ----------
    path : Path
        The file; the caller, or the process that it writes for, is its sole writer.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = open_to_write(path)
        try:
            self._find_places()
        except BaseException as error:
            os.close(self._fd)
            if isinstance(error, READ_DAMAGE) and not isinstance(error, CubeFitError):
                raise StoreError(
                    f"{path} does not hold the /Fit that was prepared in it ({error}): another "
                    "program changed or replaced it meanwhile. Restore a copy, then call again."
                ) from error
            raise

    def _find_places(self) -> None:
        """Note where everything stands."""
        self._n_bytes = os.fstat(self._fd).st_size
        with reading(self._path) as file:
            self._slots = [
                (file[x.path].id.get_offset(), file[record.path].id.get_offset())
                for x, record in zip(schema.CHECKPOINT_X, schema.CHECKPOINT_RECORD, strict=True)
            ]
            self._columns = {
                e.name: (file[e.path].id.get_chunk_info(0).byte_offset, e) for e in COLUMNS
            }
            self._n_place = file[schema.N_METRICS.path].id.get_offset()
            self.n_rows = int(file[schema.N_METRICS.path][()])
            self._rings = {
                key: (file[ring.path].id.get_offset(), file[rows.path].id.get_offset())
                for key, (ring, rows) in RINGS.items()
            }
            self._next = {key: next_place(file[rows.path][()]) for key, (_, rows) in RINGS.items()}
            self._ring_size = int(file[schema.X_RING.path].shape[0])
            group = h5py.h5o.get_info(file[schema.CHECKPOINTS_GROUP].id).addr
            self._links = {
                name: soft_link_place(self._fd, group, name) for name in ("latest", "best")
            }
            self._turned = {
                name: int(file[schema.CHECKPOINTS_GROUP].get(name, getlink=True).path)
                for name in self._links
            }
        for name, place in self._links.items():
            # What is written there must be the link and nothing else.
            if os.pread(self._fd, 1, place) != str(self._turned[name]).encode():
                raise StoreError(f"The link {name} of {self._path} is damaged: restore a copy.")

    def __enter__(self) -> Self:
        """Return the open group."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close the file."""
        os.close(self._fd)

    def _write(self, data: bytes | NDArray[Any], place: int) -> None:
        require_whole(self._fd, self._n_bytes, self._path)
        view = memoryview(data) if isinstance(data, bytes) else data.data.cast("B")
        write_all(self._fd, view, place)

    def add_row(self, values: Mapping[str, float]) -> int:
        """Write a row of metrics and return its number; columns not named stay empty."""
        if self.n_rows == CAPACITY:
            self._thin()
        for name, (place, entry) in self._columns.items():
            value = np.array(values.get(name, empty_value(entry)), entry.dtype)
            self._write(value.tobytes(), place + value.nbytes * self.n_rows)
        self._write(np.int64(self.n_rows + 1).tobytes(), self._n_place)
        self.n_rows += 1
        return self.n_rows - 1

    def _thin(self) -> None:
        with amended(self._path) as file:
            thin_columns(file)
        self._find_places()

    def save(self, checkpoint: Checkpoint, *, best: bool) -> None:
        """Write a checkpoint, which becomes the latest, and the best where it is.

        Parameters
        ----------
        checkpoint : Checkpoint
            It.
        best : bool
            Whether no earlier one is better.
        """
        record = encoded(checkpoint)
        slot = min(set(range(schema.N_SLOTS)) - set(self._turned.values()))
        x_place, record_place = self._slots[slot]
        self._write(np.ascontiguousarray(checkpoint.x, "<f8"), x_place)
        self._write(record, record_place)
        sync_values(self._fd)
        for name in ("latest", "best") if best else ("latest",):
            self._write(str(slot).encode(), self._links[name])
            self._turned[name] = slot
        sync_values(self._fd)

    def put_in_ring(self, key: str, x: NDArray[np.float64], row: int) -> None:
        """Keep ``x`` (C*P,) of a row of metrics in the ring ``x`` or ``vis``, over the oldest."""
        place, rows_place = self._rings[key]
        k = self._next[key]
        values = np.ascontiguousarray(x, RINGS[key][0].dtype)
        # The highest byte first: half of a -1 over a row would name another row.
        self._write(b"\xff", rows_place + 8 * k + 7)
        self._write(np.int64(EMPTY_EPOCH).tobytes(), rows_place + 8 * k)
        self._write(values, place + k * values.nbytes)
        self._write(np.int64(row).tobytes(), rows_place + 8 * k)
        self._next[key] = (k + 1) % self._ring_size


def next_place(rows: NDArray[np.int64]) -> int:
    """Return the place of a ring that is to be written next: a free one, else the oldest."""
    return int(np.argmin(rows))
