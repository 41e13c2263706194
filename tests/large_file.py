"""A file of many spaxels that takes no disk, and the memory that is needed to work on it."""

import json
import tracemalloc
from contextlib import contextmanager

import h5py
import pytest

from cubefit.store import blocks

N_SPAXELS = 100_000
BLOCK_BYTES = 1 << 20
MUCH_LESS = 4
"""Than any of the large arrays, is this part of it."""


def enlarge(path):
    """Give a populated file 1e5 spaxels, all alike: its large arrays are but a fill value.

    Returns
    -------
    int
        Bytes of the smallest of LOSVDs, spectra and noise.
    """
    with h5py.File(path, "r+") as file:
        sizes = json.loads(file.attrs["dims"]) | {"nSpat": N_SPAXELS}
        file.attrs["dims"] = json.dumps(sizes)
        cube = N_SPAXELS, sizes["nLSpec"]
        large = {
            "/LOSVD": ((N_SPAXELS, sizes["nVel"], sizes["nComp"]), "f4", 0.125),
            "/DataCube": (cube, "f8", 1.0),
            "/Noise": (cube, "f8", 0.5),
            "/VoxelMask": (cube, bool, True),
        }
        for name, (shape, dtype, value) in large.items():
            if name in file:
                del file[name]
            file.create_dataset(name, shape, dtype, fillvalue=value)
        return min(file[name].nbytes for name in ("/LOSVD", "/DataCube", "/Noise"))


@contextmanager
def small_blocks():
    """Work in blocks of `BLOCK_BYTES`; yield a list that gets the peak of the memory, in bytes."""
    peak = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK_BYTES", BLOCK_BYTES)
        tracemalloc.start()
        try:
            yield peak
            peak.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
