"""Small disks that fill up: a real one where this system lets us mount it, and an injected one."""

import contextlib
import errno
import os
import subprocess

import h5py

from tests.faults.injection import with_room

BLOCK = 4096


class MountedDisk:
    """A tmpfs of a few megabytes."""

    def __init__(self, folder):
        self.folder = folder

    def fill(self, room):
        """Leave ``room`` bytes."""
        filler = self.folder / "filler"
        filler.unlink(missing_ok=True)
        free = os.statvfs(self.folder).f_bavail * BLOCK
        with filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(free - room, 1))

    def make_space(self):
        """Empty it."""
        (self.folder / "filler").unlink(missing_ok=True)


class InjectedDisk:
    """A folder in which the writes and reservations of CubeFit meet a full disk.

    HDF5's are refused where a dataset is to be created.
    """

    def __init__(self, folder, patch):
        self.folder = folder
        self._patch = patch

    def fill(self, room):
        """Leave ``room`` bytes."""
        left = [room]

        def fallocate(fd, offset, n_bytes, *, keep_size=False):
            if n_bytes > left[0]:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def create_dataset(*_args, **_settings):
            raise RuntimeError(f"file write failed: errno = {errno.ENOSPC}, error message = ...")

        self._patch.setattr(h5py.Group, "create_dataset", create_dataset)
        self._patch.setattr(os, "pwrite", with_room(os.pwrite, left))
        for module in ("files", "amend"):
            self._patch.setattr(f"cubefit.store.{module}.fallocate", fallocate)

    def make_space(self):
        """Empty it."""
        self._patch.undo()


@contextlib.contextmanager
def mounted(folder, n_bytes):
    """Mount a tmpfs of ``n_bytes`` meanwhile."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={n_bytes}", "none", folder]
    subprocess.run(command, check=True, capture_output=True)
    try:
        yield MountedDisk(folder)
    finally:
        subprocess.run(["umount", folder], check=True)  # noqa: S607


def can_mount(folder):
    """Whether this process may mount a tmpfs."""
    try:
        with mounted(folder, 1 << 20):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False
