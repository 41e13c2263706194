"""A HyperCube in shard files beside its base file, which holds virtual datasets over them.

Each shard holds whole rows of tiles along S, in the layout of a HyperCube in one file, so that one
process writes to it apart from those that write to the others. HDF5 puts the virtual datasets
together by itself for a program that opens the base file by name; `stored_models` does so here.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Protocol

import h5py
import numpy as np
from numpy.typing import NDArray

from cubefit.errors import LockedError, StoreError
from cubefit.store import schema
from cubefit.store.access import path_of, read_apart
from cubefit.store.amend import left_behind, sole_writer
from cubefit.store.files import beside
from cubefit.store.lock import lock_path

logger = logging.getLogger(__name__)

MOST_OPEN: Final = 64
"""Shards that are held open to read: systems allow for 1024 files in all."""
OWN_NAME: Final = re.compile(r"\d{4,}-[0-9a-f]{8}\.h5(\.\w+)*")
"""Of shards, and of what a writer that was killed leaves beside one."""


class Models(Protocol):
    """Models (S, C, P, L) in a file, to be read by index."""

    shape: tuple[int, ...]

    def __getitem__(self, key: Any, /) -> NDArray[np.float32]:
        """Return the models at an index along S, or a range of them, and whatever of the rest."""


@dataclass(frozen=True, slots=True, order=True)
class Shard:
    """A file with the models of some spaxels."""

    first: int
    """Spaxel."""
    stop: int
    """The spaxel after its last."""
    path: Path


def shards_folder(path: Path) -> Path:
    """Return where the shards of a file's HyperCube are made."""
    return beside(path, ".shards")


def planned_shards(path: Path, n_spaxels: int, tile: int, n_shards: int) -> list[Shard]:
    """Return shards of whole rows of tiles, as even as can be, that do not exist yet.

    Parameters
    ----------
    path : Path
        The base file.
    n_spaxels, tile : int
        Spaxels in all, and of a tile.
    n_shards : int
        At most so many.
    """
    n_rows = -(-n_spaxels // tile)
    count = min(n_shards, n_rows)
    borders = [tile * (k * n_rows // count) for k in range(count)] + [n_spaxels]
    # Names that were never there: what an older HyperCube lies in stays whole until it is replaced.
    folder, token = shards_folder(path), secrets.token_hex(4)
    return [
        Shard(first, stop, folder / f"{number:04d}-{token}.h5")
        for number, (first, stop) in enumerate(pairwise(borders))
    ]


def link_shards(
    file: h5py.File,
    path: Path,
    shards: Sequence[Shard],
    shape: Sequence[int],
    counts: Sequence[int],
    tile: int,
) -> h5py.Dataset:
    """Create the virtual datasets of a HyperCube in its base file, and return that of the models.

    Parameters
    ----------
    file : h5py.File
        The base file in the making; its group is there.
    path : Path
        Its name to be.
    shards : sequence of Shard
        All, in order.
    shape, counts : sequence of int
        Of the models (S, C, P, L), and of their tiles along S, C and P.
    tile : int
        Spaxels of a tile.
    """
    folder = path.resolve().parent
    for entry, size in ((schema.DONE, counts), (schema.CHECKSUMS, counts), (schema.MODELS, shape)):
        step = 1 if entry is schema.MODELS else tile
        layout = h5py.VirtualLayout(tuple(size), np.dtype(entry.dtype))
        for shard in shards:
            rows = slice(shard.first // step, -(-shard.stop // step))
            part = (rows.stop - rows.start, *size[1:])
            # Relative, so that file and folder may be moved together.
            name = str(shard.path.relative_to(folder))
            layout[rows] = h5py.VirtualSource(name, entry.path, part)
        dataset = file.create_virtual_dataset(entry.path, layout, fillvalue=0)
        dataset.attrs.update(entry.labels())
    return file[schema.MODELS.path]


def shards_of(file: h5py.File) -> list[Shard]:
    """Return the shards of the HyperCube in an open file; none of one that lies in the file.

    They are in the folder of the file's name, of one that was renamed together with it, too; else
    where HDF5 looks for them.
    """
    models = file.get(schema.MODELS.path)
    if models is None or not models.is_virtual:
        return []
    path, found = path_of(file), []
    folder, own = path.resolve().parent, shards_folder(path)
    for source in models.virtual_sources():
        starts, lasts = source.vspace.get_select_bounds()
        recorded = folder / source.file_name
        here = own / recorded.name
        where = here if here.exists() else recorded
        found.append(Shard(int(starts[0]), int(lasts[0]) + 1, where))
    return sorted(found)


def missing_words(missing: Sequence[Shard]) -> str:
    """Say which shards are missing, and the mend."""
    which = f"the shard file {missing[0].path} is missing"
    if len(missing) > 1:
        which = f"{len(missing)} shard files are missing, first {missing[0].path}"
    return (
        f"{which}: move the folder of shards together with the file, or run build_hypercube again, "
        "which builds their tiles anew"
    )


class ShardedModels:
    """The models of a HyperCube in shards; to be closed."""

    def __init__(self, shape: tuple[int, ...], shards: Sequence[Shard]) -> None:
        self.shape = shape
        self._shards = list(shards)
        self._starts = [shard.first for shard in shards]
        self._open: OrderedDict[Shard, tuple[ExitStack, h5py.Dataset]] = OrderedDict()

    def close(self) -> None:
        """Close all shards."""
        while self._open:
            self._open.popitem()[1][0].close()

    def _models_of(self, shard: Shard) -> h5py.Dataset:
        if shard in self._open:
            self._open.move_to_end(shard)
            return self._open[shard][1]
        while len(self._open) >= MOST_OPEN:
            self._open.popitem(last=False)[1][0].close()
        with ExitStack() as stack:
            try:
                file = stack.enter_context(read_apart(shard.path))
            except FileNotFoundError as error:
                raise StoreError(f"Models cannot be read, {missing_words([shard])}.") from error
            models = file[schema.MODELS.path]
            self._open[shard] = stack.pop_all(), models
        return models

    def __getitem__(self, key: Any, /) -> NDArray[np.float32]:
        """Return the models at an index along S, or a range of them, and whatever of the rest."""
        along_s, *rest = key if isinstance(key, tuple) else (key,)
        if not isinstance(along_s, slice):
            along_s = range(self.shape[0])[along_s]
            shard = self._shards[int(np.searchsorted(self._starts, along_s, "right")) - 1]
            one: NDArray[np.float32] = self._models_of(shard)[(along_s - shard.first, *rest)]
            return one
        start, stop, _ = along_s.indices(self.shape[0])
        parts = [
            self._models_of(shard)[
                (slice(max(start - shard.first, 0), min(stop, shard.stop) - shard.first), *rest)
            ]
            for shard in self._shards
            if shard.first < stop and start < shard.stop
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


@contextmanager
def stored_models(file: h5py.File) -> Iterator[Models]:
    """Give the models of the HyperCube in an open file, wherever they lie."""
    shards, models = shards_of(file), file[schema.MODELS.path]
    if not shards:
        yield models
        return
    together = ShardedModels(models.shape, shards)
    try:
        yield together
    finally:
        together.close()


def stored_bytes(file: h5py.File) -> int:
    """Return the bytes that the models of a HyperCube take on disk."""
    shards = shards_of(file)
    if not shards:
        return int(file[schema.MODELS.path].id.get_storage_size())
    total = 0
    for shard in shards:
        if shard.path.exists():
            with read_apart(shard.path) as part:
                total += int(part[schema.MODELS.path].id.get_storage_size())
    return total


def remove_unused_shards(path: Path) -> None:
    """Remove shards of older HyperCubes of a file; by its sole writer.

    Only from the folder of its name: a copy of the file may go by the shards of the original.
    """
    folder = shards_folder(path)
    if not folder.is_dir():
        return
    with read_apart(path) as file:
        # By name alone: of a file that was renamed together with its folder they stand elsewhere.
        used = {shard.path.name for shard in shards_of(file)}
    for found in list(folder.iterdir()):
        owner = found.with_name(found.name.partition(".")[0] + ".h5")
        if OWN_NAME.fullmatch(found.name) and owner.name not in used:
            found.unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()


def tidy_shards(shards: Sequence[Shard]) -> None:
    """Remove what writers that were killed left beside shards, where nobody writes now."""
    for shard in shards:
        if any(left.exists() for left in (lock_path(shard.path), *left_behind(shard.path))):
            with suppress(LockedError), sole_writer(shard.path):
                pass
