"""The inputs of a fit in one npz file, and from there into a CubeFit file.

The npz file holds the arrays of `populate_from_arrays` under their names there, and

- ``tem_pix`` (T,), ``obs_pix`` (L,) in ln(Angstrom) and ``vel_pix`` (V,) in km/s;
- ``orbit_weights`` (C,), optional: targets of the component ratios, in the unit of ``x`` (shares of
  light where the templates have equal light);
- ``component_<name>`` (C,), optional: what is known of the components, such as
  ``component_radius [kpc]``;
- ``template_masses`` (nZ, nAge, nAlpha), optional: stellar mass of one unit of each template;
- ``metals``, ``ages``, ``alphas``, optional: physical values of the template axes, all three;
- ``name``, ``flux_unit``, ``pixel_unit``, optional: texts, of the galaxy, of its fluxes, and of
  ``xpix`` and ``ypix``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from msgspec import convert
from numpy.typing import NDArray

from cubefit.errors import InputError
from cubefit.hdf5_manager import H5Manager
from cubefit.io.npz import open_npz
from cubefit.observation import Observation

Arrays = Mapping[str, NDArray[Any]]

GRID_KEYS: Final = ("tem_pix", "obs_pix", "vel_pix")
REQUIRED_KEYS: Final = (*GRID_KEYS, "losvd", "datacube", "templates")
OPTIONAL_KEYS: Final = (
    *("mask", "noise", "voxel_mask", "xpix", "ypix", "binnum"),
    *("template_masses", "orbit_weights"),
)
AXIS_KEYS: Final = {"metallicity": "metals", "age": "ages", "alpha": "alphas"}
PROPERTY_PREFIX: Final = "component_"
TEXT_KEYS: Final = ("name", "flux_unit", "pixel_unit")
KNOWN_KEYS: Final = {*REQUIRED_KEYS, *OPTIONAL_KEYS, *AXIS_KEYS.values(), *TEXT_KEYS}


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of an npz file, or refuse it.

    Raises
    ------
    InputError
        If it is no npz file, lacks an array, or holds one of unknown name.
    """
    with open_npz(path) as stored:
        arrays = {key: stored[key] for key in stored.files}
    missing = [key for key in REQUIRED_KEYS if key not in arrays]
    unknown = sorted(k for k in arrays if k not in KNOWN_KEYS and not k.startswith(PROPERTY_PREFIX))
    if missing or unknown:
        raise InputError(
            f"{path} lacks {missing or 'nothing'} and has unknown arrays {unknown or 'none'}: "
            f"it may hold {', '.join(sorted(KNOWN_KEYS))}, {PROPERTY_PREFIX}<name>."
        )
    return arrays


def observation_of(arrays: Arrays) -> Observation | None:
    """Return what the texts among the arrays say of the data; None without any.

    Raises
    ------
    InputError
        If one of them is no text.
    """
    texts = {key: arrays[key] for key in TEXT_KEYS if key in arrays}
    for key, text in texts.items():
        if text.shape or text.dtype.kind != "U":
            raise InputError(
                f"{key} is of type {text.dtype} and shape {text.shape}: give one text, such as "
                "np.array('arcsec')."
            )
    said = {key: str(text) for key, text in texts.items()}
    return convert(said, Observation) if said else None


def populate(
    path: Path, arrays: Arrays, *, overwrite: bool = False, safety_pad_px: int = 64
) -> None:
    """Write the arrays into a file and add the rebin products.

    Parameters
    ----------
    path : Path
        The CubeFit file.
    arrays : mapping
        As `read_arrays` returns them.
    overwrite, safety_pad_px
        See `H5Manager.populate_from_arrays`.
    """
    manager = H5Manager(path, tem_pix=arrays["tem_pix"], obs_pix=arrays["obs_pix"])
    manager.set_velocity_grid(arrays["vel_pix"])
    axes = {name: arrays[key] for name, key in AXIS_KEYS.items() if key in arrays}
    optional: dict[str, Any] = {key: arrays[key] for key in OPTIONAL_KEYS if key in arrays}
    properties = {
        key.removeprefix(PROPERTY_PREFIX): values
        for key, values in arrays.items()
        if key.startswith(PROPERTY_PREFIX)
    }
    manager.populate_from_arrays(
        losvd=arrays["losvd"],
        datacube=arrays["datacube"],
        templates=arrays["templates"],
        template_axes={name: values.tolist() for name, values in axes.items()} or None,
        component_properties=properties or None,
        observation=observation_of(arrays),
        safety_pad_px=safety_pad_px,
        overwrite=overwrite,
        **optional,
    )
    manager.ensure_rebin_and_resample()
