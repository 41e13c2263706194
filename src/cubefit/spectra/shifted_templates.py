"""Shifted templates ``D[v,p,l]``: each template smeared by one velocity bin, on the observed grid.

With them every model is a plain matrix product, ``models[s,c,p,l] = sum_v LOSVD[s,v,c] D[v,p,l]``,
because convolution and rebinning are linear and a histogram has a finite number of bins.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import DTypeLike, NDArray

from cubefit.spectra.grids import edges_of, ln_shift, step_of
from cubefit.spectra.rebin import average_over_pixels, template_spline


def quadrature_nodes(bin_width: float, pixel_width: float) -> int:
    """Return the Gauss-Legendre nodes per velocity bin.

    Four nodes integrate the piecewise quartic exactly between knots; one more for every spline
    knot (template pixel) that a bin can span keeps the error below 1e-6 of the spectrum.
    """
    return 4 + math.ceil(bin_width / pixel_width)


def shifted_templates(
    templates: NDArray[np.floating],
    template_ln_wave: NDArray[np.float64],
    observed_ln_wave: NDArray[np.float64],
    velocity_kms: NDArray[np.float64],
    *,
    used: NDArray[np.bool_] | None = None,
    dtype: DTypeLike = np.float32,
) -> NDArray[np.floating]:
    r"""Return the templates shifted and smeared by each velocity bin, rebinned to observed pixels.

    .. math:: D_{vpl} = \frac{1}{\Delta_l}\int_l du\,\frac{1}{\delta v}\int_v dv'\,
              T_p\!\left(u - \ln(1 + v'/c)\right)

    with ``T_p`` the cubic spline through the template samples. The integral over the pixel is
    exact (antiderivative of the spline), that over the velocity bin Gauss-Legendre; no Fourier
    transform, so nothing wraps around or rings at the ends.

    Parameters
    ----------
    templates : ndarray, shape (P, T)
        Flux density per template.
    template_ln_wave : ndarray, shape (T,)
        Template pixel centres in ln(wavelength / Angstrom), uniform.
    observed_ln_wave : ndarray, shape (L,)
        Observed pixel centres, same unit, uniform. The templates must cover the observed range
        plus the velocities in use (see `cubefit.spectra.grids.coverage`).
    velocity_kms : ndarray, shape (V,)
        Velocity bin centres in km/s, uniform; bin v covers ``v -+ dv/2`` evenly.
    used : ndarray of bool, shape (V,), optional
        Velocity bins to compute; the others stay zero. Default all.
    dtype : dtype
        Of the result; the arithmetic is float64.

    Returns
    -------
    ndarray, shape (V, P, L)
    """
    observed_edges = edges_of(observed_ln_wave)
    velocity_edges = edges_of(velocity_kms)
    integral = template_spline(template_ln_wave, np.asarray(templates, np.float64)).antiderivative()
    width = float(np.diff(ln_shift(velocity_edges)).max())
    nodes, weights = np.polynomial.legendre.leggauss(
        quadrature_nodes(width, step_of(template_ln_wave))
    )
    half_bin = 0.5 * step_of(velocity_kms)
    result = np.zeros((velocity_kms.size, templates.shape[0], observed_ln_wave.size), dtype)
    for v in np.flatnonzero(np.ones(velocity_kms.size, bool) if used is None else used):
        shifts = ln_shift(velocity_kms[v] + half_bin * nodes)
        smeared = sum(
            0.5 * weight * average_over_pixels(integral, observed_edges, float(shift))
            for weight, shift in zip(weights, shifts, strict=True)
        )
        result[v] = np.asarray(smeared).T
    return result
