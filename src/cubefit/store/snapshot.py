"""What a look at a file shows before the fit: a few spectra, templates, LOSVDs and models."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
from numpy.typing import NDArray

from cubefit.inputs.axes import our_name
from cubefit.spectra.grids import step_of
from cubefit.store import schema
from cubefit.store.compress import require_filters
from cubefit.store.handle import reading
from cubefit.store.load import (
    read_given_spectra,
    read_grids,
    read_used,
    require_rebin_products,
)
from cubefit.store.shards import stored_models
from cubefit.store.tiles import CubeStatus, read_status

Float = NDArray[np.float64]

BRIGHT_ENOUGH: Final = 0.25
"""Share of the most light of a component that another spaxel must have to be shown instead."""
TOLD_AXES: Final = {
    "metal": "[M/H] {:.3g}",
    "age": "{:.3g} Gyr",
    "alpha": "[\N{GREEK SMALL LETTER ALPHA}/Fe] {:.3g}",
}
"""How the values of template axes are told, by our names of these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Arrays for the four prefit panels."""

    ln_wave: Float
    spaxels: list[int]
    spectra: Float
    """NaN where the mask of the voxels leaves one out."""
    mask: NDArray[np.bool_]
    """True where the fit uses a voxel, as ``spectra``."""
    templates: Float
    template_labels: list[str]
    velocity_kms: Float
    dln_template: float
    losvd_pairs: list[tuple[int, int]]
    losvds: Float
    model_triples: list[tuple[int, int, int]]
    models: Float

    def panels(self) -> dict[str, Any]:
        """Return the arguments of `cubefit.report.prefit_panels`."""
        return {
            "ln_wave": self.ln_wave,
            "spectra": self.spectra,
            "spectrum_labels": [f"spaxel {s}" for s in self.spaxels],
            "mask": self.mask,
            "templates": self.templates,
            "template_labels": self.template_labels,
            "velocity_kms": self.velocity_kms,
            "losvds": self.losvds,
            "losvd_labels": [f"s={s}, c={c}" for s, c in self.losvd_pairs],
            "dln_template": self.dln_template,
            "models": self.models,
            "model_labels": [f"s={s}, c={c}, p={p}" for s, c, p in self.model_triples],
        }


def spread(count: int, n: int) -> list[int]:
    """Return up to ``n`` indices spread evenly over ``range(count)``."""
    return sorted({int(i) for i in np.linspace(0, count - 1, min(n, count)).round()})


def bright_pairs(light: Float, allowed: NDArray[np.bool_], n: int) -> list[tuple[int, int]]:
    """Return up to ``n`` diverse (s, c) pairs: different spaxels and components, with light.

    The first is the brightest. The others come from parts of the components that hold an equal
    share of the light each, in spaxels far from those before.

    Parameters
    ----------
    light : ndarray, shape (S, C)
        Light of component c in spaxel s.
    allowed : ndarray of bool, shape (S, C)
        Pairs that may be chosen.
    n : int
        How many.
    """
    left = np.where(allowed, light, 0.0)
    of_component = left.sum(axis=0)
    middles = np.cumsum(of_component) - 0.5 * of_component
    part = (n * middles / (of_component.sum() or 1.0)).astype(int)
    pairs: list[tuple[int, int]] = []
    while len(pairs) < n and left.any():
        offered = left * ~np.isin(part, [part[c] for _, c in pairs])
        if not offered.any():
            offered = left
        c = int(offered.max(axis=0).argmax())
        bright = np.flatnonzero(offered[:, c] >= BRIGHT_ENOUGH * offered[:, c].max())
        taken = np.array([s for s, _ in pairs], int)
        if taken.size:
            s = int(bright[np.abs(bright[:, None] - taken).min(axis=1).argmax()])
        else:
            s = int(offered[:, c].argmax())
        pairs.append((s, c))
        left[s, :] = 0.0
        left[:, c] = 0.0
    return pairs


def done_pairs(status: CubeStatus | None, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return where the models of population 0 are done, shape (S, C)."""
    if status is None:
        return np.zeros(shape, bool)
    s_tile, c_tile = status.grid.tile[:2]
    per_pair = status.done[:, :, 0].repeat(s_tile, axis=0).repeat(c_tile, axis=1)
    return per_pair[: shape[0], : shape[1]]


def template_labels(file: h5py.File, populations: list[int]) -> list[str]:
    """Return names of templates: their axis values where the file knows them."""
    meta = json.loads(file.attrs[schema.ATTR_TEMPLATE_META])
    if not meta["axes"]:
        return [f"p={p}" for p in populations]
    labels = []
    for p in populations:
        place = np.unravel_index(p, meta["shape"])
        values = zip(meta["axes"].items(), place, strict=True)
        labels.append(", ".join(told(k, v[int(i)]) for (k, v), i in values if len(v) > 1))
    return labels


def told(axis: str, value: float) -> str:
    """Return the value of a template axis, with what is known of its unit."""
    name = our_name(axis)
    if name in TOLD_AXES and (value > 0 or name != "age"):  # Else it is a logarithm.
        return TOLD_AXES[name].format(value)
    return f"{axis} {value:g}"


def read_spectra(file: h5py.File, triples: Sequence[tuple[int, int, int]]) -> NDArray[np.float64]:
    """Return the stored models of some (s, c, p), one a row."""
    if not triples:
        return np.empty(0)
    with stored_models(file) as models:
        return np.array([models[triple] for triple in triples], np.float64)


def read_snapshot(path: Path, *, n_pairs: int = 4, n_templates: int = 5) -> Snapshot:
    """Return what the prefit panels show; the file may be under construction.

    Raises
    ------
    MissingDataError
        If ``ensure_rebin_and_resample`` has not run.
    """
    with reading(path) as file:
        require_rebin_products(file)
        grids, status = read_grids(file), read_status(file)
        losvd = file[schema.LOSVD.path][()]
        light = losvd.sum(axis=1)
        anywhere = np.ones(light.shape, bool)
        pairs = bright_pairs(light, anywhere, n_pairs)
        built = bright_pairs(light, done_pairs(status, light.shape), n_pairs)
        spaxels = sorted({s for s, _ in pairs})
        populations = spread(file[schema.TEMPLATES.path].shape[0], n_templates)
        shown = populations
        if status is not None:
            require_filters(status)
            # Done is known of the first tile of populations.
            shown = spread(min(populations[-1] + 1, status.grid.tile[2]), max(len(built), 1))
        triples = [(s, c, shown[k % len(shown)]) for k, (s, c) in enumerate(built)]
        return Snapshot(
            ln_wave=grids.obs_pix,
            spaxels=spaxels,
            spectra=read_given_spectra(file, spaxels),
            mask=read_used(file, np.array(spaxels, int)),
            templates=file[schema.TEMPLATES.path][populations] @ file[schema.R_T.path][()],
            template_labels=template_labels(file, populations),
            velocity_kms=grids.vel_pix,
            dln_template=step_of(grids.tem_pix),
            losvd_pairs=pairs,
            losvds=np.array([losvd[s, :, c] for s, c in pairs]),
            model_triples=triples,
            models=read_spectra(file, triples).reshape(-1, grids.obs_pix.size),
        )
