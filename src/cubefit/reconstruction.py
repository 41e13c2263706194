"""The model cube ``A x`` of a solution, from the stored HyperCube or without it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cubefit import threads
from cubefit.config import Normalization, require_choice, require_positive
from cubefit.errors import InputError
from cubefit.hypercube_reader import HyperCubeReader
from cubefit.inputs import checked_solution
from cubefit.interrupts import stopping_between_steps
from cubefit.inverse.matrix_free import MatrixFreeOperator
from cubefit.inverse.operators import weighted_light
from cubefit.progress import Progress, visible_log
from cubefit.store import schema
from cubefit.store.digests import digest_of_fit, digest_of_models
from cubefit.store.handle import reading, require_writable
from cubefit.store.load import read_dims, read_model_inputs
from cubefit.store.results import (
    acting_cube,
    has_model_cube,
    model_cube_stamp,
    own_normalization,
    read_solution,
    require_result_name,
    write_model_cube,
)

logger = logging.getLogger(__name__)

Float = NDArray[np.float64]
DEFAULT_SLAB_BYTES = 6_000_000_000
WORKING_SLAB_BYTES = 256 * 2**20
"""Larger slabs are not faster; ``max_bytes_per_slab`` bounds smaller ones."""


def slab_sizes(shape: tuple[int, int, int, int], s_tile: int, max_bytes: int) -> tuple[int, int]:
    """Return the spaxels and populations per slab that stay within ``max_bytes`` of float32.

    Raises
    ------
    InputError
        If not even one spaxel and population fit.
    """
    _, C, P, L = shape
    least = 4 * C * L
    if max_bytes < least:
        raise InputError(
            f"max_bytes_per_slab={max_bytes} is less than one population of one spaxel "
            f"({least} bytes): raise it."
        )
    max_bytes = min(max_bytes, max(WORKING_SLAB_BYTES, least))
    populations = min(P, max_bytes // least)
    spaxels = max(1, min(s_tile, max_bytes // (least * populations)))
    return int(spaxels), int(populations)


def reconstruct_from_cube(
    reader: HyperCubeReader,
    x: Float,
    s_tile: int | None,
    max_bytes: int,
    *,
    verbose: bool,
    on_slab: Callable[[], None] | None = None,
) -> Float:
    """Return ``A x`` (S, L) in one pass over the stored HyperCube, summed in float64."""
    S, _, P, L = reader.shape
    wanted = reader.status.chunks[0] if s_tile is None else s_tile
    spaxels, populations = slab_sizes(reader.shape, min(wanted, S), max_bytes)
    cube = np.zeros((S, L))
    with Progress("Reconstructing", S * P, verbose=verbose) as progress:
        for s in range(0, S, spaxels):
            for p in range(0, P, populations):
                part = slice(s, min(s + spaxels, S)), slice(p, min(p + populations, P))
                slab, weights = reader.slab(*part), x[:, part[1]]
                for offset, plane in enumerate(slab):
                    cube[s + offset] += weighted_light(plane, weights)
                progress.advance(slab.shape[0] * slab.shape[2])
                if on_slab is not None:
                    on_slab()
    return cube


def reconstruct_matrix_free(path: Path, x: Float, normalization: Normalization) -> Float:
    """Return ``A x`` (S, L) from LOSVDs and templates alone, all in float64."""
    with reading(path) as file:
        inputs = read_model_inputs(file, normalization)
    shifted = inputs.shifted_templates(np.float64)
    return MatrixFreeOperator(inputs.losvd, shifted, dtype=np.float64).matvec(x)


def reconstruct_model_cube_single(
    h5_path: str | Path,
    x_global: ArrayLike | None = None,
    array_name: str = schema.MODEL_CUBE.name,
    blas_threads: int | None = None,
    S_tile: int | None = None,
    max_bytes_per_slab: int = DEFAULT_SLAB_BYTES,
    *,
    normalization: Normalization | None = None,
    verbose: bool = True,
) -> bool:
    """Write the model cube ``A x`` (S, L) as float64 under ``/array_name``.

    An unchanged reconstruction (same x, inputs and normalization) is left alone. Without a finished
    HyperCube it is computed matrix-free.

    Parameters
    ----------
    h5_path : str or Path
        A populated file.
    x_global : array_like, shape (C*P,) or (C, P), optional
        Weights in physical (template) units; default the committed solution, ``/X_global``.
    array_name : str
        Name of the dataset in the file's root.
    blas_threads : int, optional
        Compute threads; default all usable cores.
    S_tile : int, optional
        Spaxels per slab; default the file's chunk length.
    max_bytes_per_slab : int
        Memory for one slab of models, which bounds spaxels and populations per slab.
    normalization : {"losvd", "unit"}, optional
        Of a reconstruction without finished HyperCube; default that of an unfinished one, else of
        ``/X_global``, else ``losvd``. A finished HyperCube knows its own, and so does the committed
        solution.
    verbose : bool
        Tell progress.

    Returns
    -------
    bool
        True if it was computed, False if it was in the file already.

    Raises
    ------
    InputError
        If ``x`` has the wrong length or holds NaN, or the name is taken.
    MissingDataError
        If the committed solution is wanted and there is none yet.
    StaleError
        If the HyperCube or the committed solution belongs to other inputs than those now in the
        file.
    """
    path, name = Path(h5_path), array_name.strip("/")
    require_result_name(name)
    if normalization is not None:
        require_choice("normalization", normalization, Normalization)
    for setting, value in {
        "blas_threads": blas_threads,
        "S_tile": S_tile,
        "max_bytes_per_slab": max_bytes_per_slab,
    }.items():
        require_positive(setting, value)
    with reading(path) as file:
        dims = read_dims(file)
        own: Normalization | None = None
        if x_global is None:
            shape = (dims["nComp"], dims["nPop"])
            solution = read_solution(file, path, digest_of_fit(file), shape)
            x, own = solution.x, solution.facts.get(schema.ATTR_NORMALIZATION)
        else:
            x = checked_solution(x_global, dims["nComp"], dims["nPop"])
        digest = digest_of_models(file)
        reason = "no finished HyperCube"
        if normalization is None and own is not None and own != own_normalization(file):
            stored, acting = False, own
            reason = "a HyperCube of another normalization than its solution"
        else:
            stored, acting = acting_cube(file, path, normalization, digest)
        stamp = model_cube_stamp(digest, x, acting)
    with (
        visible_log(verbose),
        threads.blas_threads(blas_threads),
        stopping_between_steps(
            f"{path} is as it was; the same call makes /{name}.", f"/{name} of {path} is complete."
        ) as look,
    ):
        if has_model_cube(path, name, stamp):
            logger.info("/%s of %s is current: nothing to do.", name, path)
            return False
        require_writable(path)
        if stored:
            with HyperCubeReader(path) as reader:
                cube = reconstruct_from_cube(
                    reader, x, S_tile, max_bytes_per_slab, verbose=verbose, on_slab=look
                )
        else:
            logger.info("%s has %s: reconstructing matrix-free.", path, reason)
            cube = reconstruct_matrix_free(path, x, acting)
            look()
        write_model_cube(path, name, cube, stamp)
    return True
