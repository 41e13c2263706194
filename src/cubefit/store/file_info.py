"""What is in a file: sizes, grids, templates, masks, and what was made from them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import h5py

from cubefit.display import html_table, size
from cubefit.spectra.grids import Coverage
from cubefit.spectra.ranges import Range, velocity_range, wavelength_range
from cubefit.store import schema
from cubefit.store.file_status import plain
from cubefit.store.handle import looked_at, reading
from cubefit.store.load import (
    read_component_properties,
    read_coverage,
    read_dims,
    read_grids,
    read_optional,
    read_template_axes,
)
from cubefit.store.shards import shards_of, stored_bytes

SIZES: Final = {
    "S": ("nSpat", "spaxels"),
    "V": ("nVel", "velocity bins"),
    "C": ("nComp", "components"),
    "P": ("nPop", "populations"),
    "T": ("nTSpec", "template pixels"),
    "L": ("nLSpec", "observed pixels"),
}
"""Axis letters: what the file calls their sizes, and what they are."""
AXIS_UNITS: Final = {"metallicity": "dex", "age": "Gyr", "alpha": "dex"}
"""Of the axes of templates as `populate_from_arrays` documents them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileInfo:
    """What is in a file; `cubefit.store.file_status` tells how far its fit is."""

    path: str
    n_bytes: int
    format: int
    """Version of the layout."""
    written_by: str
    """Version of CubeFit that populated it."""
    sizes: dict[str, int]
    """Of each axis, by its letter."""
    observed: Range
    templates: Range
    velocities: Range
    axes: dict[str, Range]
    """Of the templates; empty where the file does not know them."""
    template_shape: tuple[int, ...]
    coverage: Coverage
    given: dict[str, str]
    """What else users brought, by its dataset, in words."""
    components: list[str]
    """Names of the properties of components."""
    products: dict[str, str]
    """What was made from the inputs, by its dataset, in words."""

    def as_json(self) -> dict[str, Any]:
        """Return plain values, NaN as None."""
        facts = plain(asdict(self))
        assert isinstance(facts, dict)  # noqa: S101 - a dataclass
        facts["coverage"] |= {"safe": self.coverage.safe}
        return facts

    def rows(self) -> list[tuple[str, str]]:
        """Return what there is to say, name and text of each."""
        rows = [
            ("file", f"{size(self.n_bytes)}, format {self.format}, by CubeFit {self.written_by}")
        ]
        rows += [(k, f"{n:,} {SIZES[k][1]}") for k, n in self.sizes.items()]
        rows += [
            ("observed (L)", f"{self.observed.n}: {self.observed}"),
            ("templates (T)", f"{self.templates.n}: {self.templates}"),
            ("velocities (V)", f"{self.velocities.n}: {self.velocities}"),
        ]
        rows += [(f"axis {name}", f"{found.n}: {found}") for name, found in self.axes.items()]
        if not self.axes:
            rows.append(("axes of templates", f"{self.template_shape}, values not given"))
        rows += self.coverage.rows()
        rows += list(self.given.items())
        rows.append(("components", ", ".join(self.components) or "no properties given"))
        rows += list(self.products.items()) or [("products", "none yet")]
        return rows

    def _repr_html_(self) -> str:
        """Return the information as a table, for notebooks."""
        return html_table(self.path, self.rows())


def axis_range(name: str, values: list[float]) -> Range:
    """Return the range of one axis of the templates."""
    return Range(n=len(values), first=min(values), last=max(values), unit=AXIS_UNITS.get(name, ""))


def given_in(file: h5py.File) -> dict[str, str]:
    """Return what users brought besides data, templates and LOSVDs, in words."""
    told = {}
    noise = file.get(schema.NOISE.path)
    told["noise"] = (
        "not given"
        if noise is None
        else f"one sigma, ({' '.join(schema.NOISE.axes[-noise.ndim :])})"
    )
    for name, entry in (("mask", schema.MASK), ("voxel mask", schema.VOXEL_MASK)):
        mask = read_optional(file, entry)
        told[name] = (
            "not given"
            if mask is None
            else f"{int(mask.sum()):,} of {mask.size:,} {'voxels' if mask.ndim > 1 else 'pixels'}"
            " in use"
        )
    bins, places = file.get(schema.BIN_NUM.path), schema.X_PIX.path in file
    told["image"] = (
        "not given"
        if bins is None
        else f"{bins.size:,} image pixels" + ("" if places else ", without coordinates")
    )
    masses, weights = (e.path in file for e in (schema.TEMPLATE_MASS, schema.ORBIT_WEIGHTS))
    told["template masses"] = "given" if masses else "not given"
    told["orbit weights"] = "given" if weights else "not given"
    return told


def products_in(file: h5py.File) -> dict[str, str]:
    """Return what was made from the inputs, by its dataset, in words."""
    told = {}

    def words(dataset: h5py.Dataset) -> str:
        return f"{dataset.shape}, {size(dataset.id.get_storage_size())}"

    shards = shards_of(file)
    for entry in (schema.R_T, schema.MODELS, schema.X_GLOBAL, schema.X_LATEST):
        if entry is schema.MODELS and shards:
            shape, taken = file[entry.path].shape, size(stored_bytes(file))
            told[entry.path] = f"{shape}, {taken} in {len(shards)} shards"
        elif entry.path in file:
            told[entry.path] = words(file[entry.path])
    for name, dataset in file.items():
        if isinstance(dataset, h5py.Dataset) and schema.ATTR_X_DIGEST in dataset.attrs:
            told[f"/{name}"] = f"reconstruction {words(dataset)}"
    return told


def info_of(path: Path) -> FileInfo:
    """Return what is in a file by one look at it."""
    with reading(path) as file:
        dims, grids = read_dims(file), read_grids(file)
        shape, axes = read_template_axes(file)
        return FileInfo(
            path=str(path),
            n_bytes=path.stat().st_size,
            format=int(file.attrs[schema.ATTR_FORMAT]),
            written_by=str(file.attrs.get(schema.ATTR_VERSION, "an unknown version")),
            sizes={letter: dims[name] for letter, (name, _) in SIZES.items()},
            observed=wavelength_range(grids.obs_pix),
            templates=wavelength_range(grids.tem_pix),
            velocities=velocity_range(grids.vel_pix),
            axes={name: axis_range(name, values) for name, values in axes.items()},
            template_shape=shape,
            coverage=read_coverage(file),
            given=given_in(file),
            components=list(read_component_properties(file)),
            products=products_in(file),
        )


def file_info(path: str | Path) -> FileInfo:
    """Return what is in a file, also while it is written to.

    Parameters
    ----------
    path : str or Path
        A populated file.

    Returns
    -------
    FileInfo
        A table in a notebook; ``as_json()`` for scripts.

    Raises
    ------
    StoreError
        If it is missing, foreign, damaged, cut short, or made by a newer version.
    """
    return looked_at(Path(path), info_of)
