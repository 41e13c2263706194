"""Runs without faults, which say what is to be expected of all others."""

import shutil
from pathlib import Path

import h5py
import numpy as np

from cubefit.fit_tracker import FitTracker
from cubefit.hypercube_builder import build_hypercube
from cubefit.pipeline_runner import PipelineRunner
from cubefit.store.amend import sole_writer
from cubefit.store.cube_creation import create_sharded_cube, shape_of_models
from cubefit.store.digests import digest_of_models
from cubefit.store.handle import reading
from cubefit.store.tiles import TileGrid
from tests.conftest import make
from tests.faults import victims
from tests.faults.expected import Expected, inputs_of


class Remembering(FitTracker):
    """Keeps every state that a fit tells."""

    def __init__(self, path):
        super().__init__(path)
        self.states = {}

    def maybe_save(self, x, epoch, *, state=None, **rest):
        self.states[victims.key_of(state)] = np.ravel(x).tobytes()


def build_in_shards(path):
    """Build by this process what a cluster began."""
    with reading(path) as file:
        grid = TileGrid.of(shape_of_models(file), *victims.TILES.values())
        digest = digest_of_models(file)
    with sole_writer(path):
        create_sharded_cube(path, grid, 8, "losvd", digest)
    build_hypercube(path, **victims.TILES, n_workers=1, verbose=False)


def expect(folder, operator="stored"):
    """Run everything once, without faults; fit by that operator."""
    folder.mkdir(parents=True, exist_ok=True)
    populated = make().populate(folder / "populated.h5")
    built, fitted = folder / "built.h5", folder / "fitted.h5"
    shutil.copy(populated, built)
    build_hypercube(built, **victims.TILES, n_workers=1, verbose=False)
    sharded = folder / "sharded" / "cube.h5"
    sharded.parent.mkdir()
    build_in_shards(Path(shutil.copy(populated, sharded)))
    shutil.copy(built, fitted)
    tracker = Remembering(fitted)
    PipelineRunner(fitted).solve_all(
        **victims.FIT, operator=operator, verbose=False, tracker=tracker
    )
    with h5py.File(fitted) as file:
        cube = file["HyperCube"]
        return Expected(
            populated=populated,
            built=built,
            sharded=sharded,
            inputs=inputs_of(file),
            models=cube["models"][()],
            checksums=cube["_crc32"][()],
            tile=cube["models"].chunks[:3],
            states=tracker.states,
            x_global=file["X_global"][()].tobytes(),
        )
