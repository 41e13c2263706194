"""SSP libraries in npz files: those of pPXF 9, and any with named axes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from cubefit.errors import ConfigError, InputError
from cubefit.io.npz import open_npz
from cubefit.prepare.ssp_library import SSPLibrary, pixels_covering, require_ages
from cubefit.spectra.grids import edges_between

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Float = NDArray[np.float64]

PPXF_KEYS: Final = ("templates", "lam", "ages", "metals", "masses", "fwhm")
"""What pPXF writes, and nothing else."""
PPXF_AXES: Final = ("wave", "ages", "metals")

POPULATION_AXES: Final = ("metals", "ages", "alphas")
"""Order of the axes of `SSPLibrary`."""

AXIS_NAMES: Final[dict[str, tuple[str, ...]]] = {
    "wave": ("wave", "lam", "wavelength"),
    "metals": ("metals", "metal", "metallicity", "[M/H]", "MH"),
    "ages": ("ages", "age"),
    "alphas": ("alphas", "alpha", "[alpha/Fe]", "alpha_fe"),
}
"""Names that axes and their arrays may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _NpzParts:
    """Arrays of a file under the names of `SSPLibrary`, axes in its own order."""

    path: Path
    templates: Float
    axes: tuple[str, ...]
    """Of ``templates``, all of them, such as ("wave", "ages", "metals")."""
    values: dict[str, Float]
    """Of each axis."""
    masses: Float | None
    fwhm: Float | None


def read_ssp_npz(
    path: Path,
    *,
    medium: str | None,
    wave_range: tuple[float, float] | None = None,
    axes: Sequence[str] | None = None,
    ppxf: bool | None = None,
) -> SSPLibrary:
    """Read an SSP library from an npz file; see `cubefit.io.ssp.read_ssp`.

    Parameters
    ----------
    path : Path
        The file.
    medium : {"air", "vacuum"} or None
        Of its wavelengths; None where the file says it under the key ``medium``.
    wave_range : tuple of float, optional
        Wavelengths (Angstrom) that are needed; default all.
    axes : sequence of str, optional
        Names of the axes of ``templates``, where the file has no key ``axes``.
    ppxf : bool, optional
        Whether the file is of pPXF; by default, whether its keys are.

    Returns
    -------
    SSPLibrary

    Raises
    ------
    InputError
        If the file is missing, damaged or lacks a key, if arrays disagree or hold impossible
        values, or the order of axes is not told and shapes leave it open.
    ConfigError
        If the medium is not told.
    GridError
        If the file does not cover the range.
    """
    with open_npz(path) as stored:
        arrays = {key: stored[key] for key in stored}
    of_ppxf = set(arrays) == set(PPXF_KEYS) if ppxf is None else ppxf
    if of_ppxf and axes is not None:
        raise ConfigError(f"{path}: the axes of pPXF's files are known: leave axes out.")
    parts = _ppxf_parts(path, arrays) if of_ppxf else _generic_parts(path, arrays, axes)
    told = _medium(path, arrays, medium, of_ppxf)
    return _library(parts, told, wave_range, "pPXF npz" if of_ppxf else "npz")


def _ppxf_parts(path: Path, arrays: Mapping[str, NDArray[np.generic]]) -> _NpzParts:
    _require_keys(path, arrays, PPXF_KEYS)
    numbers = {key: _numbers(path, key, arrays[key]) for key in PPXF_KEYS}
    return _NpzParts(
        path=path,
        templates=numbers["templates"],
        axes=PPXF_AXES,
        values={"wave": numbers["lam"], "ages": numbers["ages"], "metals": numbers["metals"]},
        masses=numbers["masses"],
        fwhm=numbers["fwhm"],
    )


def _generic_parts(
    path: Path, arrays: Mapping[str, NDArray[np.generic]], axes: Sequence[str] | None
) -> _NpzParts:
    _require_keys(path, arrays, ("templates",))
    values = {}
    for axis, names in AXIS_NAMES.items():
        found = [name for name in names if name in arrays]
        if len(found) > 1:
            raise InputError(f"{path} holds both {found[0]} and {found[1]}: keep one of them.")
        if found:
            values[axis] = _numbers(path, found[0], arrays[found[0]])
    for axis in ("wave", "metals", "ages"):
        if axis not in values:
            raise InputError(
                f"{path} lacks {axis} (or {', '.join(AXIS_NAMES[axis][1:])}), and holds "
                f"{', '.join(arrays)}: add it."
            )
    templates = _numbers(path, "templates", arrays["templates"])
    told = axes if axes is not None else _stored_axes(path, arrays)
    if told is None:
        order = _order_by_lengths(path, templates.shape, values)
    else:
        order = _named_order(path, told, templates.shape, values)
    optional = {
        key: _numbers(path, key, arrays[key]) if key in arrays else None
        for key in ("masses", "fwhm")
    }
    return _NpzParts(path=path, templates=templates, axes=order, values=values, **optional)


def _stored_axes(path: Path, arrays: Mapping[str, NDArray[np.generic]]) -> list[str] | None:
    if "axes" not in arrays:
        return None
    stored = arrays["axes"]
    if stored.dtype.kind not in "US" or stored.ndim != 1:
        raise InputError(
            f"{path}: axes has type {stored.dtype} and shape {stored.shape}: give a vector of "
            'names, such as ["wave", "ages", "metals"].'
        )
    return [str(name) for name in stored.astype(str)]


def _named_order(
    path: Path, told: Sequence[str], shape: tuple[int, ...], values: Mapping[str, Float]
) -> tuple[str, ...]:
    """Return the axes of ``templates`` as told; wavelength is the first where it is not named."""
    known = {name: axis for axis, names in AXIS_NAMES.items() for name in names}
    strange = [name for name in told if name not in known]
    if strange:
        raise InputError(
            f"{path}: axes names {strange[0]!r}, which is none of {', '.join(known)}: rename it, "
            "or cut templates to one value of it."
        )
    order = tuple(known[name] for name in told)
    if "wave" not in order:
        order = ("wave", *order)
    if len(order) != len(shape) or len(set(order)) != len(order):
        raise InputError(
            f"{path}: templates has shape {shape}, but axes names {list(order)}: name each axis "
            "once."
        )
    lacking = [axis for axis in order if axis not in values]
    if lacking:
        raise InputError(f"{path} lacks {lacking[0]}, which axes names: add its values.")
    return order


def _order_by_lengths(
    path: Path, shape: tuple[int, ...], values: Mapping[str, Float]
) -> tuple[str, ...]:
    """Return the one order of the axes that fits the shape, or refuse to guess."""
    present = [axis for axis in values if axis != "alphas" or len(shape) == len(values)]
    orders = [
        order
        for order in permutations(present)
        if tuple(values[axis].size for axis in order) == shape
    ]
    # Axes of one value each may stand in any order.
    distinct = {tuple(axis for axis in order if values[axis].size > 1) for order in orders}
    if len(distinct) != 1:
        lengths = {axis: values[axis].size for axis in values}
        problem = "more than one order fits" if distinct else "no order fits"
        raise InputError(
            f"{path}: templates has shape {shape} and its axes the lengths {lengths}: {problem}. "
            'Name them: axes = ["wave", "ages", "metals"] in the file or the call.'
        )
    return orders[0]


def _medium(
    path: Path, arrays: Mapping[str, NDArray[np.generic]], medium: str | None, of_ppxf: bool
) -> str:
    stored = str(arrays["medium"]) if "medium" in arrays and not of_ppxf else None
    if medium is None and stored is None:
        raise ConfigError(
            f"{path} does not say whether its wavelengths are in air or in vacuum: give "
            'medium="air" or medium="vacuum" (E-MILES and MILES are published in air; see '
            "the publisher of any other library). They differ by 84 km/s."
        )
    if medium is not None and stored is not None and medium != stored:
        raise ConfigError(
            f"{path} says medium={stored!r}, but medium={medium!r} is given: leave it out, or mend "
            "the file."
        )
    return str(medium if medium is not None else stored)


def _library(
    parts: _NpzParts, medium: str, wave_range: tuple[float, float] | None, kind: str
) -> SSPLibrary:
    source = f"{parts.path.name} ({kind} in {parts.path.parent})"
    wave = _increasing(parts.path, parts.values["wave"])
    _require_shape(parts, "templates", parts.templates, parts.axes)
    templates = _in_order(parts, parts.templates, ("wave", *POPULATION_AXES))
    require_ages(templates, wave, parts.values["ages"], source)
    masses = parts.masses
    if masses is not None:
        _require_shape(parts, "masses", masses, [axis for axis in parts.axes if axis != "wave"])
        masses = _in_order(parts, masses, POPULATION_AXES)
    fwhm: float | Float | None = parts.fwhm
    if parts.fwhm is not None and parts.fwhm.size == 1:
        fwhm = float(parts.fwhm.item())
    elif parts.fwhm is not None:
        _require_shape(parts, "fwhm", parts.fwhm, ["wave"])
    window = slice(None)
    if wave_range is not None:
        window = pixels_covering(edges_between(wave), wave_range, str(parts.path))
    return SSPLibrary(
        templates=templates[window].astype(np.float64),
        wave=wave[window],
        metals=parts.values["metals"],
        ages=parts.values["ages"],
        alphas=parts.values["alphas"] if "alphas" in parts.axes else _one_alpha(parts),
        masses=masses,
        fwhm=fwhm[window] if isinstance(fwhm, np.ndarray) else fwhm,
        medium=medium,
        source=source,
    )


def _one_alpha(parts: _NpzParts) -> Float:
    alphas = parts.values.get("alphas", np.zeros(1))
    if alphas.size != 1:
        raise InputError(
            f"{parts.path}: there are {alphas.size} alphas, but templates has no axis of them: add "
            "the axis, or keep one value."
        )
    return alphas.reshape(1)


def _in_order(parts: _NpzParts, array: Float, wanted: tuple[str, ...]) -> Float:
    """Return an array with its axes in the wanted order, missing ones of length one."""
    have = [axis for axis in parts.axes if axis in wanted]
    ordered = array.transpose([have.index(axis) for axis in wanted if axis in have])
    return np.expand_dims(ordered, [n for n, axis in enumerate(wanted) if axis not in have])


def _require_shape(parts: _NpzParts, name: str, array: Float, axes: Sequence[str]) -> None:
    due = tuple(parts.values[axis].size for axis in axes)
    if array.shape != due:
        raise InputError(
            f"{parts.path}: {name} has shape {array.shape}, but its axes ({', '.join(axes)}) have "
            f"the lengths {due}: transpose it, or name its axes as they are."
        )


def _increasing(path: Path, wave: Float) -> Float:
    if wave.ndim != 1 or wave.size < 2 or not (np.diff(wave) > 0).all():
        raise InputError(
            f"{path}: wavelengths must be a strictly increasing vector of two or more: sort them, "
            "and the templates with them."
        )
    return wave


def _require_keys(
    path: Path, arrays: Mapping[str, NDArray[np.generic]], keys: Sequence[str]
) -> None:
    missing = [key for key in keys if key not in arrays]
    if missing:
        raise InputError(
            f"{path} lacks {', '.join(missing)}, and holds {', '.join(arrays) or 'nothing'}: add "
            "what is missing, or give the format that it has."
        )


def _numbers(path: Path, key: str, array: NDArray[np.generic]) -> Float:
    if array.dtype.kind not in "fiu":
        raise InputError(f"{path}: {key} has type {array.dtype}: give real numbers.")
    # Large templates stay as narrow as they are until their window is taken.
    return np.asarray(array, None if key == "templates" else np.float64)
