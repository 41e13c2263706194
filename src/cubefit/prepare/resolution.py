"""Spectral resolution: the instrument's line spread, and templates smoothed to it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.polynomial import Polynomial, chebyshev
from numpy.typing import ArrayLike, NDArray
from scipy import fft

from cubefit.errors import ConfigError, InputError

Float = NDArray[np.float64]

FWHM_PER_SIGMA: Final = math.sqrt(8.0 * math.log(2.0))
"""Full width at half maximum of a Gaussian in its standard deviations, 2.3548."""

COARSER_SHARE: Final = 0.10
"""Share of the instrument's FWHM by which templates may be coarser: a dispersion of 0.46 of the
instrument's sigma is then missing in quadrature, 19 km/s for MUSE at 7500 Angstrom."""

WIDEST_SHARE: Final = 0.1
"""Of the wavelength that a FWHM may be: resolving powers given in its place are far above."""

BAND_RATIO: Final = 2.0
"""Largest over smallest sigma^2 that one set of nodes spans, see `smoothed`."""
LEAST_SIGMA2: Final = 1.0
"""In pixels^2: all smaller ones share one set of nodes."""
NODES: Final = 16
"""Chebyshev nodes of a band: the smallest sigmas, the hardest, are then met to 1e-11."""

MUSE_COEFFICIENTS: Final = (6.040, -9.187e-4, 5.866e-8)
"""Bacon et al. (2017, A&A 608, A1), from the exposures of the ultra deep field."""
MUSE_RANGE: Final = (4590.0, 9410.0)
"""Angstrom that MUSE observes."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LineSpread:
    """FWHM of an instrument's Gaussian line spread as a function of wavelength.

    Make one with `constant`, `polynomial`, `table` or `named`; call it with wavelengths.
    """

    name: str
    """What it is, for people."""
    coefficients: tuple[float, ...] = ()
    """Of the polynomial in observed wavelength, lowest power first; empty for a table."""
    wave: Float | None = None
    """Observed wavelengths of a table in Angstrom, shape (n,), increasing."""
    fwhm: Float | None = None
    """FWHM of a table in Angstrom, shape (n,)."""
    observed_range: tuple[float, float] = (0.0, math.inf)
    """Observed wavelengths (Angstrom) between which it is known."""
    redshift: float = 0.0
    """Wavelengths and widths are those in the rest frame of this redshift."""
    pixel: float = 0.0
    """Width in observed Angstrom of pixels whose averaging is in the FWHM as it was stated, and
    not in what a call returns; see `without_pixel`."""

    @classmethod
    def constant(cls, fwhm: float) -> LineSpread:
        """Return one FWHM (Angstrom) for all wavelengths."""
        return cls.polynomial((fwhm,))

    @classmethod
    def polynomial(
        cls,
        coefficients: tuple[float, ...],
        observed_range: tuple[float, float] = (0.0, math.inf),
        name: str = "",
    ) -> LineSpread:
        """Return a polynomial in the wavelength (Angstrom), coefficients lowest power first."""
        numbers = tuple(float(number) for number in coefficients)
        if not numbers or not all(map(math.isfinite, numbers)):
            raise ConfigError(f"coefficients={coefficients}: give finite numbers, one or more.")
        if len(numbers) == 1 and numbers[0] <= 0:
            raise ConfigError(f"FWHM of {numbers[0]:g} Angstrom: must be above 0.")
        words = name or (
            f"{numbers[0]:g} A" if len(numbers) == 1 else f"polynomial {list(numbers)}"
        )
        return cls(name=words, coefficients=numbers, observed_range=observed_range)

    @classmethod
    def table(cls, wave: ArrayLike, fwhm: ArrayLike, name: str = "table") -> LineSpread:
        """Return a table of wavelengths and FWHM, both in Angstrom, interpolated linearly."""
        at, width = np.asarray(wave, np.float64), np.asarray(fwhm, np.float64)
        if at.ndim != 1 or at.shape != width.shape or at.size < 2:
            raise InputError(
                f"{name}: wavelengths have shape {at.shape} and FWHM {width.shape}: give two "
                "vectors of one length, 2 or more."
            )
        if not (np.diff(at) > 0).all() or not np.isfinite(at).all():
            raise InputError(f"{name}: wavelengths must increase strictly: sort the table.")
        if not (np.isfinite(width) & (width > 0)).all():
            raise InputError(
                f"{name}: FWHM must be finite and above 0, in Angstrom: mend the table."
            )
        if (width > WIDEST_SHARE * at).any():
            raise InputError(
                f"{name}: FWHM of {width.max():g} at {at[width.argmax()]:g} A: give it in "
                "Angstrom, wavelength / R where a resolving power R is known."
            )
        ends = (float(at[0]), float(at[-1]))
        return cls(name=name, wave=at, fwhm=width, observed_range=ends)

    @classmethod
    def named(cls, name: str) -> LineSpread:
        """Return the line spread of an instrument: "muse" (Bacon et al. 2017)."""
        if name != "muse":
            raise ConfigError(
                f"line spread {name!r} is unknown: give 'muse', a FWHM in Angstrom, or a table."
            )
        return cls.polynomial(MUSE_COEFFICIENTS, MUSE_RANGE, "MUSE (Bacon et al. 2017)")

    def at_redshift(self, z: float) -> LineSpread:
        """Return the line spread as the rest frame at redshift ``z`` sees it.

        Its wavelengths are those of the rest frame: ``FWHM(wave * (1 + z)) / (1 + z)``.
        """
        if not z > -1 or not math.isfinite(z):
            raise ConfigError(f"redshift {z}: must be above -1.")
        return replace(self, redshift=(1.0 + self.redshift) * (1.0 + z) - 1.0)

    def without_pixel(self, width: float) -> LineSpread:
        """Return the line spread before pixels of a width (observed Angstrom) averaged it.

        Lines of a lamp or of the sky are measured on pixels, which adds ``width^2 / 12`` to their
        variance; models are averaged over pixels by themselves.
        """
        if not 0 <= width < math.inf:
            raise ConfigError(
                f"pixel width {width}: must be a finite number of Angstrom, 0 or more."
            )
        return replace(self, pixel=width)

    def held_beyond(self, width: float) -> LineSpread:
        """Return the line spread with its values at both ends held for a width (Angstrom) more.

        A cube states its own at the centres of its pixels, and pixels reach half of their width
        further.
        """
        if self.wave is None:
            raise ConfigError(f"{self.name} is no table: only tables end.")
        low, high = self.observed_range
        return replace(self, observed_range=(low - width, high + width))

    @property
    def wave_range(self) -> tuple[float, float]:
        """Wavelengths (Angstrom, of its frame) between which it is known."""
        low, high = self.observed_range
        return low / (1.0 + self.redshift), high / (1.0 + self.redshift)

    def __call__(self, wave: ArrayLike) -> Float:
        """Return the FWHM in Angstrom at wavelengths in Angstrom, same shape.

        Raises
        ------
        InputError
            Where it is not known, or not above 0.
        """
        stretch = 1.0 + self.redshift
        observed = np.asarray(wave, np.float64) * stretch
        low, high = self.observed_range
        slack = 1e-9 * observed
        if not ((observed >= low - slack) & (observed <= high + slack)).all():
            raise InputError(
                f"The line spread of {self.name} is known from {low:.1f} to {high:.1f} A, but "
                f"observed {observed.min():.1f}-{observed.max():.1f} A are asked for: extend it, "
                "or narrow the range."
            )
        if self.wave is not None and self.fwhm is not None:
            width = np.interp(observed, self.wave, self.fwhm)
        else:
            width = Polynomial(self.coefficients)(observed)
        if not (width > 0).all():
            raise InputError(
                f"The line spread of {self.name} falls to {np.min(width):.3g} A: give another one."
            )
        if self.pixel:
            width = before_pixels(width, self.pixel)
        return np.asarray(width / stretch)


def before_pixels(fwhm: ArrayLike, pixel: ArrayLike) -> Float:
    """Return the FWHM of lines before pixels averaged them.

    Parameters
    ----------
    fwhm : array_like
        As measured on pixels, Angstrom.
    pixel : array_like
        Width of the pixels, Angstrom.

    Returns
    -------
    ndarray
        ``sqrt(fwhm^2 - 8 ln 2 pixel^2 / 12)``; a thousandth of the pixel where that is less, as
        of spectra that were computed, not observed.
    """
    widths = np.asarray(pixel, np.float64)
    variance = np.asarray(fwhm, np.float64) ** 2 - FWHM_PER_SIGMA**2 * widths**2 / 12.0
    return np.sqrt(np.maximum(variance, (1e-3 * widths) ** 2))


def matching_sigma_px(
    wave: Float,
    template_fwhm: float | Float,
    instrument_fwhm: float | Float,
    *,
    within: tuple[float, float] = (0.0, math.inf),
) -> tuple[Float, tuple[float, float] | None]:
    """Return the Gaussian that takes templates to the resolution of the instrument.

    Parameters
    ----------
    wave : ndarray, shape (T,)
        Template pixel centres in Angstrom, increasing.
    template_fwhm, instrument_fwhm : float or ndarray, shape (T,)
        Resolution in Angstrom, both in the rest frame.
    within : tuple of float
        Wavelengths (Angstrom) in which templates coarser than the instrument are refused or
        reported.

    Returns
    -------
    sigma_px : ndarray, shape (T,)
        In pixels of ``wave``; 0 where templates are as coarse as the instrument or coarser.
    coarser : tuple of float or None
        First and last wavelength at which templates are coarser, if anywhere.

    Raises
    ------
    InputError
        If they are coarser by more than `COARSER_SHARE` of the instrument's FWHM.
    """
    have = np.broadcast_to(np.asarray(template_fwhm, np.float64), wave.shape)
    want = np.broadcast_to(np.asarray(instrument_fwhm, np.float64), wave.shape)
    counts = (wave >= within[0]) & (wave <= within[1])
    excess = np.where(counts, have / want - 1.0, 0.0)
    worst = int(np.argmax(excess))
    if excess[worst] > COARSER_SHARE:
        bad = wave[excess > COARSER_SHARE]
        raise InputError(
            f"Templates are coarser than the data from {bad[0]:.0f} to {bad[-1]:.0f} A (at rest), "
            f"at {wave[worst]:.0f} A by {100 * excess[worst]:.0f} % (FWHM {have[worst]:.2f} A "
            f"against {want[worst]:.2f} A): cut the wavelength range, smooth the data, or set "
            'resolution = "as given".'
        )
    # Rounding is no difference in resolution.
    coarse = wave[excess > 1e-6]
    sigma = np.sqrt(np.maximum(want**2 - have**2, 0.0)) / FWHM_PER_SIGMA
    return sigma / np.gradient(wave), (float(coarse[0]), float(coarse[-1])) if coarse.size else None


def smoothed(flux: Float, sigma_px: Float) -> Float:
    """Return spectra smoothed by a Gaussian whose width changes from pixel to pixel.

    A smoothed spectrum is an analytic function of sigma^2 (it solves the equation of heat), so
    that each pixel is interpolated between spectra that are smoothed evenly, at Chebyshev nodes.
    Those come from cosine transforms times the Gaussian's own transform, which is exact for widths
    far below a pixel, too; spectra go on beyond their ends as in a mirror.

    Parameters
    ----------
    flux : ndarray, shape (T, ...)
        Spectra on pixels of equal or slowly changing width.
    sigma_px : ndarray, shape (T,)
        Standard deviation in pixels at each pixel of the result, 0 or more.

    Returns
    -------
    ndarray, shape (T, ...)

    Raises
    ------
    InputError
        If ``sigma_px`` has another length, or holds negative, NaN or infinite values.
    """
    sigma2 = np.asarray(sigma_px, np.float64) ** 2
    if (
        sigma2.shape != flux.shape[:1]
        or not (np.isfinite(sigma2) & (np.asarray(sigma_px) >= 0)).all()
    ):
        raise InputError(
            f"sigma_px has shape {sigma2.shape} and flux {flux.shape}: give one width, 0 or more, "
            "for each pixel."
        )
    result = np.array(flux, np.float64)
    if not sigma2.any():
        return result
    spectrum = fft.dct(result, axis=0)
    wavenumber2 = (math.pi * np.arange(sigma2.size) / sigma2.size) ** 2
    for low, high in _bands(sigma2):
        inside = (sigma2 > low) & (sigma2 <= high)
        if inside.any():
            result[inside] = _smoothed_band(spectrum, wavenumber2, sigma2, inside)
    return result


def _bands(sigma2: Float) -> list[tuple[float, float]]:
    """Return intervals of sigma^2 that one set of nodes serves: (0, 1], and geometric ones."""
    tops = [LEAST_SIGMA2]
    while tops[-1] < sigma2.max():
        tops.append(tops[-1] * BAND_RATIO)
    return list(zip([0.0, *tops], tops, strict=False))


def _smoothed_band(
    spectrum: Float, wavenumber2: Float, sigma2: Float, inside: NDArray[np.bool_]
) -> Float:
    """Return the pixels ``inside``, whose sigma^2 lie in one band."""
    wanted = sigma2[inside]
    low, high = float(wanted.min()), float(wanted.max())
    even = high - low <= 1e-12 * high
    unit = chebyshev.chebpts1(1 if even else NODES)
    shape = (-1, *[1] * (spectrum.ndim - 1))
    # Values at the nodes to values in between: Lagrange's polynomials, through Chebyshev's.
    place = np.zeros(wanted.size) if even else 2.0 * (wanted - low) / (high - low) - 1.0
    degree = unit.size - 1
    weights = chebyshev.chebvander(place, degree) @ np.linalg.inv(
        chebyshev.chebvander(unit, degree)
    )
    result = np.zeros((wanted.size, *spectrum.shape[1:]))
    for node, weight in zip(unit, weights.T, strict=True):
        width2 = low + 0.5 * (node + 1.0) * (high - low)
        transfer = np.exp(-0.5 * width2 * wavenumber2).reshape(shape)
        result += weight.reshape(shape) * fft.idct(spectrum * transfer, axis=0)[inside]
    return result
