"""Every array that a user brings, checked by itself: returned as stored, or refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cubefit.errors import InputError

CubeOrder = Literal["SL", "LS"]

FLOAT32_ROOM: Final = (1e-30, 1e30)
"""Largest magnitudes whose faint parts and sums float32, the type of the models, still holds."""
PROPERTY_NAME_BYTES: Final = 64


def numeric(name: str, values: ArrayLike) -> NDArray[np.floating]:
    """Return ``values`` as a real array, or refuse them.

    Raises
    ------
    InputError
        If the values are no numbers, ragged, or complex, or some of them are masked.
    """
    if np.ma.is_masked(values):
        raise InputError(
            f"{name} has masked elements, whose values are anything: pass {name}.filled(...), and "
            "what to leave out as mask= or voxel_mask= (True = use)."
        )
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise InputError(f"{name} is ragged: give one rectangular array of numbers.") from error
    if array.dtype == object:
        raise InputError(
            f"{name}: Object dtype has no native HDF5 equivalent. Give one rectangular array of "
            "numbers, not a list of arrays or dicts."
        )
    if array.dtype.kind not in "fiub":
        raise InputError(f"{name} has dtype {array.dtype}: give real numbers.")
    return array


def real_number(name: str, value: object) -> float:
    """Return one real number, of Python or NumPy, as Python's; or raise InputError."""
    number = (
        value.item() if isinstance(value, np.generic | np.ndarray) and value.size == 1 else value
    )
    if not isinstance(number, int | float):
        raise InputError(f"{name}={value!r}: give a number.")
    return number


def require_room(name: str, largest: float) -> None:
    """Raise InputError unless a largest magnitude lies well inside the range of float32."""
    if not FLOAT32_ROOM[0] <= largest <= FLOAT32_ROOM[1]:
        raise InputError(
            f"{name} reach {largest:.3g} at most, which leaves float32 (the type of the models) "
            "no room: rescale losvd or templates to order one."
        )


def whole_pixels(safety_pad_px: object) -> int:
    """Return the pad as an int, or refuse it."""
    if not isinstance(safety_pad_px, Integral) or safety_pad_px < 0:
        raise InputError(f"safety_pad_px={safety_pad_px!r}: give a whole number, 0 or more.")
    return int(safety_pad_px)


def boolean(name: str, values: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return a mask of the given shape, or refuse it; 0 and 1 count as False and True."""
    array = numeric(name, values)
    if array.shape != shape:
        hint = ""
        if len(shape) == 1 and array.ndim == 1:
            hint = f"Row L mismatch ({array.size} vs {shape[0]}): "
        raise InputError(f"{hint}{name} has shape {array.shape}, the data need {shape}.")
    if array.dtype != bool and not np.isin(array, (0, 1)).all():
        raise InputError(
            f"{name} holds values other than 0 and 1: give booleans, True = use; from pixel "
            "numbers, np.isin(np.arange(L), numbers)."
        )
    return array.astype(bool)


def losvd_histograms(values: ArrayLike, n_velocities: int) -> NDArray[np.float32]:
    """Return the LOSVDs as float32 (S, V, C), or refuse them."""
    array = numeric("losvd", values)
    if array.ndim != 3 or not array.size:
        raise InputError(f"losvd has shape {array.shape}: give (S, V, C), none of them zero.")
    if array.shape[1] != n_velocities:
        axis = [i for i, n in enumerate(array.shape) if n == n_velocities]
        found = (
            f"axis {axis[0]} has that length: reorder to (S, V, C)" if axis else "no axis has it"
        )
        raise InputError(
            f"losvd has shape {array.shape}, but its axis 1 must be the {n_velocities} velocity "
            f"bins of /VelPix; {found}."
        )
    if not np.isfinite(array).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise InputError(f"losvd is not finite, first at (s, v, c) = {where}: set empty bins to 0.")
    if (array < 0).any():
        where = tuple(int(i) for i in np.argwhere(array < 0)[0])
        raise InputError(
            f"losvd is negative, first at (s, v, c) = {where} ({array[where]:.3g}): a histogram of "
            "light cannot be; clip it on purpose if it is noise."
        )
    if array.any():
        require_room("losvd values", float(array.max()))
    return np.ascontiguousarray(array, np.float32)


def oriented(
    name: str, values: ArrayLike, shape: tuple[int, int], order: CubeOrder | None
) -> NDArray[np.floating]:
    """Return an (S, L) or (L, S) array as (S, L); equal sizes need the order by name."""
    array = numeric(name, values)
    S, L = shape
    if order not in (None, "SL", "LS"):
        raise InputError(f"datacube_order={order!r}: give 'SL', 'LS' or None.")
    if S == L and order is None and array.shape == shape:
        raise InputError(
            f"{name} is square ({S} spaxels and {L} pixels), so its axes cannot be told apart: "
            "pass datacube_order='SL' or 'LS'."
        )
    expected = {"SL": (S, L), "LS": (L, S)}
    for candidate in ("SL", "LS") if order is None else (order,):
        if array.shape == expected[candidate]:
            return array if candidate == "SL" else array.T
    shapes = expected.values() if order is None else (expected[order],)
    wanted = " or ".join(dict.fromkeys(map(str, shapes)))
    raise InputError(
        f"{name} has shape {array.shape}: with {S} spaxels in losvd and {L} pixels in /ObsPix it "
        f"must be {wanted}."
    )


def flat_templates(values: ArrayLike, n_pixels: int) -> tuple[NDArray[np.float32], tuple[int, ...]]:
    """Return templates (T, n1, n2, ...) as (P, T) and the sizes (n1, n2, ...)."""
    array = numeric("templates", values)
    if array.ndim < 2 or array.shape[0] != n_pixels or not array.size:
        raise InputError(
            f"templates has shape {array.shape}: give (T, nZ, nAge, nAlpha) with T = {n_pixels}, "
            "the length of /TemPix, first."
        )
    flat = array.reshape(n_pixels, -1).T
    bad = ~np.isfinite(flat).all(axis=1)
    if bad.any():
        raise InputError(
            f"templates {np.flatnonzero(bad)[:5].tolist()} hold NaN or infinite values: cut the "
            "wavelength range or drop them."
        )
    largest = np.maximum(flat.max(axis=1), -flat.min(axis=1).astype(np.float64))
    if not largest.all():
        raise InputError(
            f"templates {np.flatnonzero(largest == 0)[:5].tolist()} are zero everywhere: drop them."
        )
    require_room("templates", float(largest.max()))
    require_room("values of the faintest template", float(largest.min()))
    return np.ascontiguousarray(flat, np.float32), array.shape[1:]


def axis_values(
    axes: Mapping[str, Sequence[float]] | None, shape: tuple[int, ...]
) -> dict[str, list[float]]:
    """Return the physical values of the template axes, one list per axis, or refuse them."""
    if axes is None:
        return {}
    if not isinstance(axes, Mapping):
        raise InputError(f"template_axes is a {type(axes).__name__}: give a dict, name to values.")
    values = {name: numeric(f"template_axes[{name!r}]", v) for name, v in axes.items()}
    if not all(isinstance(name, str) and name.strip() for name in axes):
        raise InputError(f"template_axes has the names {list(axes)}: give each axis a name.")
    for name, v in values.items():
        if v.ndim != 1 or not np.isfinite(v).all():
            raise InputError(f"template_axes[{name!r}] must be a vector of finite numbers.")
    sizes = tuple(v.size for v in values.values())
    if sizes != shape:
        raise InputError(
            f"template_axes have lengths {dict(zip(axes, sizes, strict=True))}, but templates have "
            f"axes {shape} behind the wavelength: name every axis, in their order."
        )
    return {name: [float(a) for a in v] for name, v in values.items()}


def masses_per_unit(values: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return the stellar mass of one unit of each template as (P,), or refuse it.

    Parameters
    ----------
    values : array_like
        Of the shape of the template axes, or (P,) in their C order.
    shape : tuple of int
        Sizes of the template axes.
    """
    array = numeric("template_masses", values).astype(np.float64)
    size = int(np.prod(shape))
    if array.shape not in (shape, (size,)):
        shapes = " or ".join(dict.fromkeys((str(shape), str((size,)))))
        raise InputError(
            f"template_masses has shape {array.shape}: the templates need {shapes}, one mass for "
            "each of them; np.ones where they are spectra of one unit of mass."
        )
    flat = array.ravel()
    bad = np.flatnonzero(~(np.isfinite(flat) & (flat > 0)))
    if bad.size:
        where = tuple(int(i) for i in np.unravel_index(bad[0], array.shape))
        raise InputError(
            f"template_masses has {bad.size} values that are no positive finite numbers, first "
            f"{flat[bad[0]]:g} at {where}: give the stellar mass behind one unit of each template."
        )
    return flat


def named_properties(
    properties: Mapping[str, ArrayLike], n_components: int
) -> dict[str, NDArray[np.float64]]:
    """Return what is known of the components, (C,) each, or refuse it; NaN is not known."""
    if not isinstance(properties, Mapping):
        raise InputError(
            f"component_properties is a {type(properties).__name__}: give a dict, name to values."
        )
    found = {}
    for name, values in properties.items():
        if not name or len(name.encode()) > PROPERTY_NAME_BYTES:
            raise InputError(
                f"component_properties: the name {name!r} is empty or longer than "
                f"{PROPERTY_NAME_BYTES} bytes: shorten it."
            )
        array = numeric(f"component_properties[{name!r}]", values).astype(np.float64)
        wrong = f"shape {array.shape}" if array.shape != (n_components,) else "infinite values"
        if array.shape != (n_components,) or np.isinf(array).any():
            raise InputError(
                f"component_properties[{name!r}] has {wrong}: give one finite number for each of "
                f"the {n_components} components, NaN for unknown."
            )
        found[name] = array
    return found


def pixel_maps(
    xpix: ArrayLike | None, ypix: ArrayLike | None, binnum: ArrayLike | None, n_spaxels: int
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None, NDArray[np.int32] | None]:
    """Return the image-plane coordinates and the pixel-to-bin map, or refuse them."""
    given = {"xpix": xpix, "ypix": ypix, "binnum": binnum}
    arrays = {k: numeric(k, v) for k, v in given.items() if v is not None}
    shapes = {k: a.shape for k, a in arrays.items()}
    if any(a.ndim != 1 for a in arrays.values()) or len(set(shapes.values())) > 1:
        raise InputError(f"xpix, ypix and binnum must be vectors of one length: they are {shapes}.")
    for name in ("xpix", "ypix"):
        if name in arrays and not np.isfinite(arrays[name]).all():
            raise InputError(f"{name} holds NaN or infinite values: give finite coordinates.")
    bins = arrays.get("binnum")
    if bins is not None:
        if bins.dtype.kind not in "iu" and not (bins == np.floor(bins)).all():
            raise InputError("binnum holds fractions: give the spaxel number of each pixel.")
        if bins.size == 0 or bins.min() < 0 or bins.max() >= n_spaxels:
            span = f"{bins.min()} to {bins.max()}" if bins.size else "nothing"
            raise InputError(
                f"binnum holds {span}, but must lie in 0 to {n_spaxels - 1} (the spaxels of "
                "losvd): count from zero and leave unbinned pixels out."
            )
    return (
        None if xpix is None else arrays["xpix"].astype(np.float64),
        None if ypix is None else arrays["ypix"].astype(np.float64),
        None if bins is None else bins.astype(np.int32),
    )


def checked_solution(x: ArrayLike, n_components: int, n_populations: int) -> NDArray[np.float64]:
    """Return ``x``, given as (C*P,) or (C, P), as (C, P), or refuse it.

    Raises
    ------
    InputError
        If it has another shape, or holds NaN or infinite values.
    """
    values = numeric("x", x).astype(np.float64)
    if values.shape not in ((n_components * n_populations,), (n_components, n_populations)):
        turned = values.shape == (n_populations, n_components)
        raise InputError(
            f"x has shape {values.shape}: the file needs C*P = {n_components}*{n_populations} = "
            f"{n_components * n_populations} values, or (C, P)"
            + ("; yours is (P, C), transpose it." if turned else ".")
        )
    if not np.isfinite(values).all():
        raise InputError("x holds NaN or infinite values: it is no solution.")
    return values.reshape(n_components, n_populations)
