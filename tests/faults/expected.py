"""What a file should hold: the truth that everything is compared with."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tests.faults import victims

PRODUCTS = ("HyperCube", "Fit", "X_global")


@dataclass(frozen=True, repr=False)
class Expected:
    """An uninterrupted build and an uninterrupted fit of the same inputs."""

    populated: Path
    """File without a HyperCube."""
    built: Path
    """File with one."""
    sharded: Path
    """File with one in shards."""
    inputs: dict
    """Every value and attribute besides the products."""
    models: np.ndarray
    checksums: np.ndarray
    tile: tuple[int, int, int]
    states: dict[tuple[int, int], bytes]
    """``x`` after every step of the fit."""
    x_global: bytes | None

    def slices(self, index):
        """Return the part of the models that a tile holds."""
        return tuple(slice(i * t, (i + 1) * t) for i, t in zip(index, self.tile, strict=True))


def inputs_of(file):
    """Return every value and attribute besides the products, through plain h5py."""
    found = {("/", key): str(value) for key, value in file.attrs.items()}
    for name in file:
        if name not in PRODUCTS:
            found[name] = file[name][()].tobytes()
            found |= {(name, key): str(value) for key, value in file[name].attrs.items()}
    return found


def tracked(expected):
    """Return what the loop of `victims.track` leaves, instead of the fit."""
    size = expected.models.shape[1] * expected.models.shape[2]
    steps = range(1, victims.N_TRACKED + 1)
    states = {(step, 0): victims.tracked_x(step, size).tobytes() for step in steps}
    return replace(expected, states=states, x_global=None)
