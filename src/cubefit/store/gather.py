"""A HyperCube out of its shards into one file: chunk by chunk, verified, then swapped in."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from pathlib import Path

import h5py

from cubefit.errors import StoreError
from cubefit.interrupts import stopping_between_steps
from cubefit.progress import Progress, visible_log
from cubefit.store import schema
from cubefit.store.access import read_apart
from cubefit.store.amend import sole_writer
from cubefit.store.compress import require_filters, require_finished, verify_copy
from cubefit.store.cube_creation import bytes_besides_models, copy_all_but, preallocated
from cubefit.store.files import require_free
from cubefit.store.handle import new_file, reading
from cubefit.store.shards import Shard, remove_unused_shards, stored_bytes
from cubefit.store.tiles import CubeStatus

logger = logging.getLogger(__name__)

OnBytes = Callable[[float], None]
OWN_ATTRIBUTES = (schema.ATTR_COMPRESSION, schema.ATTR_MANTISSA_BITS)
"""What a shard knows of its models that the base file does not."""


def gather_hypercube(path: str | Path, *, verbose: bool = True) -> int:
    """Put a finished HyperCube that lies in shards into its base file, and remove the shards.

    The file is replaced, and the shards removed, only when every tile of the new one was read back
    and compared; until then nothing changes, and disk space for both is needed. Nobody should be
    reading the HyperCube at that time: to plain HDF5, removed shards read as zeros.

    Parameters
    ----------
    path : str or Path
        The base file.
    verbose : bool
        Tell progress.

    Returns
    -------
    int
        Shards gathered; 0 where the HyperCube lies in the file already.

    Raises
    ------
    MissingDataError
        If there is no finished HyperCube, or a shard is missing.
    StoreError
        If the disk cannot hold it, if the shards are compressed in different ways, or if the new
        file does not read back as it should; the file is then as it was.
    KeyboardInterrupt, StoppedError
        After Ctrl-C or another signal; the file is as it was.
    """
    path = Path(path)
    with reading(path):
        pass
    as_was = f"{path} and its shards are as they were; the same call gathers them."
    with (
        visible_log(verbose),
        sole_writer(path, "gather") as lock,
        stopping_between_steps(as_was, f"{path} is gathered.") as look,
    ):
        with reading(path) as source:
            status = require_finished(source, path, "gather")
            require_filters(status)
            if not status.shards:
                remove_unused_shards(path)
                logger.info("The HyperCube of %s lies in the file: nothing to do.", path)
                return 0
            total = stored_bytes(source)
            needed = total + bytes_besides_models(path)
            require_free(path.resolve().parent, needed, f"Gathering the HyperCube of {path}")
            whole = 4 * math.prod(status.grid.shape)
            with (
                Progress("Gathering", total + whole, verbose=verbose) as progress,
                new_file(path) as target,
            ):

                def step(n_bytes: float) -> None:
                    progress.advance(n_bytes)
                    look()

                copy_all_but(source, target, schema.HYPERCUBE_GROUP)
                _gather_into(target, source, path, status, step)
                verify_copy(target, path, step)
        lock.guard(path)
        remove_unused_shards(path)
        if status.shards[0].path.exists():
            logger.warning(
                "%s holds its HyperCube now. Its shards are in the folder of another file, %s: "
                "remove them yourself if that one does not need them.",
                path, status.shards[0].path.parent,
            )  # fmt: skip
    return len(status.shards)


def _gather_into(
    target: h5py.File, source: h5py.File, path: Path, status: CubeStatus, on_bytes: OnBytes
) -> None:
    target.create_group(schema.HYPERCUBE_GROUP)
    for entry, values in ((schema.DONE, status.done), (schema.CHECKSUMS, status.checksums)):
        preallocated(target, entry, status.grid.counts, None)[...] = values
    models = _models_like(target, status.shards[0], status)
    models.attrs.update(source[schema.MODELS.path].attrs)
    for shard in status.shards:
        with read_apart(shard.path) as part:
            own = part[schema.MODELS.path]
            _require_same_chunks(own, models, shard, path)
            for name in OWN_ATTRIBUTES:
                if name in own.attrs:
                    models.attrs[name] = own.attrs[name]
            _copy_chunks(own, models, shard.first, on_bytes)
    target.flush()


def _models_like(target: h5py.File, shard: Shard, status: CubeStatus) -> h5py.Dataset:
    """Create the dataset of all models, chunked and filtered as those of a shard."""
    with read_apart(shard.path) as part:
        own = part[schema.MODELS.path].id
        space = h5py.h5s.create_simple(status.grid.shape)
        made = h5py.h5d.create(
            target.id, schema.MODELS.path.encode(), own.get_type(), space, own.get_create_plist()
        )
    return h5py.Dataset(made)


def _filters(models: h5py.Dataset) -> list[object]:
    plist = models.id.get_create_plist()
    # What a filter notes of the type and chunk that it works on is the same where these are.
    return [plist.get_filter(k) for k in range(plist.get_nfilters())]


def _require_same_chunks(own: h5py.Dataset, models: h5py.Dataset, shard: Shard, path: Path) -> None:
    if own.chunks != models.chunks or _filters(own) != _filters(models):
        raise StoreError(
            f"The shards of {path} are compressed in different ways, first {shard.path}: compress "
            "all of them alike first, cubefit compress. Nothing was changed."
        )


def _copy_chunks(own: h5py.Dataset, models: h5py.Dataset, first: int, on_bytes: OnBytes) -> None:
    """Copy chunks as they are: shards begin where chunks do."""
    found: list[h5py.h5d.StoreInfo] = []
    own.id.chunk_iter(found.append)
    for info in found:
        mask, values = own.id.read_direct_chunk(info.chunk_offset)
        place = (info.chunk_offset[0] + first, *info.chunk_offset[1:])
        models.id.write_direct_chunk(place, values, mask)
        on_bytes(len(values))
