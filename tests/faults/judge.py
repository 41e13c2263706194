"""What must hold after every fault, read through plain h5py and through CubeFit."""

import json
import zlib
from dataclasses import dataclass

import h5py
import numpy as np

from cubefit.store.amend import redo_path
from cubefit.store.checkpoints import read_checkpoint
from cubefit.store.handle import open_h5, reading
from cubefit.store.shards import shards_folder, shards_of
from tests.faults.expected import inputs_of
from tests.faults.victims import key_of

LATEST, BEST = "latest", "best"


@dataclass(frozen=True)
class Seen:
    """What a file holds."""

    done: np.ndarray | None = None
    """Tiles that are done, None without a HyperCube."""
    latest: tuple[int, int] | None = None
    """State in the latest checkpoint, None without one."""
    finished: bool = False
    """Whether the fit is."""
    redo: bool = False
    """Whether a half-made amendment waited for the next opening."""


def done_tiles(file, expected, models=None):
    """Return which tiles are done, None without a HyperCube; all of them hold what they should."""
    if "HyperCube" not in file:
        return None
    cube = file["HyperCube"]
    # First who is done, then the values: they may grow in between.
    done = cube["_done"][()].astype(bool)
    models = cube["models"][()] if models is None else models[()]
    checksums = cube["_crc32"][()]
    for index in np.argwhere(done):
        part = expected.slices(index)
        values = np.ascontiguousarray(models[part])
        place = tuple(int(i) for i in index)
        assert values.tobytes() == expected.models[part].tobytes(), f"tile {place} is wrong"
        assert zlib.crc32(values) == checksums[place], f"the checksum of tile {place} is wrong"
    return done


def checkpoint(file, expected, which):
    """Return name and end mark of the state in a checkpoint, None without one; it is whole."""
    link = f"Fit/checkpoints/{which}"
    if link not in file:
        return None
    record = file[link]["record"][()]
    x = file[f"Fit/x_{which}"][()]
    if not record:
        return None
    facts = json.loads(record)
    key = key_of(facts["state"])
    assert key in expected.states, f"x_{which} says that it is {key}, which the fit never was"
    assert x.tobytes() == expected.states[key], f"x_{which} is not the state {key} that it says"
    assert facts["x_crc32"] == zlib.crc32(x), f"the checksum of x_{which} is wrong"
    return key, facts["finished"]


def ring(file, expected):
    """Every place of the ring that names its row holds a state of the fit."""
    if "Fit/x_ring" in file:
        named = file["Fit/x_ring_row"][()] >= 0
        known = set(expected.states.values())
        assert all(x.tobytes() in known for x in file["Fit/x_ring"][()][named]), "the ring is torn"
        rows = file["Fit/metrics/epoch"][: int(file["Fit/metrics/n"][()])]
        assert (rows >= 0).all(), "a row of metrics is empty"


def content(file, expected):
    """Judge everything in an open file and return what it holds."""
    assert inputs_of(file) == expected.inputs, "the inputs changed"
    done = done_tiles(file, expected)
    latest = checkpoint(file, expected, LATEST)
    checkpoint(file, expected, BEST)
    ring(file, expected)
    if latest is None:
        return Seen(done)
    return Seen(done, *latest)


def look(path, expected):
    """Judge a file that nobody writes to."""
    redo = redo_path(path).exists()
    if redo:
        # HDF5 alone may not read it before CubeFit has opened it once.
        with open_h5(path, "reader"):
            pass
        assert not redo_path(path).exists(), "an amendment was not completed"
    for mode in ({}, {"swmr": True}):
        with h5py.File(path, "r", **mode) as file:
            seen = content(file, expected)
    with open_h5(path, "reader") as file:
        content(file, expected)
        for which in (LATEST, BEST):
            read_checkpoint(file, which)
    return Seen(seen.done, seen.latest, seen.finished, redo)


def nothing_lost(before, now):
    """Everything that was finished before still is."""
    if before.done is not None:
        assert now.done is not None, "the HyperCube is gone"
        assert (now.done >= before.done).all(), "a finished tile is lost"
    if before.latest is not None:
        assert now.latest is not None, "the checkpoint is gone"
        assert now.latest >= before.latest, "a checkpoint is lost"


def went_on(before, told):
    """A call went on from what was finished before."""
    if before.done is not None:
        redone = [index for index in told.get("tile", []) if before.done[index]]
        assert not redone, f"finished tiles {redone} were made again"
    if before.latest is not None and "first" in told:
        assert told["first"][0] > before.latest, "the fit went on from before its checkpoint"


def built(path, expected):
    """The HyperCube is complete and the same to the byte."""
    seen = look(path, expected)
    assert seen.done is not None, "there is no HyperCube"
    assert seen.done.all(), "a tile is missing"
    with h5py.File(path) as file:
        assert file["HyperCube/models"][()].tobytes() == expected.models.tobytes()
        assert file["HyperCube/_crc32"][()].tobytes() == expected.checksums.tobytes()


def fitted(path, expected):
    """The fit is complete and the same to the bit."""
    seen = look(path, expected)
    assert seen.latest == max(expected.states), "the last state is not the latest checkpoint"
    if expected.x_global is not None:
        assert seen.finished, "the fit is not marked as finished"
        with h5py.File(path) as file:
            assert file["X_global"][()].tobytes() == expected.x_global, "X_global has other bits"


def tidy(path):
    """Nothing lies beside the file but the shards that it leads to."""
    wanted = {path}
    if shards_folder(path).exists():
        with reading(path) as file:
            wanted |= {shard.path for shard in shards_of(file)}
        wanted |= {shard.parent for shard in wanted - {path}}
    beside = set(path.parent.rglob("*")) - wanted
    assert not beside, f"left behind: {beside}"
