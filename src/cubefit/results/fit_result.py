"""The result of a fit, read from its file or made of a given solution."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from cubefit.config import Normalization, require_choice
from cubefit.display import html_table
from cubefit.errors import ConfigError, MissingDataError
from cubefit.inverse.means import component_means
from cubefit.io.result_files import write_ecsv
from cubefit.observation import Observation
from cubefit.results.axes import Axis, Property, axes_of, properties_of
from cubefit.results.display import one_line, summary_rows
from cubefit.results.files import table_of, with_flux_unit, write_result_fits
from cubefit.results.pixels import PixelGrid, Pixels, grid_on_plane, regular_grid
from cubefit.results.provenance import Facts, facts_of
from cubefit.results.stars import stars_of
from cubefit.results.tables import (
    WEIGHT_UNITS,
    WeightKind,
    component_columns,
    dataset_of,
    images_of,
    moment_columns,
    pixel_columns,
    pixel_coordinates,
    spaxel_columns,
    velocity_columns,
)
from cubefit.store import schema
from cubefit.store.fitted import read_fitted

Float = NDArray[np.float64]
MeanKind = Literal["light", "mass"]
TableKind = Literal["components", "spaxels"]


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class FitResult:
    """What a solution says of components, spaxels and image pixels; see `from_file`.

    Three kinds of weights are told apart: ``"template"``, in template units, as the fit has them;
    ``"light"``, their mean flux density over the observed pixels in use, at rest; and ``"mass"``,
    which needs the mass of one unit of each template. Names that end in ``_by_light`` and
    ``_by_mass`` are weighted so. Means of ages are of log10(age / Gyr).
    """

    path: Path
    x: Float
    """Weights in template units, shape (C, P)."""
    template_shape: tuple[int, ...]
    """Sizes of the template axes behind P, C order."""
    axes: tuple[Axis, ...]
    """The template axes; empty where the file does not know them."""
    template_light: Float
    """Mean flux density of one unit of each template, shape (P,)."""
    template_masses: Float | None
    """Mass of one unit of each template, shape (P,)."""
    moments: Float
    """Share of component c's light in spaxel s, the same times its mean velocity in km/s, and
    times its mean square velocity, shape (3, S, C)."""
    orbit_weights: Float | None
    """Weight of each component in the dynamical model, any scale, shape (C,)."""
    component_properties: Mapping[str, Float]
    """What the file knows of its components, shape (C,) each, by name with unit."""
    pixels: Pixels | None
    """The image pixels; None where the file does not know them."""
    observation: Observation
    """What stands behind the arrays: sky, wavelengths as observed, settings."""
    facts: Facts
    """Where the solution comes from: ``method``, ``chi2``, ``n_voxels`` and the like."""
    run: Mapping[str, Any]
    """Settings and priors of its fit; empty for a given ``x``."""

    @classmethod
    def from_file(
        cls,
        path: str | Path,
        x: ArrayLike | None = None,
        *,
        template_masses: ArrayLike | None = None,
        normalization: Normalization | None = None,
    ) -> FitResult:
        """Return the result of the committed solution of a file, or of a given one.

        Parameters
        ----------
        path : str or Path
            A populated file.
        x : array_like, shape (C*P,) or (C, P), optional
            Weights in template units; default ``/X_global``.
        template_masses : array_like, shape (nZ, nAge, nAlpha), the like, or (P,), optional
            Stellar mass of one unit of each template; default what the file was populated with.
        normalization : {"losvd", "unit"}, optional
            Of a given ``x``; default that of the HyperCube, else of ``/X_global``, else ``losvd``.

        Returns
        -------
        FitResult

        Raises
        ------
        InputError
            If ``x`` or ``template_masses`` do not fit the file.
        MissingDataError
            If there is no solution yet.
        StaleError
            If the solution was made from other inputs than those now in the file.
        """
        path = Path(path)
        if normalization is not None:
            require_choice("normalization", normalization, Normalization)
            if x is None:
                raise ConfigError("normalization is that of a given x: the file's own knows its.")
        found = read_fitted(path, x, template_masses=template_masses, normalization=normalization)
        bins = found.binnum
        return cls(
            path=path,
            x=found.solution.x,
            template_shape=found.template_shape,
            axes=axes_of(found.template_axes),
            template_light=found.template_light,
            template_masses=found.template_masses,
            moments=found.moments,
            orbit_weights=found.orbit_weights,
            component_properties=found.component_properties,
            pixels=None if bins is None else Pixels(bins=bins, x=found.xpix, y=found.ypix),
            observation=found.observation,
            facts=facts_of(path, found),
            run=found.solution.run,
        )

    def selected(
        self,
        components: Sequence[int] | None = None,
        *,
        ages: Sequence[float] | None = None,
        metals: Sequence[float] | None = None,
    ) -> FitResult:
        """Return the result of some stars alone: nothing is left of the others.

        What says how good the fit is stays that of the whole; ``selected`` in `facts`, and with it
        in the headers of files, says which stars there are.

        Parameters
        ----------
        components : sequence of int, optional
            Those that count. Default all.
        ages : sequence of two floats, optional
            Youngest and oldest that count, in Gyr, both included.
        metals : sequence of two floats, optional
            Lowest and highest [M/H] that count, both included.

        Returns
        -------
        FitResult

        Raises
        ------
        ConfigError
            If there is no such component, or no template in a range.
        MissingDataError
            If the file does not know the ages or metallicities of its templates.
        """
        stars = stars_of(components=components, ages=ages, metals=metals)
        told = [str(self.facts["selected"])] if "selected" in self.facts else []
        facts = dict(self.facts) | {"selected": ", ".join(told + stars.told())}
        x = stars.weights_of(self.x, self.axes, self.path)
        return self if stars.are_all else replace(self, x=x, facts=facts)

    @property
    def share(self) -> Float:
        """Share of component c's light in spaxel s, shape (S, C)."""
        return np.asarray(self.moments[0])

    @property
    def properties(self) -> dict[str, Property]:
        """What every template has by the axes: ``log_age``, ``metal``, ``alpha``, (P,) each.

        Raises
        ------
        InputError
            If there are ages that have no logarithm.
        """
        return properties_of(self.axes)

    @property
    def weights(self) -> xr.DataArray:
        """The weights in template units, axes (component, metal, age, alpha); see `weights_of`."""
        return self.weights_of("template")

    def weights_of(self, kind: WeightKind) -> xr.DataArray:
        """Return the weights of one kind.

        Parameters
        ----------
        kind : {"template", "light", "mass"}
            In template units, as light, or as mass.

        Returns
        -------
        DataArray
            Axes (component, metal, age, alpha) as the file has them, or (component, population)
            where it does not know the axes of the templates.

        Raises
        ------
        MissingDataError
            If masses are wanted and the file has no ``template_masses``.
        """
        values = self._array(kind)
        labels = {"units": WEIGHT_UNITS[kind], "long_name": f"weight ({kind})"}
        components = np.arange(len(values))
        if not self.axes:
            coords = {"component": components, "population": np.arange(values.shape[1])}
            return xr.DataArray(values.copy(), coords, ("component", "population"), kind, labels)
        along = {
            axis.name: (
                axis.name,
                axis.values,
                {"units": axis.unit or "1", "long_name": axis.long_name},
            )
            for axis in self.axes
        }
        return xr.DataArray(
            values.reshape(-1, *self.template_shape).copy(),
            {"component": components, **along},
            ("component", *along),
            kind,
            labels,
        )

    def total(self, kind: WeightKind) -> float:
        """Return the sum of all weights of one kind, see `weights_of`.

        Light and mass outside the spaxels count as well, where LOSVDs leave some out.
        """
        return float(self._array(kind).sum())

    def mean(self, name: str, by: MeanKind = "light") -> float:
        """Return the mean of a property over all components; NaN without any weight.

        Parameters
        ----------
        name : str
            Of one of `properties`, such as ``"log_age"`` or ``"metal"``.
        by : {"light", "mass"}
            What the mean is weighted with.

        Raises
        ------
        MissingDataError
            If the file does not know the property, or the masses to weigh it with.
        """
        found = self._property(name)
        require_choice("by", by, MeanKind)
        everything = self._array(by).sum(axis=0, keepdims=True)
        return float(component_means(everything, found.values)[0])

    def means(
        self, name: str, by: MeanKind = "light", over: TableKind = "components"
    ) -> xr.Dataset:
        """Return mean and scatter of one property over components or spaxels.

        Parameters
        ----------
        name, by
            See `mean`.
        over : {"components", "spaxels"}
            What they are of.

        Returns
        -------
        Dataset
            ``<name>_by_<by>`` and ``<name>_scatter_by_<by>``; NaN where there is no weight.

        Raises
        ------
        MissingDataError
            As `mean`.
        """
        found = self._property(name)
        require_choice("by", by, MeanKind)
        require_choice("over", over, TableKind)
        share = None if over == "components" else self.share
        columns = moment_columns(by, self._array(by), share, {name: found})
        return dataset_of(over.removesuffix("s"), columns, self.facts)

    def components(self) -> xr.Dataset:
        """Return the table of components, along ``component``.

        Returns
        -------
        Dataset
            ``weight``, ``light``, ``light_share`` and, for each property, ``<property>_by_light``
            and ``<property>_scatter_by_light``; the same of mass where the masses of the templates
            are known. Properties need the template axes. Means are NaN without weight.
        """
        return dataset_of(
            "component", component_columns(self._known(), self.properties), self.facts
        )

    def spaxels(self) -> xr.Dataset:
        """Return the table of spaxels, along ``spaxel``: as `components`, without shares.

        The light in a spaxel is what the model has there, ``sum_cp share[s,c] light[c,p]``.
        ``velocity_by_light`` and ``dispersion_by_light`` are mean and standard deviation of the
        line-of-sight velocity of the stars, in km/s: moments of the LOSVDs, not a Gaussian's.
        """
        return dataset_of("spaxel", self._spaxel_columns(), self.facts)

    def maps(self) -> xr.Dataset:
        """Return the quantities of `spaxels` for every image pixel, along ``pixel``.

        Light and mass are divided evenly over the pixels of a spaxel, means and scatters repeated.
        Pixels in no spaxel are NaN; light of spaxels without any pixel is not in it.

        Raises
        ------
        MissingDataError
            If the file was populated without ``binnum``.
        """
        pixels = self._pixels()
        columns = pixel_columns(self._spaxel_columns(), pixels)
        return dataset_of("pixel", columns, self.facts, pixel_coordinates(pixels))

    def images(self) -> xr.Dataset:
        """Return `maps` as images, axes (y, x), NaN where there is no pixel in a spaxel.

        Where the file knows the image that its pixels are of, they are of its shape.

        Raises
        ------
        MissingDataError
            If the file was populated without ``binnum``, ``xpix`` or ``ypix``.
        InputError
            If the pixels lie on no regular grid.
        """
        pixels, grid = self.pixel_grid()
        columns = pixel_columns(self._spaxel_columns(), pixels)
        return images_of(columns, pixels, grid, self.facts)

    def pixel_grid(self) -> tuple[Pixels, PixelGrid]:
        """Return the image pixels, and the grid of the image that they lie on.

        Raises
        ------
        MissingDataError, InputError
            As `images`.
        """
        pixels = self._pixels()
        if pixels.x is None or pixels.y is None:
            raise MissingDataError(
                f"{self.path} has no coordinates of its image pixels: use maps(), or populate with "
                "xpix and ypix."
            )
        plane = self.observation.image
        if plane is None:
            grid = regular_grid(pixels.x, pixels.y)
        else:
            grid = grid_on_plane(plane, pixels.x, pixels.y)
        return pixels, grid

    def to_fits(
        self, path: str | Path, overwrite: bool = False, *, pixel_unit: str | None = None
    ) -> Path:
        """Write all of it to one FITS file, whole or not at all.

        The primary header says where it comes from. ``WEIGHTS`` is the image of the weights in
        template units, with a table ``AXIS_<NAME>`` for each template axis; ``COMPONENTS`` and
        ``SPAXELS`` are binary tables; ``MAP_<NAME>`` are the images of `images`, with the celestial
        coordinates of the cube where the file has them, else linear ones, or ``PIXELS`` the table
        of `maps` where there are no images.

        Parameters
        ----------
        path : str or Path
            In a folder that exists.
        overwrite : bool
            Replace a file there.
        pixel_unit : str, optional
            Unit of ``xpix`` and ``ypix``; default what the file says, else arcsec.

        Returns
        -------
        Path
            The file written.

        Raises
        ------
        InputError
            If the folder does not exist, or a file does and ``overwrite`` is False.
        StoreError
            If the disk does not take it.
        """
        unit = pixel_unit or self.observation.pixel_unit or "arcsec"
        return write_result_fits(self, Path(path), overwrite=overwrite, pixel_unit=unit)

    def to_ecsv(
        self, path: str | Path, overwrite: bool = False, kind: TableKind = "components"
    ) -> Path:
        """Write a table as ECSV (plain text, with units), whole or not at all.

        Parameters
        ----------
        path, overwrite
            See `to_fits`.
        kind : {"components", "spaxels"}
            Which table.

        Returns
        -------
        Path
            The file written.

        Raises
        ------
        InputError, StoreError
            As `to_fits`.
        """
        require_choice("kind", kind, TableKind)
        found = self.components() if kind == "components" else self.spaxels()
        table = table_of(kind, with_flux_unit(found, self.observation))
        return write_ecsv(Path(path), table, self.provenance(), overwrite=overwrite)

    def provenance(self) -> dict[str, str | int | float]:
        """Return `facts` and, as JSON, settings and priors of the fit: for headers of files."""
        found = dict(self.facts)
        if self.run:
            found["run_json"] = json.dumps(dict(self.run))
        return found

    def __repr__(self) -> str:
        """Return the result in one line."""
        return one_line(summary_rows(self))

    def _repr_html_(self) -> str:
        """Return the result as a small table, for notebooks."""
        return html_table("FitResult", summary_rows(self))

    def _array(self, kind: WeightKind) -> Float:
        """Return the weights of one kind, shape (C, P)."""
        require_choice("kind", kind, WeightKind)
        if kind == "template":
            return self.x
        if kind == "light":
            return self.x * self.template_light
        if self.template_masses is None:
            raise MissingDataError(
                f"{self.path} does not know the mass of its templates: pass template_masses= to "
                "FitResult.from_file, or to populate_from_arrays (np.ones where templates are "
                "spectra of one unit of mass)."
            )
        return self.x * self.template_masses

    def _known(self) -> dict[WeightKind, Float]:
        """Return the weights of every kind that can be told."""
        kinds: tuple[WeightKind, ...] = ("template", "light", "mass")
        return {k: self._array(k) for k in kinds if k != "mass" or self.template_masses is not None}

    def _property(self, name: str) -> Property:
        properties = self.properties
        if name not in properties:
            raise MissingDataError(
                f"{self.path} has no {name!r} of its templates, it has "
                f"{', '.join(properties) or 'none of their axes'}: populate with template_axes=, "
                "the values of each axis by name."
            )
        return properties[name]

    def _pixels(self) -> Pixels:
        if self.pixels is None:
            raise MissingDataError(
                f"{self.path} has no {schema.BIN_NUM.path}, the spaxel of each image pixel: "
                "populate with binnum (np.arange(S) where every spaxel is a pixel)."
            )
        return self.pixels

    def _spaxel_columns(self) -> dict[str, Any]:
        known = self._known()
        return {
            **spaxel_columns(known, self.share, self.properties),
            **velocity_columns(known, self.moments),
        }
