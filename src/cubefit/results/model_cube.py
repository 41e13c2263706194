"""The fitted model as a cube: on the image and the wavelengths of the cube that was observed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from cubefit.errors import InputError, MissingDataError
from cubefit.io.cube_files import CubeFile, WaveHeader, write_cube
from cubefit.observation import Observation
from cubefit.prepare.log_rebin import log_rebin_linear
from cubefit.prepare.rest_frame import rest_frame_edges
from cubefit.results.files import header_of
from cubefit.results.pixels import PixelGrid
from cubefit.spectra.grids import edges_of
from cubefit.store import schema
from cubefit.store.digests import digest_of_models
from cubefit.store.handle import reading
from cubefit.store.results import model_cube_stamp

if TYPE_CHECKING:
    from cubefit.results.fit_result import FitResult

Float = NDArray[np.float64]

BLOCK_BYTES: Final = 64 * 2**20
"""Of planes that are made at once."""


def read_current_model(result: FitResult) -> tuple[Float, Float]:
    """Return the model cube (S, L) of a result and the pixel centres in ln(Angstrom), (L,).

    Raises
    ------
    MissingDataError
        If the file has none of these weights.
    """
    entry = schema.MODEL_CUBE
    with reading(result.path) as file:
        stamp = model_cube_stamp(
            digest_of_models(file), result.x, str(result.facts["normalization"])
        )
        found = file[entry.path].attrs if entry.path in file else {}
        if any(found.get(key) != value for key, value in stamp.items()):
            raise MissingDataError(
                f"{result.path} has no {entry.path} of its weights: run `cubefit reconstruct`."
            )
        return np.asarray(file[entry.path][()], np.float64), file[schema.OBS_PIX.path][()]


def as_observed(model: Float, obs_pix: Float, seen: Observation) -> tuple[Float, WaveHeader]:
    """Return a model on fitted pixels as one on the pixels that were observed, and their axis.

    Flux is conserved (`log_rebin_linear`), and the stretch that took the data to rest undone.
    Pixels that the fit does not cover wholly are left out; where the file does not know the
    observed wavelengths, those of the fit remain.

    Parameters
    ----------
    model : ndarray, shape (S, L)
        On the fitted pixels.
    obs_pix : ndarray, shape (L,)
        Their centres in ln(Angstrom).
    seen : Observation
        Of the file.

    Returns
    -------
    model : ndarray, shape (S, n)
    axis : WaveHeader

    Raises
    ------
    InputError
        If the observation is not that of the data.
    """
    fitted, axis = np.exp(edges_of(obs_pix)), seen.wave
    if axis is None or not seen.medium:
        step = float(obs_pix[1] - obs_pix[0])
        first = math.exp(obs_pix[0])
        return model, WaveHeader(first=first, step=step, kind="ln", medium=seen.medium or "")
    observed = axis.edges
    at_rest = rest_frame_edges(observed, axis.medium, z=seen.redshift, to_medium=seen.medium)
    inside = np.flatnonzero((at_rest >= fitted[0]) & (at_rest <= fitted[-1]))
    if inside.size < 2:
        raise InputError(
            "No observed pixel lies inside the fitted wavelengths: populate with the observation "
            "that the data are of."
        )
    edges = slice(int(inside[0]), int(inside[-1]) + 1)
    stretch = np.diff(at_rest[edges]) / np.diff(observed[edges])
    found = log_rebin_linear(model.T, fitted, np.log(at_rest[edges])).T * stretch
    centre = axis.first + axis.step * edges.start
    header = WaveHeader(
        first=math.exp(centre) if axis.kind == "ln" else centre,
        step=axis.step,
        kind=axis.kind,
        medium=axis.medium,
    )
    return np.asarray(found), header


def image_planes(
    model: Float, bins: NDArray[np.int32], grid: PixelGrid
) -> Iterator[NDArray[np.float32]]:
    """Yield planes (n, ny, nx) of a model (S, L), NaN where there is no pixel in a spaxel.

    Spectra are sums, and are divided evenly over the pixels of a spaxel.
    """
    size, inside = model.shape[1], bins >= 0
    parts = np.bincount(bins[inside], minlength=len(model))[bins[inside]]
    planes = max(1, BLOCK_BYTES // (4 * grid.y.size * grid.x.size))
    for start in range(0, size, planes):
        part = model[:, start : start + planes]
        block = np.full((part.shape[1], grid.y.size, grid.x.size), np.nan, np.float32)
        block[:, grid.row[inside], grid.column[inside]] = (part[bins[inside]].T / parts).astype(
            np.float32
        )
        yield block


def export_model_cube(result: FitResult, path: Path, *, overwrite: bool) -> Path:
    """Write the model of a result as a FITS cube (wavelength, y, x), whole or not at all.

    Parameters
    ----------
    result : FitResult
        Of a file with a current ``/ModelCube`` and image pixels on a regular grid.
    path : Path
        Ends in .fits.
    overwrite : bool
        Replace a file there.

    Raises
    ------
    MissingDataError
        If the file has no model cube of these weights, or does not know its pixels.
    InputError
        If the pixels lie on no regular grid, or a file is in the way.
    StoreError
        If the disk does not take it.
    """
    model, obs_pix = read_current_model(result)
    pixels, grid = result.pixel_grid()
    seen = result.observation
    model, axis = as_observed(model, obs_pix, seen)
    header: dict[str, tuple[Any, str]] = {
        **header_of(result),
        "REDSHIFT": (seen.redshift, "taken out for the fit"),
    }
    cube = CubeFile(
        shape=(model.shape[1], grid.y.size, grid.x.size),
        wave=axis,
        x=(float(grid.x[0]), step_along(grid.x)),
        y=(float(grid.y[0]), step_along(grid.y)),
        pixel_unit=seen.pixel_unit or "arcsec",
        flux_unit=seen.flux_unit,
        wcs="" if seen.image is None else seen.image.wcs,
    )
    planes = image_planes(model, pixels.bins, grid)
    return write_cube(path, header, cube, planes, overwrite=overwrite)


def step_along(grid: Float) -> float:
    """Return the step of a regular grid, one where it has a single value."""
    return float(grid[1] - grid[0]) if grid.size > 1 else 1.0
