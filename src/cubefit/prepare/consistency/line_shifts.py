"""Shifts of the lines in many spectra against one template, by cross-correlation."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray
from scipy.linalg import lstsq
from scipy.ndimage import gaussian_filter1d

from cubefit.spectra.grids import (
    coverage,
    edges_of,
    ln_shift,
    require_cover,
    step_of,
    velocity_of_shift,
)
from cubefit.spectra.rebin import averaging_operator, template_spline

Float = NDArray[np.float64]

FARTHEST_KMS: Final = 1500.0
"""Largest shift that is looked for, if the templates reach so far."""

STEP_PX: Final = 0.5
"""Of the trial shifts, in observed pixels; a parabola finds the top between them."""

LN_PER_DEGREE: Final = 0.03
"""Range in ln(wavelength) for each degree of the continuum that is taken out: 150 Angstrom."""

SIGNIFICANCE: Final = 5.0
"""Of a top, in sigma; the highest of a hundred trials reaches 3 in noise alone."""

ROUNDING: Final = 1e-10
"""Relative depth below which lines are rounding."""


def trial_shifts(template_ln_wave: Float, ln_wave: Float) -> Float:
    """Return even shifts in ln(wavelength), zero among them, for which the template covers data.

    Raises
    ------
    GridError
        If it does not even cover them unshifted.
    """
    require_cover(template_ln_wave, ln_wave)
    margins = coverage(template_ln_wave, ln_wave, (0.0, 0.0))
    farthest = float(ln_shift(FARTHEST_KMS))
    step = STEP_PX * step_of(ln_wave)
    blue, red = (
        max(0, math.floor(min(margin_px * margins.dln, farthest) / step))
        for margin_px in (margins.red_margin_px, margins.blue_margin_px)
    )
    return np.asarray(step * np.arange(-blue, red + 1), np.float64)


def shifted_references(
    template: Float, template_ln_wave: Float, ln_wave: Float, trials: Float, sigma_kms: float
) -> Float:
    """Return the smeared template at each trial shift on the data's pixels.

    Parameters
    ----------
    template, template_ln_wave : ndarray, shapes (T,)
        Flux density, and pixel centres in ln(wavelength).
    ln_wave : ndarray, shape (L,)
        The data's.
    trials : ndarray, shape (N,)
        See `trial_shifts`.
    sigma_kms : float
        Of the Gaussian that smears it.

    Returns
    -------
    ndarray, shape (N, L)
    """
    smear_px = float(ln_shift(sigma_kms)) / step_of(template_ln_wave)
    smooth = np.asarray(template, np.float64)
    if smear_px > 0:
        smooth = gaussian_filter1d(smooth, smear_px, mode="nearest")
    integral = template_spline(template_ln_wave, smooth[None, :]).antiderivative()
    edges = edges_of(ln_wave)
    rows = np.empty((trials.size, ln_wave.size))
    for row, trial in zip(rows, trials, strict=True):
        average = averaging_operator(integral, edges, np.array([trial]), np.ones(1))
        row[:] = average @ integral.c[: average.shape[1], 0]
    return rows


def line_shifts(
    data: Float, weight: Float, ln_wave: Float, references: Float, trials: Float
) -> tuple[Float, Float]:
    """Return the shift of each spectrum against the references, and its error.

    A polynomial is taken out of both, so that lines alone count.

    Parameters
    ----------
    data, weight : ndarray, shapes (S, L)
        Finite values, and 1 / noise^2 or any multiple of it, zero where not used.
    ln_wave : ndarray, shape (L,)
        Pixel centres.
    references, trials : ndarray, shapes (N, L), (N,)
        See `shifted_references`.

    Returns
    -------
    tuple of ndarray, shapes (S,)
        km/s, positive to the red; NaN where no top inside the trials stands out of the noise.
    """
    series = _continuum_series(ln_wave)
    lines = _without_continuum(data, weight, series)
    flat = _flattened(references, series)
    length = np.sqrt(weight @ np.square(flat).T)
    match = np.zeros(length.shape)
    np.divide((weight * lines) @ flat.T, length, out=match, where=length > 0)
    best, height, bend = _tops(match, trials)
    # The residual sets the scale of the errors, whatever the unit of the weights.
    n_used = np.maximum((weight > 0).sum(axis=1), 1)
    rest = np.maximum((weight * lines**2).sum(axis=1) - height**2, 0.0) / n_used
    found = np.isfinite(best) & (height**2 > SIGNIFICANCE**2 * rest)
    shift, error = np.full(len(data), np.nan), np.full(len(data), np.nan)
    shift[found] = velocity_of_shift(best[found])
    error[found] = velocity_of_shift(np.sqrt(rest[found] / (bend * height)[found]))
    return shift, error


def expected_shifts(
    light: Float,
    velocity_kms: Float,
    ln_wave: Float,
    references: Float,
    sharp: Float,
    trials: Float,
) -> Float:
    """Return the shifts that `line_shifts` finds in spectra of given LOSVDs, without noise.

    Cross-correlation finds the top of a LOSVD smeared by the lines, not its mean: a disc in front
    of a bulge counts for more than its light.

    Parameters
    ----------
    light : ndarray, shape (S, V)
        LOSVD of each bin.
    velocity_kms : ndarray, shape (V,)
        Bin centres.
    ln_wave, references, trials
        See `line_shifts`.
    sharp : ndarray, shape (L,)
        The template unshifted and not smeared.

    Returns
    -------
    ndarray, shape (S,)
        km/s; NaN where there is no light, or no top inside the trials.
    """
    series = _continuum_series(ln_wave)
    flat = _flattened(references, series)
    of_lines = flat @ _flattened(sharp[None, :], series)[0]
    lags = trials[:, None] - ln_shift(velocity_kms)
    smeared = light @ np.interp(lags, trials, of_lines, left=0.0, right=0.0).T
    best, _, _ = _tops(smeared, trials)
    return np.where(np.isfinite(best), velocity_of_shift(best), np.nan)


def _tops(match: Float, trials: Float) -> tuple[Float, Float, Float]:
    """Return place, height and curvature (positive) of the highest top of each row, or NaN."""
    if trials.size < 3:
        nothing = np.full(len(match), np.nan)
        return nothing, nothing, nothing
    step = float(trials[1] - trials[0])
    top = np.clip(match.argmax(axis=1), 1, trials.size - 2)
    rows = np.arange(len(match))
    left, middle, right = (match[rows, top + side] for side in (-1, 0, 1))
    drop = 2.0 * middle - left - right
    found = (middle > 0) & (middle >= left) & (middle >= right) & (drop > 0)
    drop = np.where(found, drop, np.nan)
    place = trials[top] + 0.5 * step * (right - left) / drop
    return place, np.where(found, middle, np.nan), drop / step**2


def _continuum_series(ln_wave: Float) -> Float:
    degree = max(1, math.ceil((ln_wave[-1] - ln_wave[0]) / LN_PER_DEGREE))
    return np.asarray(legendre.legvander(np.linspace(-1, 1, ln_wave.size), degree), np.float64)


def _flattened(spectra: Float, series: Float) -> Float:
    """Return spectra (n, L) less a polynomial."""
    return np.asarray(spectra - (series @ np.linalg.lstsq(series, spectra.T)[0]).T, np.float64)


def _without_continuum(data: Float, weight: Float, series: Float) -> Float:
    """Return data (S, L) less the polynomial that fits each best by its weights."""
    result = np.zeros(data.shape)
    for row, spectrum, of_pixel in zip(result, data, weight, strict=True):
        used = of_pixel > 0
        if used.sum() > 2 * series.shape[1]:
            root = np.sqrt(of_pixel[used] / of_pixel[used].max())
            weighted = series[used] * root[:, None]
            fit = lstsq(weighted, spectrum[used] * root, lapack_driver="gelsy")[0]
            lines = spectrum[used] - series[used] @ fit
            is_rounding = np.abs(lines).max() < ROUNDING * np.abs(spectrum[used]).max()
            row[used] = 0.0 if is_rounding else lines
    return result
