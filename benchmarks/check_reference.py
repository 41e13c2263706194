"""Check models and model cubes against brute-force reference files, kept outside the repository.

``python -m benchmarks.check_reference reference_small.npz [...]`` prints the largest errors over
all pixels, edges included, relative to the median of each spectrum. A file holds ``losvd``,
``vel``, ``templates``, ``tem_loglam``, ``obs_loglam``, ``models`` with their ``models_scp``,
``x_true`` and ``y``.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np

from cubefit import H5Manager, HyperCubeReader, build_hypercube, reconstruct_model_cube_single
from cubefit.store.results import read_model_cube


def check(path: Path, folder: Path) -> tuple[float, float, float]:
    """Return the errors of stored models, of the stored and of the matrix-free model cube."""
    with np.load(path) as file:
        reference = {key: file[key] for key in file.files if key != "meta_json"}
    h5 = folder / "cube.h5"
    manager = H5Manager(h5, tem_pix=reference["tem_loglam"], obs_pix=reference["obs_loglam"])
    manager.set_velocity_grid(reference["vel"])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Templates reach")
        manager.populate_from_arrays(
            losvd=reference["losvd"], datacube=reference["y"], templates=reference["templates"]
        )
    manager.ensure_rebin_and_resample()

    def cube_error(name: str) -> float:
        reconstruct_model_cube_single(h5, reference["x_true"], array_name=name, verbose=False)
        scale = np.median(reference["y"], axis=1, keepdims=True)
        return float(np.abs((read_model_cube(h5, name) - reference["y"]) / scale).max())

    matrix_free = cube_error("MatrixFree")
    build_hypercube(h5, verbose=False)
    with HyperCubeReader(h5) as reader:
        models = np.array([reader.plane(s)[c, p] for s, c, p in reference["models_scp"]])
    scale = np.median(reference["models"], axis=1, keepdims=True)
    model_error = float(np.abs((models - reference["models"]) / scale).max())
    return model_error, cube_error("ModelCube"), matrix_free


LIMIT = 2e-4
"""Largest error allowed, relative to the median of each spectrum."""


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        with tempfile.TemporaryDirectory(dir=Path.cwd()) as scratch:
            errors = check(Path(argument), Path(scratch))
        print(
            f"{argument}: models {errors[0]:.1e}, model cube {errors[1]:.1e} from the HyperCube, "
            f"{errors[2]:.1e} matrix-free"
        )
        if max(errors) > LIMIT:
            sys.exit(f"{argument}: an error exceeds {LIMIT}")
