"""CubeFit: one global, non-negative fit of stellar populations to orbits over an IFU cube.

The public names load on first use, so that ``import cubefit`` is instant.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from cubefit.errors import DependencyError

_HOMES = {
    "FitResult": "cubefit.results",
    "FitTracker": "cubefit.fit_tracker",
    "H5Manager": "cubefit.hdf5_manager",
    "HyperCubeReader": "cubefit.hypercube_reader",
    "Observation": "cubefit.observation",
    "PipelineRunner": "cubefit.pipeline_runner",
    "SolverCfg": "cubefit.config",
    "TrackerConfig": "cubefit.config",
    "Variation": "cubefit.many_fits",
    "VariedFit": "cubefit.many_fits",
    "build_hypercube": "cubefit.hypercube_builder",
    "file_info": "cubefit.store.file_info",
    "file_status": "cubefit.store.file_status",
    "fit_variations": "cubefit.many_fits",
    "gather_hypercube": "cubefit.store.gather",
    "jackknife": "cubefit.many_fits",
    "noise_realisations": "cubefit.many_fits",
    "open_h5": "cubefit.store.handle",
    "read_bins": "cubefit.io",
    "read_cube": "cubefit.io",
    "read_orbits": "cubefit.io",
    "read_ssp": "cubefit.io",
    "reconstruct_model_cube_single": "cubefit.reconstruction",
    "run_galaxy": "cubefit.galaxy",
    "solve_global_kaczmarz": "cubefit.kaczmarz_solver",
    "strengths": "cubefit.many_fits",
}
_HOMES_OF_EXTRAS = {"connected": ("cubefit.distributed.connection", "distributed")}
"""Home and extra; ``from cubefit import *`` leaves these names out, so that it works without."""

__all__ = ["__version__", *_HOMES]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    """Import a public name from its home."""
    if name == "__version__":
        return import_module("importlib.metadata").version("cubefit")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name in _HOMES_OF_EXTRAS:
        home, extra = _HOMES_OF_EXTRAS[name]
        try:
            return getattr(import_module(home), name)
        except ModuleNotFoundError as error:
            raise DependencyError(
                f'cubefit.{name} needs {error.name}: pip install "cubefit[{extra}]".'
            ) from error
    raise AttributeError(f"module 'cubefit' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted([*__all__, *_HOMES_OF_EXTRAS])
