"""Log-rebinning on pixel edges, which conserves flux."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline

from cubefit.errors import GridError


def log_rebin_linear(
    flux: NDArray[np.floating],
    wave_edges: NDArray[np.float64],
    ln_edges: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Average spectra over pixels that are even in ln(wavelength); conserves flux.

    The running integral of the flux, known exactly at the source edges, is joined by a cubic
    spline and differenced at the target edges: the flux between any two source edges is kept to
    rounding, and pixels finer than the source's show no stairs. (E-MILES on pixels of 38 km/s:
    flux that is even within a pixel gives stairs of up to 2 % and 0.2 % rms.)

    Parameters
    ----------
    flux : ndarray, shape (n_pix, ...)
        Flux density per Angstrom in each source pixel.
    wave_edges : ndarray, shape (n_pix + 1,)
        Source pixel edges in Angstrom, strictly increasing.
    ln_edges : ndarray, shape (n_ln + 1,)
        Target pixel edges in ln(wavelength / Angstrom), strictly increasing, inside the source.

    Returns
    -------
    ndarray, shape (n_ln, ...)
        Flux density per Angstrom, averaged over each target pixel.

    Raises
    ------
    GridError
        If edges do not increase, do not fit ``flux``, or the source does not cover the target.
    """
    target = np.exp(np.asarray(ln_edges, np.float64))
    for name, edges in (("wave_edges", wave_edges), ("ln_edges", target)):
        if edges.ndim != 1 or edges.size < 2 or not (np.diff(edges) > 0).all():
            raise GridError(f"{name} must be a strictly increasing vector of at least 2: sort it.")
    if flux.shape[0] != wave_edges.size - 1:
        raise GridError(
            f"flux has {flux.shape[0]} pixels, but wave_edges holds {wave_edges.size} edges: "
            "give one edge more than pixels."
        )
    slack = 1e-9 * target[-1]
    if wave_edges[0] > target[0] + slack or wave_edges[-1] < target[-1] - slack:
        raise GridError(
            f"Spectra cover {wave_edges[0]:.2f}-{wave_edges[-1]:.2f} A, but the grid needs "
            f"{target[0]:.2f}-{target[-1]:.2f} A: narrow the requested range."
        )
    integral = np.zeros((wave_edges.size, *flux.shape[1:]))
    np.cumsum((flux.T * np.diff(wave_edges)).T, axis=0, out=integral[1:])
    running = make_interp_spline(wave_edges, integral, k=min(3, wave_edges.size - 1))(target)
    return np.asarray((np.diff(running, axis=0).T / np.diff(target)).T)
