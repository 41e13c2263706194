"""The faults themselves. A process arms one of them before it begins to work.

HDF5's own writes go past these; kills at random times meet those.
"""

import errno
import itertools
import os
import random
import resource
import signal
from dataclasses import dataclass
from pathlib import Path

CALLS = ("pwrite", "fsync", "fdatasync", "ftruncate", "replace", "unlink")
"""Every call by which CubeFit changes a file that others see."""


@dataclass(frozen=True)
class NoFault:
    """Nothing happens."""

    def arm(self):
        pass


@dataclass(frozen=True)
class AtCall:
    """Death at the n-th call that changes a file; half-way through it where it writes."""

    n: int
    half: bool = False
    group: bool = False
    """Whether the whole process group dies, as in a batch job: the solver and its writer."""
    mark: Path | None = None
    """File that is made just before, to say that it came to that."""

    def arm(self):
        numbers = itertools.count(1)
        for name in CALLS:
            setattr(os, name, self._armed(name, getattr(os, name), numbers))

    def _armed(self, name, call, numbers):
        def counted(*args, **kwargs):
            if next(numbers) == self.n:
                if self.half and name == "pwrite":
                    fd, data, place = args
                    call(fd, bytes(data[: len(data) // 2]), place)
                if self.mark is not None:
                    self.mark.touch()
                if self.group:
                    kill_own_group()
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **kwargs)

        return counted


def kill_own_group():
    """Kill a victim and its writer, from either of them."""
    group = os.getpgrp()
    assert group in (os.getpid(), os.getppid()), "this group holds more than a victim"
    os.killpg(group, signal.SIGKILL)


@dataclass(frozen=True)
class ShortWrites:
    """Every write takes a random part of what it is given, at least one byte."""

    seed: int

    def arm(self):
        rng, pwrite = random.Random(self.seed), os.pwrite  # noqa: S311
        os.pwrite = lambda fd, data, at: pwrite(fd, data[: rng.randint(1, len(data))], at)


@dataclass(frozen=True)
class FullDisk:
    """No space is left after so many bytes; the last write that fits in part is short."""

    room: int

    def arm(self):
        os.pwrite = with_room(os.pwrite, [self.room])


def with_room(pwrite, room):
    """Return a ``pwrite`` for a disk on which ``room[0]`` bytes are free."""

    def limited(fd, data, at):
        n = min(room[0], len(data))
        if not n:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        room[0] -= n
        return pwrite(fd, bytes(data[:n]), at)

    return limited


@dataclass(frozen=True)
class FileSizeLimit:
    """No file may grow beyond so many bytes (``ulimit -f``), for HDF5 neither."""

    n_bytes: int

    def arm(self):
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.n_bytes, self.n_bytes))
