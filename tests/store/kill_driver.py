"""Runs an action on copies of a file, each in a process of its own, killed at its n-th system call.

``python kill_driver.py ACTION FILE FOLDER STRIDE`` kills at every STRIDE-th call, and prints how
many kills there were and how many of them left the change to be completed by the next reader. Any
state that breaks a promise ends it with a traceback.
"""

import os
import shutil
import signal
import sys
from pathlib import Path

import h5py
import numpy as np

from cubefit.hypercube_builder import build_hypercube
from cubefit.hypercube_reader import HyperCubeReader
from cubefit.store import amend
from cubefit.store.compress import compress_hypercube
from cubefit.store.handle import open_h5
from cubefit.store.lock import lock_path

CALLS = ("pwrite", "fsync", "fdatasync", "ftruncate", "replace", "unlink")
BIG = np.arange(200_000.0)


def add(path):
    with open_h5(path, "writer") as file:
        amend.replace_dataset(file, "/Big", BIG, {"unit": "pixel"})
        file.attrs["note"] = "a new one"


def replace(path):
    """Change datasets in place and by others of another size."""
    with open_h5(path, "writer") as file:
        amend.replace_dataset(file, "/DataCube", np.ones(file["/DataCube"].shape), {"unit": "Jy"})
        amend.replace_dataset(file, "/X_global", BIG[:100], {})
        if "/RebinMatrix" in file:
            del file["/RebinMatrix"]


def build(path):
    build_hypercube(path, S_chunk=4, C_chunk=3, P_chunk=6, verbose=False)


def compress(path):
    compress_hypercube(path)


ACTIONS = {"add": add, "replace": replace, "build": build, "compress": compress}


def digest_everything(path):
    """Return every value and attribute of a file, read through plain h5py."""
    content = {}

    def note(name, item):
        if isinstance(item, h5py.Dataset):
            content[name] = item[()].tobytes()
        content[name, "attrs"] = {k: str(v) for k, v in item.attrs.items() if k != "written"}

    with h5py.File(path, "r", locking=False) as file:
        file.visititems(note)
        note("/", file)
    return content


def die_at(step, half):
    """Kill this process at the ``step``-th system call; half-way through it where it writes."""
    left = [step]

    def armed(name):
        call = getattr(os, name)

        def counted(*args, **kwargs):
            left[0] -= 1
            if left[0] == 0:
                if half and name == "pwrite":
                    fd, data, place = args
                    call(fd, bytes(data[: len(data) // 2]), place)
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **kwargs)

        return counted

    for name in CALLS:
        setattr(os, name, armed(name))


def killed(action, path, step, half):
    """Whether the action was killed before its end."""
    child = os.fork()
    if child == 0:
        die_at(step, half)
        ACTIONS[action](path)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    assert os.waitstatus_to_exitcode(status) == 0, f"{action} failed in step {step}"
    return False


def check_amendment(path, before, after):
    """The file is old or new, as a whole; HDF5 alone opens it unless a redo file says otherwise."""
    pending = amend.redo_path(path).exists()
    if not pending:
        assert digest_everything(path) in (before, after)
    with open_h5(path, "reader"):
        pass
    found = digest_everything(path)
    assert not amend.redo_path(path).exists()
    assert found in (before, after)
    if pending:
        assert found == after
    return pending


def check_build(path, before, after):
    """No tile that says done is wrong, and plain HDF5 reads the file at once."""
    with h5py.File(path, "r", locking=False) as file:
        inputs = {k: v for k, v in before.items() if k not in ("HyperCube", ("HyperCube", "attrs"))}
        found = digest_everything(path)
        assert all(found[k] == v for k, v in inputs.items())
        if "HyperCube" not in file:
            return False
        done, models = file["/HyperCube/_done"][()], file["/HyperCube/models"]
        want = np.frombuffer(after["HyperCube/models"], np.float32).reshape(models.shape)
        for index in zip(*np.nonzero(done), strict=True):
            part = tuple(
                slice(i * t, (i + 1) * t) for i, t in zip(index, models.chunks, strict=False)
            )
            assert models[part].tobytes() == want[part].tobytes()
    return False


def check_compressed(path, before, after):
    """The old file or the new one."""
    assert digest_everything(path) in (before, after)
    with HyperCubeReader(path) as reader:
        assert reader.plane(0).any()
    return False


CHECKS = {"add": check_amendment, "replace": check_amendment, "build": check_build}


def main(action, source, folder, stride):
    done = Path(shutil.copy(source, folder / "done.h5"))
    before = digest_everything(done)
    ACTIONS[action](done)
    after = digest_everything(done)
    assert after != before
    path, kills, completed, half = folder / "cube.h5", 0, 0, False
    while True:
        shutil.copy(source, path)
        if not killed(action, path, 1 + kills * stride // 2, half):
            break
        kills += 1
        completed += CHECKS.get(action, check_compressed)(path, before, after)
        ACTIONS[action](path)
        assert digest_everything(path) == after
        assert {p.name for p in folder.iterdir()} == {"cube.h5", "done.h5"}
        half = not half
    assert not lock_path(path).exists()
    print(kills, completed)  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
