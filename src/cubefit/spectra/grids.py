"""Uniform grids in ln(wavelength) and velocity, their edges, and how one covers another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cubefit.display import html_table
from cubefit.errors import GridError

SPEED_OF_LIGHT_KMS: Final = 299_792.458
"""Speed of light in vacuum, exact by definition (km/s)."""

UNIFORMITY: Final = 1e-2
"""Largest departure of a pixel centre from the uniform grid, in pixels. It is less than the error
of any wavelength calibration, and float32 centres pass: at MUSE's steps they are off by 3e-3."""

FASTEST_KMS: Final = 0.1 * SPEED_OF_LIGHT_KMS
"""No star in a galaxy is so fast: larger values are m/s."""

COVER_SLACK_PX: Final = 1e-6
"""Template pixels by which rounding may make a margin fall short."""


SHORTEST_LN_WAVE: Final = 6.8
"""ln(900 Angstrom): galaxies send no starlight below; nanometres and microns would end up there."""


def ln_shift(velocity_kms: ArrayLike) -> NDArray[np.float64]:
    """Return the shift in ln(wavelength) of a source that recedes at ``velocity_kms``.

    Parameters
    ----------
    velocity_kms : array_like
        Line-of-sight velocity in km/s, positive receding, above minus the speed of light.

    Returns
    -------
    ndarray
        ``ln(1 + v / c)``, same shape.
    """
    return np.asarray(np.log1p(np.asarray(velocity_kms, np.float64) / SPEED_OF_LIGHT_KMS))


def velocity_of_shift(shift: ArrayLike) -> NDArray[np.float64]:
    """Return the velocity in km/s of a shift in ln(wavelength): the inverse of `ln_shift`."""
    return np.asarray(SPEED_OF_LIGHT_KMS * np.expm1(np.asarray(shift, np.float64)))


def require_uniform(grid: ArrayLike, name: str, unit: str) -> NDArray[np.float64]:
    """Return ``grid`` as a float64 vector, or refuse it.

    Parameters
    ----------
    grid : array_like, shape (n,)
        Bin centres.
    name, unit : str
        What the error message calls the grid.

    Returns
    -------
    ndarray, shape (n,)

    Raises
    ------
    GridError
        If the grid is no vector of at least two finite, increasing, uniformly spaced values.
    """
    centres = np.asarray(grid, np.float64)
    if centres.ndim != 1 or centres.size < 2:
        raise GridError(
            f"{name} has shape {centres.shape}: give one vector of 2 or more bin centres in {unit}."
        )
    if not np.isfinite(centres).all():
        raise GridError(f"{name} holds NaN or infinite values: give finite bin centres in {unit}.")
    step = (centres[-1] - centres[0]) / (centres.size - 1)
    if step <= 0:
        raise GridError(f"{name} does not increase: give bin centres in {unit}, lowest first.")
    ideal = centres[0] + step * np.arange(centres.size)
    worst = int(np.argmax(np.abs(centres - ideal)))
    if abs(centres[worst] - ideal[worst]) > UNIFORMITY * step:
        raise GridError(
            f"{name} is not uniform in {unit}: element {worst} is "
            f"{abs(centres[worst] - ideal[worst]) / step:.2g} steps off the even spacing. "
            f"Rebin to even steps in {unit} first."
        )
    return centres


def require_ln_wave(grid: ArrayLike, name: str) -> NDArray[np.float64]:
    """Return a uniform grid in ln(wavelength / Angstrom), or refuse it.

    Raises
    ------
    GridError
        If the values cannot be ln(Angstrom) (Angstrom or log10 are recognised), or the grid
        is not uniform.
    """
    centres = np.asarray(grid, np.float64)
    if centres.ndim == 1 and centres.size and np.isfinite(centres).all():
        low, high = float(centres.min()), float(centres.max())
        if high > 20.0:
            raise GridError(
                f"{name} runs from {low:.6g} to {high:.6g}, which looks like Angstrom where "
                f"ln(Angstrom) is due: pass np.log(wavelength), evenly spaced."
            )
        if low >= 0.0 and high < 5.0:
            raise GridError(
                f"{name} runs from {low:.6g} to {high:.6g}, which looks like log10(Angstrom) where "
                f"ln(Angstrom) is due: multiply by np.log(10)."
            )
        if high < SHORTEST_LN_WAVE:
            raise GridError(
                f"{name} runs from {low:.6g} to {high:.6g}, which is below 900 A and looks like "
                "another unit than Angstrom under the logarithm: pass np.log(Angstrom)."
            )
    return require_uniform(grid, name, "ln(Angstrom)")


def require_velocities(grid: ArrayLike, name: str) -> NDArray[np.float64]:
    """Return a uniform velocity grid in km/s, or refuse it.

    Raises
    ------
    GridError
        If the grid is not uniform, or its values cannot be km/s.
    """
    centres = require_uniform(grid, name, "km/s")
    fastest = float(np.abs(centres).max())
    if fastest > FASTEST_KMS:
        raise GridError(
            f"{name} reaches {fastest:.6g}, more than a tenth of the speed of light, which looks "
            "like m/s where km/s is due: divide by 1000."
        )
    return centres


def step_of(centres: NDArray[np.float64]) -> float:
    """Return the spacing of a uniform grid of bin centres."""
    return float((centres[-1] - centres[0]) / (centres.size - 1))


def edges_of(centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the ``n + 1`` bin edges of a uniform grid of ``n`` bin centres."""
    step = step_of(centres)
    return np.asarray(centres[0] + step * (np.arange(centres.size + 1) - 0.5))


def edges_between(centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return edges, shape (n + 1,), of n pixels of any widths: half way between their centres.

    The outermost lie as far beyond as the next ones on the other side.
    """
    inner = 0.5 * (centres[1:] + centres[:-1])
    ends = 2.0 * centres[[0, -1]] - inner[[0, -1]]
    return np.concatenate([ends[:1], inner, ends[1:]])


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How far templates reach beyond the observed range, in template pixels and km/s.

    The blue side feeds receding velocities and the red side approaching ones. The object is
    true when both margins hold the support of the LOSVD.
    """

    dln: float
    """Template step in ln(wavelength)."""
    blue_margin_px: float
    """Template pixels below the lowest observed edge."""
    red_margin_px: float
    """Template pixels above the highest observed edge."""
    blue_support_px: float
    """Largest shift to the red by the LOSVD, which draws on the blue margin."""
    red_support_px: float
    """Largest shift to the blue by the LOSVD, which draws on the red margin."""

    @property
    def safe(self) -> bool:
        """Whether every observed pixel sees only template pixels that exist."""
        return (
            self.blue_margin_px >= self.blue_support_px - COVER_SLACK_PX
            and self.red_margin_px >= self.red_support_px - COVER_SLACK_PX
        )

    @property
    def spare_px(self) -> float:
        """The smaller margin left beyond the LOSVD's support, in template pixels."""
        return min(
            self.blue_margin_px - self.blue_support_px, self.red_margin_px - self.red_support_px
        )

    def __bool__(self) -> bool:
        """Return `safe`."""
        return self.safe

    def rows(self) -> list[tuple[str, str]]:
        """Return the margins of both sides in words, and whether they suffice."""
        sides = (
            ("blue margin", self.blue_margin_px, self.blue_support_px, 1.0),
            ("red margin", self.red_margin_px, self.red_support_px, -1.0),
        )
        told = [
            (name, self._words(margin_px, support_px, sign))
            for name, margin_px, support_px, sign in sides
        ]
        return [*told, ("margins suffice", "yes" if self.safe else "no: give wider templates")]

    def _repr_html_(self) -> str:
        """Return the margins as a small table, for notebooks."""
        return html_table("Coverage", self.rows())

    def _words(self, margin_px: float, support_px: float, sign: float) -> str:
        return (
            f"{margin_px:.1f} px ({self._kms(margin_px, sign):.0f} km/s) of templates beyond the "
            f"data, the LOSVD needs {support_px:.1f} px ({self._kms(support_px, sign):.0f} km/s)"
        )

    def _kms(self, shift_px: float, sign: float) -> float:
        return sign * float(velocity_of_shift(sign * shift_px * self.dln))

    def _side(self, name: str, margin_px: float, support_px: float, sign: float) -> str:
        margin_kms, support_kms = self._kms(margin_px, sign), self._kms(support_px, sign)
        return (
            f"  {name}: {margin_px:7.1f} px ({margin_kms:8.1f} km/s) of templates beyond the data, "
            f"LOSVD needs {support_px:6.1f} px ({support_kms:7.1f} km/s)"
        )

    def __str__(self) -> str:
        """Return the margins of both sides, in template pixels and km/s."""
        return "\n".join(
            (
                f"Safe={self.safe}",
                self._side("blue", self.blue_margin_px, self.blue_support_px, 1.0),
                self._side("red ", self.red_margin_px, self.red_support_px, -1.0),
            )
        )


def coverage(
    template_ln_wave: NDArray[np.float64],
    observed_ln_wave: NDArray[np.float64],
    velocity_edges_kms: tuple[float, float],
) -> Coverage:
    """Return how the templates cover the observed range plus the LOSVD's support.

    Parameters
    ----------
    template_ln_wave : ndarray, shape (T,)
        Template pixel centres in ln(wavelength / Angstrom). Templates count from the first to
        the last centre: nothing is extrapolated.
    observed_ln_wave : ndarray, shape (L,)
        Observed pixel centres, same unit; the outer edges count.
    velocity_edges_kms : tuple of float
        Lowest and highest velocity that holds light.

    Returns
    -------
    Coverage
    """
    dln = step_of(template_ln_wave)
    observed = edges_of(observed_ln_wave)
    low, high = (float(value) for value in ln_shift(velocity_edges_kms))
    return Coverage(
        dln=dln,
        blue_margin_px=float(observed[0] - template_ln_wave[0]) / dln,
        red_margin_px=float(template_ln_wave[-1] - observed[-1]) / dln,
        blue_support_px=max(high, 0.0) / dln,
        red_support_px=max(-low, 0.0) / dln,
    )


def require_cover(
    template_ln_wave: NDArray[np.float64],
    observed_ln_wave: NDArray[np.float64],
    velocity_edges_kms: tuple[float, float] = (0.0, 0.0),
) -> Coverage:
    """Return how the templates cover the data, see `coverage`, or refuse them.

    Raises
    ------
    GridError
        Unless the templates cover the observed range plus the LOSVD's support.
    """
    found = coverage(template_ln_wave, observed_ln_wave, velocity_edges_kms)
    if not found.safe:
        blue, *_, red = edges_of(observed_ln_wave)
        need = np.exp(
            (blue - found.blue_support_px * found.dln, red + found.red_support_px * found.dln)
        )
        have = np.exp(template_ln_wave[[0, -1]])
        raise GridError(
            f"Templates cover {have[0]:.1f}-{have[1]:.1f} A, but /ObsPix plus the LOSVD's support "
            f"needs {need[0]:.1f}-{need[1]:.1f} A. Give wider templates, trim the data, or drop "
            "empty velocity bins."
        )
    return found
