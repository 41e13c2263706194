"""The whole sequence from arrays on disk: populate, look, build, fit, reconstruct, draw.

``python -m cubefit.kz_fitSpec inputs.npz --out results`` runs it on one npz file; ``--help``
says what that holds (`cubefit.npz_inputs`).
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubefit import npz_inputs
from cubefit.config import SolverCfg, require_positive
from cubefit.errors import EXIT_INTERRUPTED, CubeFitError
from cubefit.hdf5_manager import H5Manager
from cubefit.hypercube_builder import build_hypercube
from cubefit.npz_inputs import Arrays, populate, read_arrays
from cubefit.pictures import draw
from cubefit.pipeline_runner import PipelineRunner
from cubefit.progress import visible_log
from cubefit.reconstruction import reconstruct_model_cube_single
from cubefit.report import save_figure
from cubefit.store.results import read_model_cube

__all__ = ["FitOutput", "fit_arrays", "main", "reconstruct_model_cube_single"]

# Not __name__, which is __main__ under python -m.
logger = logging.getLogger("cubefit.kz_fitSpec")

EXIT_ERROR = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class FitOutput:
    """What the sequence made."""

    h5_path: Path
    x: NDArray[np.float64]
    """Weights in template units, shape (C*P,)."""
    stats: dict[str, Any]
    model: NDArray[np.float64]
    """Model cube, shape (S, L)."""
    pictures: list[Path]


def fit_arrays(
    arrays: Arrays,
    out: Path,
    *,
    epochs: int = 5,
    build: bool = True,
    overwrite: bool = False,
    blas_threads: int | None = None,
    verbose: bool = True,
    **solver: Any,
) -> FitOutput:
    """Run the whole sequence: populate, look, build, fit, reconstruct, draw.

    Parameters
    ----------
    arrays : mapping
        See `cubefit.npz_inputs`.
    out : Path
        Folder for ``cube.h5`` and the pictures; created if missing.
    epochs : int
        Kaczmarz epochs.
    build : bool
        Build the HyperCube; without it the fit is matrix-free.
    overwrite : bool
        Replace a file in the folder that was made from other arrays, instead of refusing.
    blas_threads : int, optional
        Compute threads; default all usable cores.
    verbose : bool
        Tell progress.
    **solver
        Further arguments of `PipelineRunner.solve_all`.

    Returns
    -------
    FitOutput
    """
    out.mkdir(parents=True, exist_ok=True)
    h5_path = out / "cube.h5"
    with visible_log(verbose):
        populate(h5_path, arrays, overwrite=overwrite)
        logger.info("Template margins of %s: %s", h5_path, H5Manager.diagnose_rebin_edges(h5_path))
        if build:
            build_hypercube(h5_path, n_workers=blas_threads, verbose=verbose)
        prefit = H5Manager.live_prefit_snapshot_from_models(h5_path, out / "prefit.png")
        x, stats = PipelineRunner(h5_path).solve_all(
            epochs=epochs,
            orbit_weights=arrays.get("orbit_weights"),
            blas_threads=blas_threads,
            verbose=verbose,
            **solver,
        )
        reconstruct_model_cube_single(h5_path, x, blas_threads=blas_threads, verbose=verbose)
        pictures = [prefit]
        if stats["committed"]:
            pictures.append(save_figure(draw("spectra", h5_path), out / "spectra.png"))
    model = read_model_cube(h5_path)
    return FitOutput(h5_path=h5_path, x=x, stats=stats, model=model, pictures=pictures)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the sequence from the command line; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m cubefit.kz_fitSpec",
        description=f"{__doc__}\n{npz_inputs.__doc__}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("inputs", type=Path, help="npz file with the arrays")
    parser.add_argument(
        "--out", type=Path, default=Path("cubefit-fit"), help="folder of results (%(default)s)"
    )
    parser.add_argument("--epochs", type=int, default=5, help="Kaczmarz epochs (%(default)s)")
    parser.add_argument("--no-build", action="store_true", help="fit without the HyperCube on disk")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace a file made from other arrays"
    )
    parser.add_argument("--fresh", action="store_true", help="do not go on from an earlier fit")
    parser.add_argument("--threads", type=int, default=None, help="compute threads")
    options = parser.parse_args(argv)
    try:
        SolverCfg(epochs=options.epochs)
        require_positive("--threads", options.threads)
        result = fit_arrays(
            read_arrays(options.inputs),
            options.out,
            epochs=options.epochs,
            build=not options.no_build,
            overwrite=options.overwrite,
            warm_start="jacobi" if options.fresh else "auto",
            blas_threads=options.threads,
        )
    except (CubeFitError, OSError) as error:
        sys.stderr.write(f"Error: {error}\n")
        return EXIT_ERROR
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted: run it again, it goes on from where it was.\n")
        return EXIT_INTERRUPTED
    with visible_log(verbose=True):
        logger.info(
            "chi2 per voxel %.4g; results in %s", result.stats["chi2_per_voxel"], options.out
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
