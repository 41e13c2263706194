"""The fit of a galaxy: inputs into its file, the fit, and the model cube."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from cubefit.errors import OverwriteError, StoreError
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
    is_ours: bool,
) -> None:
    """Put all inputs into the file of a fit; nothing is done where they are there.

    Raises
    ------
    StoreError
        If a file that is not ours is there, with results of other inputs.
    """
    manager = H5Manager(path, tem_pix=templates["tem_pix"], obs_pix=spectra["obs_pix"])
    manager.set_velocity_grid(orbits.vel)
    put = partial(
        manager.populate_from_arrays,
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
    )
    try:
        put(overwrite=is_ours)
    except OverwriteError:
        # What users of `populate` would do is not for those of `run`.
        raise StoreError(
            f"{path} was made from other inputs, and not by this run, which replaces only what it "
            "made: move that file away, or choose another galaxy.out."
        ) from None
    manager.ensure_rebin_and_resample()


def decisive_for_fit(table: FitTable) -> dict[str, Any]:
    """Return the settings of the fit that its result depends on."""
    unfelt = {"exact": {"epochs"}, "kaczmarz": {"gap_tolerance", "ratio_weight"}}[table.method]
    unfelt |= {"max_memory_gb"}
    return {k: v for k, v in msgspec.to_builtins(table).items() if k not in unfelt}


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
