"""Spectra of single stellar populations (SSPs) as published, with their axes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cubefit.errors import GridError, InputError
from cubefit.prepare.air import require_medium
from cubefit.spectra.grids import edges_between

Float = NDArray[np.float64]

GUARD_PX: Final = 20
"""Pixels kept beyond a range where there are any: a spline's end is felt 0.27^n after n pixels,
so that rebinned spectra do not depend on the range that was asked for."""

OLDEST_GYR: Final = 20.0
"""No published population is older: larger ages are in Myr or years."""

LARGEST_Z: Final = 0.1
"""Several metallicities between zero and this are mass fractions Z, not [M/H] in dex."""

LOG_YEARS: Final = (5.0, 10.3)
"""Where logarithms of ages in years lie, and old ages in Gyr, too."""

LEAST_LOG_SPAN: Final = 0.3
"""Of ages whose spectra differ as one can tell."""

ALIKE: Final = 0.06
"""Most by which spectra of such old ages differ (rms of shapes, 4000-7000 Angstrom): 5 and 10 Gyr
of E-MILES by 0.04, 1 and 10 Gyr by 0.22."""

OPTICAL: Final = (4000.0, 7000.0)
"""Where shapes are compared."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class SSPLibrary:
    """A complete grid of SSP spectra on the wavelengths of their publisher.

    Raises
    ------
    InputError
        If the arrays disagree in shape, an axis does not increase, ages are not in Gyr, or values
        are impossible (NaN, infinite, negative).
    ConfigError
        If ``medium`` is unknown.
    """

    templates: Float
    """Flux density per Angstrom, shape (T, nZ, nAge, nAlpha), average over each pixel."""
    wave: Float
    """Pixel centres in Angstrom, shape (T,), increasing; steps may differ."""
    metals: Float
    """[M/H] in dex, shape (nZ,), increasing."""
    ages: Float
    """Ages in Gyr, shape (nAge,), increasing."""
    alphas: Float
    """[alpha/Fe] in dex, shape (nAlpha,), increasing."""
    masses: Float | None = None
    """Solar masses of stars and remnants per unit of each template, shape (nZ, nAge, nAlpha), or
    None where the publisher's files say nothing of them."""
    fwhm: float | Float | None = None
    """Resolution in Angstrom, of all pixels or of each, shape (T,); None where it is not known."""
    medium: str
    """Medium of the wavelengths, "air" or "vacuum"."""
    source: str
    """Where the spectra come from, for people."""

    def __post_init__(self) -> None:
        """Refuse arrays that do not fit together."""
        require_medium(self.medium)
        for name in ("wave", "metals", "ages", "alphas"):
            self._require_axis(name)
        if self.wave.size < 2 or self.wave[-1] < 900.0:
            raise InputError(
                f"{self.source}: wave holds {self.wave.size} pixels up to {self.wave[-1]:.6g}: "
                "give two or more, in Angstrom (not nm, micron or a logarithm)."
            )
        if self.ages[0] <= 0 or self.ages[-1] > OLDEST_GYR:
            raise InputError(
                f"{self.source}: ages run from {self.ages[0]:.6g} to {self.ages[-1]:.6g}: give "
                "them in Gyr (not Myr, years or a logarithm)."
            )
        if self.metals.size > 1 and self.metals[0] > 0 and self.metals[-1] < LARGEST_Z:
            raise InputError(
                f"{self.source}: metals run from {self.metals[0]:.4g} to {self.metals[-1]:.4g}, "
                "which looks like mass fractions Z: give [M/H] in dex, log10(Z / Zsun) with "
                "the solar Zsun of the library."
            )
        populations = (self.metals.size, self.ages.size, self.alphas.size)
        self._require_values("templates", self.templates, (self.wave.size, *populations))
        if self.masses is not None:
            self._require_values("masses", self.masses, populations)
        if self.fwhm is not None:
            fwhm = np.asarray(self.fwhm, np.float64)
            scalar = not isinstance(self.fwhm, np.ndarray)
            self._require_values("fwhm", fwhm, () if scalar else self.wave.shape)
            if fwhm.min() == 0:
                raise InputError(f"{self.source}: fwhm is zero somewhere: give it in Angstrom.")

    def __repr__(self) -> str:
        """Return the sizes in words."""
        n_pixels, *grid = self.templates.shape
        return (
            f"<SSPLibrary of {' x '.join(map(str, grid))} templates ([M/H], age, [alpha/Fe]) with "
            f"{n_pixels} wavelengths ({self.wave[0]:.1f}-{self.wave[-1]:.1f} A in {self.medium}) "
            f"from {self.source}>"
        )

    @property
    def wave_edges(self) -> Float:
        """Pixel edges in Angstrom, shape (T + 1,): half way between the centres."""
        return edges_between(self.wave)

    def trimmed(self, wave_range: tuple[float, float], *, guard_px: int = GUARD_PX) -> SSPLibrary:
        """Return the library with the pixels that cover a range, and a few more.

        Parameters
        ----------
        wave_range : tuple of float
            Lowest and highest wavelength in Angstrom, in the library's medium.
        guard_px : int
            Pixels to keep on either side where there are any.

        Returns
        -------
        SSPLibrary

        Raises
        ------
        GridError
            If the library does not cover the range.
        """
        window = pixels_covering(self.wave_edges, wave_range, self.source, guard_px)
        fwhm = self.fwhm[window] if isinstance(self.fwhm, np.ndarray) else self.fwhm
        return replace(self, templates=self.templates[window], wave=self.wave[window], fwhm=fwhm)

    def cut(
        self,
        *,
        ages: tuple[float, float] | None = None,
        metals: tuple[float, float] | None = None,
        alphas: tuple[float, float] | None = None,
    ) -> SSPLibrary:
        """Return the library with fewer populations.

        Parameters
        ----------
        ages, metals, alphas : tuple of float, optional
            Lowest and highest value to keep (Gyr, dex, dex), both included.

        Returns
        -------
        SSPLibrary

        Raises
        ------
        InputError
            If a range holds none of the library's values.
        """
        kept = {
            name: self._inside(name, wanted)
            for name, wanted in (("metals", metals), ("ages", ages), ("alphas", alphas))
        }
        metal, age, alpha = kept.values()
        return replace(
            self,
            templates=self.templates[:, metal][:, :, age][:, :, :, alpha],
            masses=None if self.masses is None else self.masses[np.ix_(metal, age, alpha)],
            **{name: getattr(self, name)[place] for name, place in kept.items()},
        )

    def _inside(self, name: str, wanted: tuple[float, float] | None) -> NDArray[np.intp]:
        values: Float = getattr(self, name)
        if wanted is None:
            return np.arange(values.size)
        # Values are written with four digits; a range given to fewer is not to miss them.
        low, high = (float(np.round(end, 6)) for end in wanted)
        found = np.flatnonzero((np.round(values, 6) >= low) & (np.round(values, 6) <= high))
        if not found.size:
            raise InputError(
                f"{self.source}: none of the {name} {values.tolist()} lies in {low:g} to {high:g}: "
                "widen the range."
            )
        return found

    def _require_axis(self, name: str) -> None:
        axis: Float = getattr(self, name)
        good = (
            axis.ndim == 1 and axis.size and np.isfinite(axis).all() and (np.diff(axis) > 0).all()
        )
        if not good:
            raise InputError(
                f"{self.source}: {name} must be a strictly increasing vector of finite numbers: "
                "sort it, and the templates with it."
            )

    def _require_values(self, name: str, array: Float, due: tuple[int, ...]) -> None:
        if array.shape != due:
            raise InputError(
                f"{self.source}: {name} has shape {array.shape}, but wave, metals, ages and alphas "
                f"ask for {due}: order the axes (T, nZ, nAge, nAlpha)."
            )
        bad = ~np.isfinite(array) | (array < 0)
        if bad.any():
            where = tuple(int(index) for index in np.argwhere(bad)[0])
            place = f" from {self.wave[where[0]]:.1f} A on" if name == "templates" else ""
            raise InputError(
                f"{self.source}: {name} holds {int(bad.sum())} negative, NaN or infinite values, "
                f"the first at {where}{place}: choose a wave_range without them, or get the file "
                "again."
            )


def require_ages(templates: NDArray[np.floating], wave: Float, ages: Float, source: str) -> None:
    """Refuse ages that are logarithms of years, as far as spectra tell.

    Parameters
    ----------
    templates : ndarray, shape (T, nZ, nAge, nAlpha)
        Of a whole library.
    wave, ages : ndarray, shapes (T,), (nAge,)
        Its axes.
    source : str
        What the error message calls it.

    Raises
    ------
    InputError
        If ages look like either, and their spectra differ as only those of logarithms do.
    """
    could_be = LOG_YEARS[0] <= ages.min() and ages.max() <= LOG_YEARS[1]
    seen = (wave >= OPTICAL[0]) & (wave <= OPTICAL[1])
    if not could_be or np.ptp(ages) < LEAST_LOG_SPAN or seen.sum() < 2:
        return
    ends = templates[seen][:, :, [int(ages.argmin()), int(ages.argmax())]].astype(np.float64)
    mean = ends.mean(axis=0)
    shape = np.divide(ends, mean, out=np.ones(ends.shape), where=mean > 0)
    differ = float(np.median(np.sqrt(((shape[:, :, 0] - shape[:, :, 1]) ** 2).mean(axis=0))))
    if differ > ALIKE:
        raise InputError(
            f"{source}: ages run from {ages.min():.4g} to {ages.max():.4g}, and the spectra of the "
            f"two differ by {100 * differ:.0f} %, far more than such ages in Gyr do: they look "
            "like log10(age / yr). Give Gyr, 10**(ages - 9)."
        )


def pixels_covering(
    wave_edges: Float, wave_range: tuple[float, float], source: str, guard_px: int = GUARD_PX
) -> slice:
    """Return the pixels that cover a range of wavelengths, and ``guard_px`` more on either side.

    Parameters
    ----------
    wave_edges : ndarray, shape (T + 1,)
        Pixel edges in Angstrom, increasing.
    wave_range : tuple of float
        Lowest and highest wavelength in Angstrom.
    source : str
        What the error message calls the spectra.
    guard_px : int
        Further pixels, as far as there are any.

    Returns
    -------
    slice
        Of the T pixels.

    Raises
    ------
    GridError
        If the pixels do not cover the range, or it is no range.
    """
    low, high = (float(end) for end in wave_range)
    if not low < high:
        raise GridError(f"wave_range=({low:g}, {high:g}): give two wavelengths, the lower first.")
    blue, red = wave_edges[[0, -1]]
    slack = 1e-9 * high
    if not (blue <= low + slack and high - slack <= red):
        raise GridError(
            f"{source} covers {blue:.1f}-{red:.1f} A, but {low:.1f}-{high:.1f} A are needed: "
            "narrow the range."
        )
    start = int(np.searchsorted(wave_edges, low, side="right")) - 1 - guard_px
    stop = int(np.searchsorted(wave_edges, high, side="left")) + guard_px
    return slice(max(start, 0), min(stop, wave_edges.size - 1))
