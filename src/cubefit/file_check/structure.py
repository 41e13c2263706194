"""The layout of a file against the one table of datasets."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final, get_args

import numpy as np

from cubefit.config import Normalization
from cubefit.file_check.findings import Verdict, some
from cubefit.store import schema
from cubefit.store.verify import Found

HOMES: Final = {
    "S": (schema.LOSVD, 0),
    "V": (schema.VEL_PIX, 0),
    "C": (schema.LOSVD, 2),
    "P": (schema.TEMPLATES, 0),
    "T": (schema.TEM_PIX, 0),
    "L": (schema.OBS_PIX, 0),
}
"""The dataset, and its axis, that says how long an axis is."""
DIMS: Final = {"nSpat": "S", "nLSpec": "L", "nTSpec": "T", "nVel": "V", "nComp": "C", "nPop": "P"}
"""The ``dims`` attribute, in axis letters."""
CUBE: Final = (schema.MODELS, schema.DONE, schema.CHECKSUMS)
CUBE_ATTRIBUTES: Final = (
    schema.ATTR_TILE_SHAPE,
    schema.ATTR_NORMALIZATION,
    schema.ATTR_DIGEST,
)
REBUILD: Final = "build anew with build_hypercube(..., overwrite=True)"
REFIT: Final = "fit again"
MENDS: Final = {
    "populate": "populate the file again with H5Manager(...).populate_from_arrays(...)",
    "ensure_rebin_and_resample": "run ensure_rebin_and_resample()",
    "build": REBUILD,
    "reconstruct": "run reconstruct_model_cube_single again",
}
"""By who writes a dataset; the others come from fits."""


def axes_faults(entry: schema.Entry, found: Found) -> str:
    """Return what is wrong with the type and number of axes of a dataset; empty if nothing is."""
    if found.fault:
        return found.fault
    wanted = np.dtype(entry.dtype)
    # Tiles are written and read past HDF5, so that there the width counts as well.
    if found.dtype.kind != wanted.kind or (entry.writer == "build" and found.dtype != wanted):
        return f"has dtype {found.dtype} instead of {wanted}"
    allowed = {len(entry.axes)} | ({1} if entry == schema.NOISE else set())
    if len(found.shape) not in allowed:
        return f"has {len(found.shape)} axes instead of {len(entry.axes)} ({' '.join(entry.axes)})"
    return ""


def tile_counts(models: Found) -> tuple[int, int, int] | None:
    """Return the number of tiles along S, C and P that the HyperCube's attribute says, or None."""
    try:
        tile = json.loads(models.attributes[schema.ATTR_TILE_SHAPE])
        whole = len(tile) == 4 and all(type(t) is int and t > 0 for t in tile)
    except (KeyError, TypeError, ValueError):
        return None
    if not whole or len(models.shape) != 4 or tile[3] != models.shape[3]:
        return None
    s, c, p = (math.ceil(n / t) for n, t in zip(models.shape[:3], tile[:3], strict=True))
    return s, c, p


def axis_sizes(layout: Mapping[str, Found], faults: Mapping[str, str]) -> dict[str, int]:
    """Return the length of every axis that a sound dataset tells."""
    sizes = {
        axis: layout[entry.path].shape[place]
        for axis, (entry, place) in HOMES.items()
        if entry.path in layout and entry.path not in faults
    }
    if "T" in sizes:
        sizes["T//2+1"] = sizes["T"] // 2 + 1
    if {"C", "P"} <= sizes.keys():
        sizes["C*P"] = sizes["C"] * sizes["P"]
    for entry in (schema.X_PIX, schema.Y_PIX, schema.BIN_NUM):
        if entry.path in layout and entry.path not in faults:
            sizes.setdefault("nPix", layout[entry.path].shape[0])
    models = layout.get(schema.MODELS.path)
    counts = None if models is None else tile_counts(models)
    if counts is not None:
        sizes |= dict(zip(schema.DONE.axes, counts, strict=True))
    return sizes


def size_faults(entry: schema.Entry, found: Found, sizes: Mapping[str, int]) -> str:
    """Return how the sizes of a dataset disagree with those of the others."""
    axes = entry.axes[-len(found.shape) :]
    wanted = tuple(sizes.get(axis, n) for axis, n in zip(axes, found.shape, strict=True))
    if found.shape == wanted:
        return ""
    return f"has shape {found.shape} where ({' '.join(axes)}) is {wanted}"


def cube_faults(layout: Mapping[str, Found]) -> dict[str, str]:
    """Return what is missing of a HyperCube of which something is there, by path."""
    present = [e for e in CUBE if e.path in layout]
    if not present:
        return {}
    faults = {e.path: "is missing" for e in CUBE if e not in present}
    models = layout.get(schema.MODELS.path)
    if models is not None and not models.fault:
        lacking = [a for a in CUBE_ATTRIBUTES if a not in models.attributes]
        if lacking:
            faults[schema.MODELS.path] = f"lacks the attributes {some(lacking)}"
        elif tile_counts(models) is None:
            told = models.attributes[schema.ATTR_TILE_SHAPE]
            faults[schema.MODELS.path] = (
                f"has {schema.ATTR_TILE_SHAPE}={told!r}, which fits no tiles"
            )
        elif models.attributes[schema.ATTR_NORMALIZATION] not in get_args(Normalization):
            told = models.attributes[schema.ATTR_NORMALIZATION]
            faults[schema.MODELS.path] = f"has the unknown {schema.ATTR_NORMALIZATION}={told!r}"
    return faults


def layout_faults(layout: Mapping[str, Found]) -> dict[str, str]:
    """Return what is wrong with the datasets of a file, by path.

    Parameters
    ----------
    layout : mapping
        See `cubefit.store.verify.layout_of`.
    """
    entries = {e.path: e for e in schema.TABLE}
    own = {path: axes_faults(entries[path], found) for path, found in layout.items()}
    faults = {path: fault for path, fault in own.items() if fault}
    sizes = axis_sizes(layout, faults)
    for path, found in layout.items():
        fault = "" if path in faults else size_faults(entries[path], found, sizes)
        if fault:
            faults[path] = fault
    for path, fault in cube_faults(layout).items():
        faults.setdefault(path, fault)
    return faults


def attribute_faults(
    attributes: Mapping[str, Any], layout: Mapping[str, Found], faults: Mapping[str, str]
) -> list[str]:
    """Return what is wrong with the attributes of a file."""
    sizes = axis_sizes(layout, faults)
    found = []
    version = int(attributes[schema.ATTR_FORMAT])
    if version < 1:
        found.append(f"{schema.ATTR_FORMAT} is {version}, formats count from 1")
    dims = _json(attributes, schema.ATTR_DIMS)
    wanted = {name: sizes[axis] for name, axis in DIMS.items() if axis in sizes}
    if not isinstance(dims, dict):
        found.append(f"attribute {schema.ATTR_DIMS} is missing or no JSON")
    elif {name: dims.get(name) for name in wanted} != wanted:
        found.append(f"attribute {schema.ATTR_DIMS} says {dims}, the datasets {wanted}")
    meta = _json(attributes, schema.ATTR_TEMPLATE_META)
    shape = meta.get("shape") if isinstance(meta, dict) else None
    if not isinstance(shape, list) or not all(type(n) is int for n in shape):
        found.append(f"attribute {schema.ATTR_TEMPLATE_META} is missing or tells no shape")
    elif "P" in sizes and math.prod(shape) != sizes["P"]:
        found.append(
            f"attribute {schema.ATTR_TEMPLATE_META} tells template axes {shape}, but there are "
            f"{sizes['P']} templates"
        )
    return found


def _json(attributes: Mapping[str, Any], name: str) -> Any:
    """Return the value of a JSON attribute; None if there is none that can be read."""
    try:
        return json.loads(attributes[name])
    except (KeyError, TypeError, ValueError):
        return None


def check_structure(
    attributes: Mapping[str, Any], layout: Mapping[str, Found], faults: Mapping[str, str]
) -> Verdict:
    """Judge datasets and attributes together."""
    wrong = [f"{path} {fault}" for path, fault in faults.items()]
    of_file = attribute_faults(attributes, layout, faults)
    if not wrong and not of_file:
        return Verdict("ok", f"{len(layout)} datasets, as the format has them.")
    writers = {e.path: e.writer for e in schema.TABLE}
    concerned = [writers[path] for path in faults] + ["populate" for _ in of_file]
    mends = dict.fromkeys(MENDS.get(writer, REFIT) for writer in concerned)
    return Verdict("failed", f"{some(wrong + of_file)}: {'; '.join(mends)}.")
