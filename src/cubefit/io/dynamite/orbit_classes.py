"""Radius and angular momentum of DYNAMITE's orbits (``orblib.dat_orbclass.out``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from cubefit.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from cubefit.io.dynamite.histograms import OrbitFiles

KPC_KM: Final = 3.0856775814913673e16
"""Kilometres in a kiloparsec (IAU 2015 resolution B2)."""

ODD: Final = ("lambdax", "lambday", "lambdaz")
"""Properties that change their sign where an orbit runs backwards."""


def read_orbit_classes(
    folder: Path, root: str, files: OrbitFiles, velocity_scale: float
) -> dict[str, NDArray[np.float64]]:
    """Return the properties of the orbits of one kind.

    The file holds, for each orbit and dither, the time averages of Lx, Ly and Lz in km^2/s, of
    the radius in km, and of (vx + vy + vz)^2 in (km/s)^2. Circularities are angular momentum over
    radius and velocity, as DYNAMITE has them; all are means over the dithers.

    Parameters
    ----------
    folder : Path
        The model's ``datfil``.
    root : {"orblib", "orblibbox"}
        Tubes or boxes.
    files : OrbitFiles
        Number of orbits and dithers.
    velocity_scale : float
        Factor on all velocities.

    Returns
    -------
    dict of str to ndarray, shape (N,)
        ``Rmean_kpc``, ``lambdax``, ``lambday``, ``lambdaz``, ``Vrms_kms``; empty if there is no
        such file.

    Raises
    ------
    InputError
        If the file is damaged, or has another number of orbits.
    """
    path = folder / f"{root}.dat_orbclass.out"
    if not path.is_file():
        return {}
    try:
        numbers = np.array(path.read_text(encoding="utf-8").split(), np.float64)
    except ValueError as error:
        raise InputError(f"{path} holds no numbers ({error}): make the library again.") from error
    n_dithers = files.n_dithers**3
    if numbers.size != 5 * n_dithers * files.n_orbits or not np.isfinite(numbers).all():
        raise InputError(
            f"{path} holds {numbers.size} numbers, some NaN perhaps, where "
            f"5 x {n_dithers} dithers x {files.n_orbits} orbits are due: it belongs to another "
            "library, or is truncated."
        )
    columns = numbers.reshape(files.n_orbits, n_dithers, 5)
    radius, speed2 = columns[..., 3], columns[..., 4]
    if radius.min() < 0 or speed2.min() < 0:
        raise InputError(f"{path} has negative radii or velocities: make the library again.")
    speed = np.sqrt(speed2)
    at_rest = radius * speed == 0  # such an orbit has no angular momentum either
    momentum = columns[..., :3] / np.where(at_rest, 1.0, radius * speed)[..., None]
    circularity = np.where(at_rest[..., None], 0.0, momentum).mean(axis=1)
    return {
        "Rmean_kpc": radius.mean(axis=1) / KPC_KM,
        **dict(zip(ODD, circularity.T, strict=True)),
        "Vrms_kms": velocity_scale * speed.mean(axis=1),
    }
