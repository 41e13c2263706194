"""A smooth continuum of each spectrum, to divide by where its shape is not to be trusted.

`flattened` takes the shape away and leaves the level, which a fit of all bins at once needs: where
light of orbits and bins counts, brightness must stay. `divided` takes both.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray
from scipy.linalg import lstsq

from cubefit.errors import ConfigError, InputError
from cubefit.prepare.spectra import Spectra

Float = NDArray[np.float64]


def continuum(spectra: Spectra, degree: int) -> Float:
    """Return a polynomial in ln(wavelength) through each spectrum.

    The fit is linear, to the pixels in use, weighted by 1 / noise^2 (evenly where there is no
    noise). Absorption lines pull it down by their share of the light, as they do in the model.

    Parameters
    ----------
    spectra : Spectra
        Of S bins on L pixels.
    degree : int
        Of the Legendre series, 0 or more. A degree of one per 100 Angstrom follows lines.

    Returns
    -------
    ndarray, shape (S, L)
        In the unit of the flux; one in bins that have no pixel in use.

    Raises
    ------
    ConfigError
        If the degree is negative.
    InputError
        If a bin has fewer pixels in use than coefficients, or its continuum is not positive.
    """
    if degree < 0:
        raise ConfigError(f"degree={degree}: must be 0 or more.")
    n_used = spectra.mask.sum(axis=1)
    few = np.flatnonzero((n_used > 0) & (n_used <= degree))
    if few.size:
        raise InputError(
            f"{few.size} spectra have too few pixels in use for a continuum of degree {degree} "
            f"(spectrum {few[0]} has {n_used[few[0]]}): lower the degree, or leave them out."
        )
    ln_wave = np.log(spectra.wave)
    middle, half = 0.5 * (ln_wave[0] + ln_wave[-1]), 0.5 * (ln_wave[-1] - ln_wave[0])
    series = legendre.legvander((ln_wave - middle) / (half or 1.0), degree)
    found = np.ones(spectra.flux.shape)
    has_noise = spectra.has_noise
    for s in np.flatnonzero(n_used):
        used = spectra.mask[s]
        weight = 1.0 / spectra.noise[s, used] if has_noise else np.ones(n_used[s])
        weight /= weight.max()
        scale = float(np.abs(spectra.flux[s, used]).max()) or 1.0
        solution = lstsq(
            series[used] * weight[:, None],
            spectra.flux[s, used] / scale * weight,
            lapack_driver="gelsy",
        )[0]
        found[s] = series @ solution * scale
    dark = np.flatnonzero((spectra.mask & (found <= 0)).any(axis=1))
    if dark.size:
        raise InputError(
            f"The continuum of {dark.size} spectra is not positive everywhere, the first is of "
            f"spectrum {dark[0]}: lower the degree, or leave them out by min_sn."
        )
    return found


def flattened(spectra: Spectra, degree: int) -> Spectra:
    """Return spectra divided by the shape of their continuum; the mean level stays.

    Every pixel in use counts evenly: the continuum of templates, `shapes_of_templates`, is then
    found by the same rule, and a mixture of flattened templates is the flattened mixture as far
    as their shapes are alike. High degrees follow lines, and differently in both.

    Parameters
    ----------
    spectra : Spectra
        Of S bins on L pixels.
    degree : int
        Of the polynomial, see `continuum`.

    Returns
    -------
    Spectra
        In the same unit; flux and noise are zero where masked.

    Raises
    ------
    ConfigError, InputError
        As `continuum`.
    """
    even = replace(spectra, noise=np.full(spectra.noise.shape, np.nan))
    shape = continuum(even, degree)
    return divided(spectra, shape / shape.mean(axis=1, keepdims=True))


def shapes_of_templates(
    templates: Float, tem_pix: Float, obs_pix: Float, used: NDArray[np.bool_], degree: int
) -> Float:
    """Return the shape of each template's continuum as `flattened` finds those of data.

    Parameters
    ----------
    templates : ndarray, shape (T, P)
        Spectra.
    tem_pix, obs_pix : ndarray, shapes (T,), (L,)
        Pixel centres of templates and data in ln(Angstrom).
    used : ndarray of bool, shape (L,)
        Pixels that are in use in the data.
    degree : int
        As for the data.

    Returns
    -------
    ndarray, shape (T, P)
        Of mean one over the pixels of the data; constant beyond their ends, where a polynomial
        runs away.

    Raises
    ------
    InputError
        If a continuum is not positive everywhere.
    """
    on_data = np.stack([np.interp(obs_pix, tem_pix, each) for each in templates.T], axis=1)
    middle, half = 0.5 * (obs_pix[0] + obs_pix[-1]), 0.5 * (obs_pix[-1] - obs_pix[0])
    series = legendre.legvander((obs_pix - middle) / half, degree)
    solution = lstsq(series[used], on_data[used], lapack_driver="gelsy")[0]
    level = (series @ solution).mean(axis=0)
    beyond = np.clip((tem_pix - middle) / half, -1.0, 1.0)
    shapes = legendre.legvander(beyond, degree) @ solution / level
    dark = np.flatnonzero((shapes <= 0).any(axis=0))
    if dark.size:
        raise InputError(
            f"The continuum of {dark.size} templates is not positive everywhere, the first is of "
            f"template {dark[0]}: lower the degree."
        )
    return np.asarray(shapes)


def divided(spectra: Spectra, by: Float) -> Spectra:
    """Return spectra and their noise divided by a continuum.

    Parameters
    ----------
    spectra : Spectra
        Of S bins on L pixels.
    by : ndarray, shape (S, L)
        The continuum; positive where the mask is True.

    Returns
    -------
    Spectra
        Without unit, about 1; flux and noise are zero where masked.

    Raises
    ------
    InputError
        If the continuum does not fit or is not positive.
    """
    if by.shape != spectra.flux.shape:
        raise InputError(f"The continuum has shape {by.shape}, the spectra {spectra.flux.shape}.")
    if not (by[spectra.mask] > 0).all():
        raise InputError("The continuum is not positive in all pixels in use: lower its degree.")
    flux, noise = np.zeros(by.shape), np.zeros(by.shape)
    np.divide(spectra.flux, by, out=flux, where=spectra.mask)
    np.divide(spectra.noise, by, out=noise, where=spectra.mask)
    return Spectra(
        flux=flux,
        noise=noise,
        mask=spectra.mask,
        wave_edges=spectra.wave_edges,
        medium=spectra.medium,
    )
