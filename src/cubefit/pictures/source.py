"""What pictures are drawn from: a file, read as far as a picture needs it, and the choices made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cubefit.config import require_choice
from cubefit.errors import ConfigError, MissingDataError
from cubefit.inverse.observed import Observed
from cubefit.reconstruction import reconstruct_matrix_free
from cubefit.report import Compass, residuals
from cubefit.report.style import drawable, require_label, require_width
from cubefit.results import FitResult
from cubefit.results.fit_result import MeanKind
from cubefit.results.pixels import Pixels
from cubefit.results.stars import ALL_STARS, Stars, require_distinct, require_numbers
from cubefit.results.units import flux_unit_of, pixel_unit_of
from cubefit.store import schema
from cubefit.store.digests import digest_of_models
from cubefit.store.handle import reading
from cubefit.store.history import History, read_history
from cubefit.store.load import read_given_spectra, read_grids, read_observed
from cubefit.store.results import has_model_cube, model_cube_stamp, read_model_cube

Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What a picture is to show; checked against the file when it is drawn."""

    stars: Stars = ALL_STARS
    """Those that count."""
    spaxels: tuple[int, ...] | None = None
    """Spaxels to draw, or None for the best and the worst."""
    by: MeanKind | None = None
    """What means are weighted with."""
    properties: tuple[str, ...] | None = None
    """Names of component properties, with or without their unit."""
    pixel_unit: str | None = None
    """Unit of the pixel coordinates, or None for what the file says."""
    width_inch: float | None = None
    """Width of the figure, or None for that of the kind."""

    def __post_init__(self) -> None:
        """Check what can be checked without a file."""
        if self.by is not None:
            require_choice("by", self.by, MeanKind)
        if self.pixel_unit is not None:
            require_label(self.pixel_unit)
        if self.width_inch is not None:
            require_width(self.width_inch)
        if self.spaxels is not None:
            require_distinct("spaxels", self.spaxels)


class Source:
    """A file and the choices of a picture; datasets are read when they are first asked for.

    Parameters
    ----------
    path : Path
        A populated file.
    choices : Choices
        What to show of it.
    """

    def __init__(self, path: Path, choices: Choices) -> None:
        self.path = path
        self.choices = choices

    @property
    def by(self) -> MeanKind:
        """What means are weighted with."""
        return self.choices.by or "light"

    @property
    def pixel_unit(self) -> str:
        """Unit of the pixel coordinates: as chosen, or as the file says, if it does."""
        return self.choices.pixel_unit or pixel_unit_of(self.result.observation)

    @property
    def compass(self) -> Compass | None:
        """North and east on the image, where the file has its celestial coordinates."""
        plane = self.result.observation.image
        if plane is None or not plane.wcs:
            return None
        from cubefit.io.sky_directions import north_and_east  # noqa: PLC0415 - takes half a second

        found = north_and_east(plane)
        return None if found is None else Compass(north=found[0], east=found[1])

    @cached_property
    def flux_unit(self) -> str:
        """Unit of the fluxes, where the file says."""
        return drawable(flux_unit_of(self.result.observation))

    @cached_property
    def result(self) -> FitResult:
        """The committed solution."""
        return FitResult.from_file(self.path)

    @cached_property
    def chosen_result(self) -> FitResult:
        """The solution of the chosen stars alone, nothing of the others."""
        stars = self.choices.stars
        return self.result.selected(stars.components, ages=stars.ages, metals=stars.metals)

    @property
    def pixels(self) -> Pixels:
        """The image pixels.

        Raises
        ------
        MissingDataError
            If the file does not know them.
        """
        found = self.result.pixels
        if found is None:
            raise MissingDataError(
                f"{self.path} has no {schema.BIN_NUM.path}, the spaxel of each image pixel: "
                "populate with binnum (np.arange(S) where every spaxel is a pixel)."
            )
        return found

    @cached_property
    def pixel_table(self) -> xr.Dataset:
        """The maps of the chosen stars, along ``pixel``."""
        return self.chosen_result.maps()

    @cached_property
    def whole_pixel_table(self) -> xr.Dataset:
        """The maps of all stars, along ``pixel``."""
        return self.pixel_table if self.choices.stars.are_all else self.result.maps()

    @property
    def components(self) -> tuple[int, ...]:
        """The chosen components; all without a choice."""
        n_components = len(self.result.x)
        chosen = self.choices.stars.components
        if chosen is None:
            return tuple(range(n_components))
        require_numbers("components", chosen, n_components, self.path)
        return chosen

    @cached_property
    def ln_wave(self) -> Float:
        """Observed pixel centres in ln(wavelength / Angstrom), shape (L,)."""
        with reading(self.path) as file:
            return read_grids(file).obs_pix

    @cached_property
    def observed(self) -> Observed:
        """Data, noise and masks."""
        with reading(self.path) as file:
            return read_observed(file)

    def data_of(self, spaxels: Sequence[int]) -> Float:
        """Return the spectra of some spaxels, (n, L), NaN where the mask of voxels says so."""
        with reading(self.path) as file:
            return read_given_spectra(file, spaxels)

    @cached_property
    def model(self) -> Float:
        """The model cube (S, L): that of the file where it is of this solution, else made anew."""
        x, normalization = self.result.x, self._normalization
        with reading(self.path) as file:
            stamp = model_cube_stamp(digest_of_models(file), x, normalization)
        if has_model_cube(self.path, schema.MODEL_CUBE.name, stamp):
            return read_model_cube(self.path)
        return reconstruct_matrix_free(self.path, x, normalization)

    @cached_property
    def noise(self) -> Float | None:
        """One sigma, shape (S, L), one where a voxel is not in use; None where none was given."""
        observed = self.observed
        if not observed.has_noise:
            return None
        used = observed.used
        return np.divide(1.0, observed.inverse_noise, out=np.ones(used.shape), where=used)

    @cached_property
    def residual(self) -> tuple[Float, str]:
        """Data - model (S, L), NaN where a voxel is not in use, and its unit."""
        return residuals(self.observed.data, self.model, self.noise, self.observed.used)

    @cached_property
    def misfit(self) -> Float:
        """Chi2 per pixel in use of each spaxel, shape (S,); NaN where none is."""
        counts = self.observed.used.sum(axis=1)
        empty = np.full(counts.shape, np.nan)
        chi2 = self.observed.chi2_per_spaxel(self.model)
        return np.asarray(np.divide(chi2, counts, out=empty, where=counts > 0))

    @property
    def misfit_name(self) -> str:
        """What `misfit` is: without noise it is no chi2."""
        return r"$\chi^2$ per pixel" if self.observed.has_noise else "mean square residual"

    @cached_property
    def history(self) -> History:
        """The metrics that the fit wrote."""
        return read_history(self.path)

    def spaxels(self) -> dict[int, str]:
        """Return the spaxels to draw, and what each is to be called."""
        chosen = self.choices.spaxels
        if chosen is not None:
            require_numbers("spaxels", chosen, len(self.misfit), self.path)
            return {s: f"Spaxel {s}" for s in chosen}
        lit = np.flatnonzero(np.isfinite(self.misfit))
        ranked = lit[np.argsort(self.misfit[lit])]
        if ranked.size == 1:
            return {int(ranked[0]): f"Spaxel {ranked[0]}"}
        best, worst = int(ranked[0]), int(ranked[-1])
        return {best: f"Best spaxel ({best})", worst: f"Worst spaxel ({worst})"}

    def properties(self) -> dict[str, Float]:
        """Return the component properties to draw, those chosen or all, by name with unit.

        Raises
        ------
        MissingDataError
            If the file has none.
        ConfigError
            If it has not the one chosen.
        """
        known: Mapping[str, Any] = self.result.component_properties
        if not known:
            raise MissingDataError(
                f"{self.path} knows no property of its components: populate with "
                "component_properties=, such as {'radius [kpc]': radius}."
            )
        if self.choices.properties is None:
            return dict(known)
        found = {}
        for wanted in self.choices.properties:
            names = [n for n in known if wanted.lower() in {n.lower(), bare_name(n).lower()}]
            if len(names) != 1:
                raise ConfigError(
                    f"{self.path} has no property {wanted!r} of its components: choose one of "
                    f"{', '.join(map(repr, known))}."
                )
            found[names[0]] = known[names[0]]
        return found

    @property
    def _normalization(self) -> Any:
        return self.result.facts["normalization"]


def bare_name(name: str) -> str:
    """Return the name of a property without its unit in brackets."""
    return name.split("[", 1)[0].strip()
