"""Readers that look at a file in a loop, each in a process of its own, whatever happens to it."""

import collections
import contextlib
import time
import traceback

import h5py

from cubefit.store.handle import open_h5
from tests.faults import judge
from tests.faults.processes import CONTEXT, DEADLINE_S

UNREADABLE = (OSError, KeyError, RuntimeError, ValueError)
"""What HDF5 raises on broken metadata. A plain reader meets them where the structure changes under
it, for milliseconds at the start of a first fit and when its solution is committed, and has to open
the file again."""
PATIENCE_S = 30.0
LOOKS_PER_HANDLE = 20
PAUSE_S = 0.01


def steady_look(path, expected, opened, counts):
    """Return what a file holds, or None where checkpoints have overtaken the look.

    Two checkpoints later the slot that is being read is used again: what is found there is no
    checkpoint, or one that the link does not lead to yet.
    """
    with opened(path) as file:
        before = progress(file)
        try:
            seen = judge.content(file, expected)
        except AssertionError:
            seen = None
            with opened(path) as later:
                if progress(later) == before:
                    raise
    with opened(path) as later:
        if progress(later) == before:
            return seen
    counts["overtaken by two checkpoints"] += seen is None
    return None


def reopened(path, expected, mode, counts):
    """Open, look at everything, close."""
    return steady_look(path, expected, lambda p: h5py.File(p, "r", **mode), counts)


def progress(file):
    """Return which checkpoint is the latest, and how many moments there were before and after.

    A checkpoint that comes in between would else look like the one two checkpoints later, whose
    slot is the same, before its row is there.
    """
    if "Fit/metrics/n" not in file:
        return None
    before = int(file["Fit/metrics/n"][()])
    latest = file.get("Fit/checkpoints/latest", getlink=True)
    return latest and (before, latest.path, int(file["Fit/metrics/n"][()]))


def held(path, expected, mode, counts):
    """Open once, and look at the tiles again and again."""
    with h5py.File(path, "r", **mode) as file:
        for _ in range(LOOKS_PER_HANDLE):
            models = file.get("HyperCube/models")
            if models is None:
                break
            file["HyperCube/_done"].refresh()
            file["HyperCube/_crc32"].refresh()
            models.refresh()
            judge.done_tiles(file, expected)
            counts["looks"] += 1
            time.sleep(PAUSE_S)


def through_cubefit(path, expected, mode, counts):
    """Open by CubeFit's own door, which completes amendments, look at everything, close."""
    return steady_look(path, expected, lambda p: open_h5(p, "reader"), counts)


KINDS = {
    "plain": (reopened, {}),
    "swmr": (reopened, {"swmr": True}),
    "held": (held, {}),
    "held swmr": (held, {"swmr": True}),
    "open_h5": (through_cubefit, {}),
}


def be_reader(kind, path, expected, amended, connection):
    """Look until told to stop; answer with what was met, and the first wrong thing."""
    look, mode = KINDS[kind]
    counts, wrong, failing_since = collections.Counter(), None, None
    last: tuple[int, judge.Seen] | None = None
    while wrong is None and not connection.poll(PAUSE_S):
        try:
            which = path.stat().st_ino
            seen = look(path, expected, mode, counts)
            if seen is not None and path.stat().st_ino == which:
                if last is not None and last[0] == which:
                    judge.nothing_lost(last[1], seen)
                last = which, seen
            counts["looks"] += 1
            failing_since = None
        except UNREADABLE:
            failing_since = failing_since or time.monotonic()
            counts[f"{kind}: had to open again"] += 1
            if not amended or time.monotonic() - failing_since > PATIENCE_S:
                wrong = f"A reader ({kind}) failed: {traceback.format_exc()}"
        except AssertionError:
            wrong = f"A reader ({kind}) saw: {traceback.format_exc()}"
    connection.send((counts, wrong))


@contextlib.contextmanager
def watching(path, expected, counts, *, amended, kinds=tuple(KINDS)):
    """Readers of every kind look at the file meanwhile.

    Parameters
    ----------
    path : Path
        The file, which exists.
    expected : Expected
        What it may hold.
    counts : Counter
        Takes what they met.
    amended : bool
        Whether its structure is changed meanwhile.
    kinds : tuple of str
        Of `KINDS`.

    Raises
    ------
    AssertionError
        At the end, if one of them saw what must not be.
    """
    readers = []
    for kind in kinds:
        ours, theirs = CONTEXT.Pipe()
        process = CONTEXT.Process(target=be_reader, args=(kind, path, expected, amended, theirs))
        process.start()
        theirs.close()
        readers.append((process, ours))
    try:
        yield
    finally:
        found = []
        for process, connection in readers:
            with contextlib.suppress(OSError):
                connection.send("stop")
            assert connection.poll(DEADLINE_S), "A reader hangs."
            met, wrong = connection.recv()
            process.join(DEADLINE_S)
            counts.update(met)
            found += [wrong] * bool(wrong)
    assert not found, "\n".join(found)
