"""The fit of a galaxy: inputs into its file, the fit, and the model cube."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubefit.errors import StoreError
from cubefit.galaxy.settings import FitTable
from cubefit.hdf5_manager import H5Manager
from cubefit.hypercube_builder import build_hypercube
from cubefit.io.orbits import OrbitLibrary
from cubefit.observation import Observation
from cubefit.pipeline_runner import PipelineRunner
from cubefit.reconstruction import reconstruct_model_cube_single

logger = logging.getLogger(__name__)

Arrays = Mapping[str, NDArray[Any]]


def populate(
    path: Path,
    *,
    spectra: Arrays,
    templates: Arrays,
    orbits: OrbitLibrary,
    observation: Observation,
    overwrite: bool,
) -> None:
    """Put all inputs into the file of a fit; nothing is done where they are there."""
    manager = H5Manager(path, tem_pix=templates["tem_pix"], obs_pix=spectra["obs_pix"])
    manager.set_velocity_grid(orbits.vel)
    manager.populate_from_arrays(
        losvd=orbits.losvd,
        datacube=spectra["flux"],
        templates=templates["templates"],
        xpix=spectra["x"],
        ypix=spectra["y"],
        binnum=spectra["binnum"],
        noise=spectra.get("noise"),
        voxel_mask=spectra["mask"],
        template_axes={
            "metallicity": templates["metals"].tolist(),
            "age": templates["ages"].tolist(),
            "alpha": templates["alphas"].tolist(),
        },
        template_masses=templates["template_masses"],
        orbit_weights=orbits.weights,
        component_properties=orbits.properties or None,
        observation=observation,
        datacube_order="SL",
        overwrite=overwrite,
    )
    manager.ensure_rebin_and_resample()


def solve(path: Path, table: FitTable, *, threads: int | None, verbose: bool) -> dict[str, Any]:
    """Fit a populated file, and reconstruct the model; return what the fit came to.

    Raises
    ------
    KeyboardInterrupt
        After Ctrl-C; the file has the best point that was found.
    StoreError
        If the solution could not be written.
    """
    if table.build:
        build_hypercube(path, n_workers=threads, normalization=table.normalization, verbose=verbose)
    exact = table.method == "exact"
    _, stats = PipelineRunner(path).solve_all(
        method=table.method,
        orbit_weights="stored" if table.orbit_weights else None,
        ratio_weight=table.ratio_weight,
        regularization=table.regularization,
        normalization=None if table.build else table.normalization,
        gap_tolerance=table.gap_tolerance,
        max_memory_gb=table.max_memory_gb if exact else None,
        epochs=table.epochs,
        blas_threads=threads,
        verbose=verbose,
    )
    if stats.get("interrupted"):
        # The best point found is in the file; the step is not done before the optimum is.
        raise KeyboardInterrupt
    if not stats["committed"]:
        raise StoreError(f"The solution is not in {path}: see the log above, and run it again.")
    reconstruct_model_cube_single(path, blas_threads=threads, verbose=verbose)
    single = {k: v.item() if isinstance(v, np.generic) else v for k, v in stats.items()}
    return {k: v for k, v in single.items() if isinstance(v, bool | int | float | str)}
