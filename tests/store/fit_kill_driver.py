"""Writes to the /Fit of copies of a file, each in a process killed at its n-th system call.

``python fit_kill_driver.py FILE FOLDER`` kills before, and half-way through, every call that
reaches the disk. Any state that breaks a promise ends it with a traceback; it prints the number of
kills and the pairs of latest and best checkpoint that they left.
"""

import json
import os
import shutil
import signal
import sys
import zlib
from pathlib import Path

import h5py
import numpy as np

from cubefit.store.checkpoints import Checkpoint
from cubefit.store.fit_file import FitFile

N_WEIGHTS = 60
RING_SIZE = 2
BEST = {1: True, 2: False, 3: True, 4: False}
"""Whether each moment is the best so far; a row of metrics, a place in both rings, a checkpoint."""


def x_of(moment):
    return moment + np.arange(N_WEIGHTS) / 100.0


def record(file, moment):
    row = file.add_row({"epoch": moment, "chi2": moment, "nnz": moment})
    file.put_in_ring("vis", x_of(moment), row)
    file.save(
        Checkpoint(x=x_of(moment), epoch=moment, elapsed_s=moment, written=0.0),
        best=BEST[moment],
    )
    file.put_in_ring("x", x_of(moment), row)


def record_all(path, moments):
    with FitFile(path) as file:
        for moment in moments:
            record(file, moment)


def killed(path, step, half):
    """Whether a process that records moments 2 to 4 was killed before its end."""
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) in (0, -signal.SIGKILL), f"failed in step {step}"
        return os.WIFSIGNALED(status)
    left = [step]

    def armed(call):
        def counted(fd, *rest):
            left[0] -= 1
            if left[0] == 0:
                if half and rest:
                    call(fd, bytes(rest[0][: len(rest[0]) // 2]), rest[1])
                os.kill(os.getpid(), signal.SIGKILL)
            return call(fd, *rest)

        return counted

    os.pwrite, os.fdatasync = armed(os.pwrite), armed(os.fdatasync)
    record_all(path, range(2, 5))
    os._exit(0)


def moment_of(file, which):
    """Return the moment of a checkpoint, which must be complete."""
    slot = file[f"/Fit/checkpoints/{which}"]
    facts, x = json.loads(slot["record"][()]), slot["x"][()]
    assert x.tobytes() == x_of(facts["epoch"]).tobytes() == file[f"/Fit/x_{which}"][()].tobytes()
    assert facts["x_crc32"] == zlib.crc32(x.tobytes())
    return facts["epoch"]


def check_history(file):
    """Rows that count are complete, and so are places in a ring that name a row."""
    n = int(file["/Fit/metrics/n"][()])
    for name in ("epoch", "chi2", "nnz"):
        np.testing.assert_array_equal(file[f"/Fit/metrics/{name}"][:n], np.arange(n) + 1)
    for name in ("x_ring", "x_vis_ring"):
        ring = file[f"/Fit/{name}"]
        rows = file[f"/Fit/{name}_row"][()]
        assert len(set(rows[rows >= 0])) == np.count_nonzero(rows >= 0)
        for place in np.flatnonzero(rows >= 0):
            assert rows[place] < n
            np.testing.assert_array_equal(ring[place], x_of(rows[place] + 1).astype(ring.dtype))
    return n


def check(path):
    """Return what plain h5py finds: latest checkpoint, best checkpoint, rows."""
    with h5py.File(path, "r", swmr=True) as file:
        return moment_of(file, "latest"), moment_of(file, "best"), check_history(file)


def main(source, folder):
    start = Path(shutil.copy(source, folder / "start.h5"))
    record_all(start, [1])
    rest = start.stat().st_size
    states, kills = [(1, 1, 1)], 0
    for half in (False, True):
        step, before = 1, (1, 1, 1)
        while True:
            path = Path(shutil.copy(start, folder / "cube.h5"))
            if not killed(path, step, half):
                assert check(path) == (4, 3, 4)
                break
            found = check(path)
            # Nothing goes backwards, and the row of a moment is there before its checkpoint.
            assert all(now >= then for now, then in zip(found, before, strict=True))
            assert found[2] - found[0] in (0, 1)
            record_all(path, range(found[2] + 1, 5))
            assert check(path)[2] == 4
            assert path.stat().st_size == rest
            before, step, kills = found, step + 1, kills + 1
            states.append(found)
    print(kills, *sorted({state[:2] for state in states}))  # noqa: T201


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
