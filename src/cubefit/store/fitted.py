"""All that a solution is read with: the file's axes, light of the components, image pixels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

from cubefit.config import Normalization
from cubefit.errors import StoreError
from cubefit.inputs import checked_solution, masses_per_unit
from cubefit.observation import Observation
from cubefit.spectra.losvd import losvd_moments
from cubefit.store import schema
from cubefit.store.digests import digest_of_fit
from cubefit.store.handle import reading
from cubefit.store.load import (
    read_component_properties,
    read_observation,
    read_optional,
    read_orbit_weights,
    read_template_axes,
    read_template_light,
)
from cubefit.store.results import Solution, own_normalization, read_solution

Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A solution and all that it is read with."""

    solution: Solution
    is_committed: bool
    """Whether it is the file's own, not one that was given."""
    normalization: Normalization
    """Of the LOSVDs that it belongs to."""
    has_noise: bool
    template_shape: tuple[int, ...]
    template_axes: dict[str, list[float]]
    """Values by name; empty where the file has none."""
    template_light: Float
    """Mean flux density of one unit of each template, shape (P,)."""
    template_masses: Float | None
    """Mass of one unit of each template, shape (P,)."""
    moments: Float
    """Share of component c's light in spaxel s, and its velocities: see `losvd_moments`."""
    orbit_weights: Float | None
    """Weight of each component in the dynamical model, shape (C,)."""
    component_properties: dict[str, Float]
    """What is known of the components, shape (C,) each."""
    binnum: NDArray[np.int32] | None
    """Spaxel of each image pixel, shape (nPix,); negative for none."""
    xpix: Float | None
    ypix: Float | None
    observation: Observation
    """What stands behind the arrays."""


def read_bins(file: h5py.File, path: Path, n_spaxels: int) -> NDArray[np.int32] | None:
    """Return the spaxel of each image pixel, or None.

    Raises
    ------
    StoreError
        If there are spaxels in it that the file does not have.
    """
    bins: NDArray[Any] | None = read_optional(file, schema.BIN_NUM)
    if bins is not None and bins.size and bins.max() >= n_spaxels:
        raise StoreError(
            f"{schema.BIN_NUM.path} of {path} reaches {bins.max()}, but there are {n_spaxels} "
            "spaxels, counted from 0: populate again, or restore a copy."
        )
    return bins


def read_fitted(
    path: Path,
    x: ArrayLike | None,
    *,
    template_masses: ArrayLike | None,
    normalization: Normalization | None,
) -> Fitted:
    """Return the committed solution of a file, or a given one, with all that it is read with.

    Parameters
    ----------
    path : Path
        A populated file.
    x : array_like, shape (C*P,) or (C, P), or None
        Another solution than the committed one, template units.
    template_masses : array_like, shape of the template axes or (P,), or None
        Masses to use instead of those in the file.
    normalization : {"losvd", "unit"} or None
        Of a given ``x``; default that of the HyperCube, else of the committed solution.

    Raises
    ------
    InputError
        If ``x`` or the masses do not fit.
    MissingDataError
        If no ``x`` is given and the file has none.
    StaleError
        If the committed solution belongs to other inputs than those now in the file.
    """
    with reading(path) as file:
        shape, axes = read_template_axes(file)
        losvd = file[schema.LOSVD.path][()]
        n_components, n_populations = losvd.shape[2], file[schema.TEMPLATES.path].shape[0]
        acting = normalization or own_normalization(file)
        if x is None:
            digest = digest_of_fit(file)
            solution = read_solution(file, path, digest, (n_components, n_populations))
            acting = solution.facts.get(schema.ATTR_NORMALIZATION, acting)
        else:
            given = checked_solution(x, n_components, n_populations)
            solution = Solution(x=given, run={}, facts={})
        moments = losvd_moments(losvd, file[schema.VEL_PIX.path][()], acting)
        masses = template_masses
        if masses is None:
            masses = read_optional(file, schema.TEMPLATE_MASS)
        return Fitted(
            solution=solution,
            is_committed=x is None,
            normalization=acting,
            has_noise=schema.NOISE.path in file,
            template_shape=shape,
            template_axes=axes,
            template_light=read_template_light(file),
            template_masses=None if masses is None else masses_per_unit(masses, shape),
            moments=moments,
            orbit_weights=read_orbit_weights(file, schema.X_ORBIT_WEIGHTS),
            component_properties=read_component_properties(file),
            binnum=read_bins(file, path, losvd.shape[0]),
            xpix=read_optional(file, schema.X_PIX),
            ypix=read_optional(file, schema.Y_PIX),
            observation=read_observation(file, path),
        )
