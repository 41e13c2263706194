"""The templates of a galaxy's fit: in the data's medium, at its resolution, on a finer grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubefit.galaxy.settings import CubeTable, SSPTable
from cubefit.io.line_spread import read_line_spread
from cubefit.io.orbits import OrbitLibrary
from cubefit.io.ssp import SSPLibrary, read_ssp
from cubefit.prepare.continuum import shapes_of_templates
from cubefit.prepare.resolution import LineSpread
from cubefit.prepare.templates import (
    TemplateGrid,
    needed_wave_range,
    prepared_templates,
    template_ln_grid,
)
from cubefit.spectra.losvd import lit_velocity_range

Float = NDArray[np.float64]


def line_spread_of(
    table: CubeTable, fwhm_wave: Float, fwhm: Float, *, pixel: float
) -> LineSpread | None:
    """Return the instrument's line spread: of the settings, else of the cube, else None.

    That of the settings was measured on pixels of the cube, ``pixel`` Angstrom wide, which is
    taken out; that of a cube is before its pixels (MaNGA), and goes on for a pixel beyond the
    centres of the first and the last.
    """
    if isinstance(table.lsf, str):
        found = (
            LineSpread.named(table.lsf)
            if table.lsf == "muse"
            else read_line_spread(Path(table.lsf))
        )
        return found.without_pixel(pixel)
    if table.lsf is not None:
        return LineSpread.constant(table.lsf).without_pixel(pixel)
    if not fwhm.size:
        return None
    return LineSpread.table(fwhm_wave, fwhm, "the cube").held_beyond(pixel)


def prepare_templates(
    ssp: SSPTable,
    obs_pix: Float,
    used: NDArray[np.bool_],
    orbits: OrbitLibrary,
    *,
    medium: str,
    line_spread: LineSpread | None,
    redshift: float,
    continuum_degree: int | None,
) -> TemplateGrid:
    """Return the templates for observed pixels and the velocities of an orbit library.

    Parameters
    ----------
    ssp : SSPTable
        Settings.
    obs_pix : ndarray, shape (L,)
        Pixel centres of the data in ln(Angstrom), at rest.
    used : ndarray of bool, shape (L,)
        Pixels that are in use in any bin.
    orbits : OrbitLibrary
        Its LOSVDs say how far templates must reach beyond the data.
    medium : {"air", "vacuum"}
        Of the data.
    line_spread : LineSpread or None
        The instrument's, at observed wavelengths.
    redshift : float
        Of the galaxy.
    continuum_degree : int or None
        Of the polynomial that the data were divided by.
    """
    lit = lit_velocity_range(orbits.losvd, orbits.vel)
    ln_wave = template_ln_grid(obs_pix, oversampling=ssp.oversampling, guard_kms=lit)
    ends = np.exp(obs_pix[[0, -1]])
    at_rest = None
    if line_spread is not None and ssp.resolution == "match":
        at_rest = line_spread.at_redshift(redshift)
    widest = 0.0 if at_rest is None else float(at_rest(np.exp(obs_pix)).max())
    library = covering_library(ssp, ln_wave, medium, widest)
    grid = prepared_templates(
        library.cut(ages=ssp.ages, metals=ssp.metals, alphas=ssp.alphas),
        ln_wave,
        medium=medium,
        line_spread=at_rest,
        data_range=(float(ends[0]), float(ends[1])),
        normalization=ssp.normalization,
    )
    return (
        grid if continuum_degree is None else without_shapes(grid, obs_pix, used, continuum_degree)
    )


def covering_library(ssp: SSPTable, ln_wave: Float, medium: str, widest_fwhm: float) -> SSPLibrary:
    """Return what a template grid needs of a library, whatever its medium."""
    assumed: str = ssp.medium or "air"
    for _ in range(2):
        needed = needed_wave_range(
            ln_wave, medium=medium, library_medium=assumed, widest_fwhm=widest_fwhm
        )
        library = read_ssp(Path(ssp.path), medium=ssp.medium, wave_range=needed, format=ssp.format)
        if library.medium == assumed:
            break
        assumed = library.medium
    return library


def findings_of(grid: TemplateGrid, ssp: SSPTable) -> list[str]:
    """Return what is to be said of the resolution of templates, in words."""
    found = []
    if ssp.resolution == "match" and not grid.is_matched:
        found.append(
            "The resolution of the data is not known, so templates keep theirs, and the difference "
            "is taken for motions: give cube.lsf, or say ssp.resolution = 'as given'."
        )
    if grid.coarser is not None:
        found.append(
            f"Templates are a little coarser than the data from {grid.coarser[0]:.0f} to "
            f"{grid.coarser[1]:.0f} Angstrom (at rest), and stay as they are there."
        )
    return found


def without_shapes(
    grid: TemplateGrid, obs_pix: Float, used: NDArray[np.bool_], degree: int
) -> TemplateGrid:
    """Return templates without the shapes of their continua, for data without theirs."""
    flat = grid.templates.reshape(grid.ln_wave.size, -1)
    shapes = shapes_of_templates(flat, grid.ln_wave, obs_pix, used, degree)
    return replace(grid, templates=(flat / shapes).reshape(grid.templates.shape))


def as_arrays(grid: TemplateGrid) -> Mapping[str, NDArray[Any]]:
    """Return templates as arrays under their names in `cubefit.npz_inputs`."""
    return {
        "tem_pix": grid.ln_wave,
        "templates": grid.templates,
        "metals": grid.metals,
        "ages": grid.ages,
        "alphas": grid.alphas,
        "template_masses": grid.masses,
    }
