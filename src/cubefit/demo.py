"""The demo: a mock galaxy of known truth from real orbits and SSP spectra, fitted and judged."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from cubefit.config import TrackerConfig, require_choice
from cubefit.inverse.matrix_free import MatrixFreeOperator
from cubefit.inverse.means import component_masses, component_means
from cubefit.io.orbits import OrbitLibrary, bundled_orbits
from cubefit.io.ssp import bundled_miles_folder, read_ssp
from cubefit.kz_fitSpec import FitOutput, fit_arrays
from cubefit.prepare.templates import (
    TemplateGrid,
    needed_wave_range,
    prepared_templates,
    template_ln_grid,
)
from cubefit.report import component_masses as draw_masses
from cubefit.report import population_recovery, save_figure
from cubefit.spectra.grids import SPEED_OF_LIGHT_KMS
from cubefit.spectra.shifted_templates import shifted_templates

Float = NDArray[np.float64]
DemoSize = Literal["small", "medium"]

TRACK_EVERY_S: Final = 0.1
"""A fit of seconds is followed closely, so that its pictures show how it went."""
GUARD_PX: Final = 90
"""Template pixels beyond the data: the default safety pad and the orbits' fastest stars."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MockSettings:
    """What the mock galaxy is observed with."""

    wave_range: tuple[float, float]
    """First and last observed wavelength in Angstrom."""
    velscale_kms: float
    """Width of an observed pixel; templates are sampled twice as finely."""
    age_step: int
    """Every which age of the library is used, counted from the oldest."""
    regularization: float = 0.1
    """Smoothness of the populations."""
    signal_to_noise: float = 60.0
    """Of the median pixel of each spaxel."""
    seed: int = 20240611


SIZES: Final[dict[DemoSize, MockSettings]] = {
    "small": MockSettings(wave_range=(4800.0, 5400.0), velscale_kms=100.0, age_step=3),
    "medium": MockSettings(wave_range=(4750.0, 5560.0), velscale_kms=67.0, age_step=1),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mock:
    """A mock galaxy: the inputs of its fit, and the truth."""

    arrays: dict[str, NDArray[Any]]
    orbits: OrbitLibrary
    mass_true: Float
    """Mass of population p on component c, shape (C, P)."""
    light: Float
    """Light per mass of each template, shape (P,): ``x`` is mass, ``x * light`` is light."""
    log_age: Float
    """log10(age / Gyr) of each template, shape (P,)."""
    metal: Float
    """[M/H] of each template, shape (P,)."""
    chi2_per_voxel: float
    """Of the truth against its own noisy data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoReport:
    """How well the fit recovered the truth."""

    fit: FitOutput
    light_error: float
    """Sum of absolute errors of the components' light over the total light."""
    mass_error: float
    """Likewise of their masses."""
    total_mass: float
    """Fitted total mass; the truth is 1."""
    true_chi2_per_voxel: float
    """What the noise alone leaves: chi2 per voxel of the true galaxy."""
    log_age_rms: float
    """Rms error of the components' mean log10 age, all by light, dex."""
    metal_rms: float
    """Likewise of the mean [M/H], dex."""
    ages_by_light: tuple[float, float]
    """Mean age (of the logarithm) of all light in Gyr, fitted and true."""
    ages_by_mass: tuple[float, float]
    """Likewise of all mass."""
    elapsed_s: float


def population_of(
    weights: Float, radius: Float, circularity: Float, log_age: Float, metal: Float
) -> Float:
    """Return the true masses (C, P): an old bulge, a younger disk, a metallicity gradient.

    Age falls with the circularity of the orbits and metallicity with their radius (kpc); each
    component has a Gaussian spread of 0.15 dex in both.
    """
    mean_age = np.log10(11.0) - 0.55 * np.clip(circularity, 0.0, 1.0) ** 2
    mean_metal = 0.15 - 0.35 * np.log10(1.0 + radius / 3.0)
    spread = ((log_age - mean_age[:, None]) / 0.15) ** 2 + (
        (metal - mean_metal[:, None]) / 0.15
    ) ** 2
    # Subtracting the best match keeps components far from any template alive.
    shares = np.exp(-0.5 * (spread - spread.min(axis=1, keepdims=True)))
    shares[shares < 1e-3] = 0.0
    return np.asarray(weights[:, None] * shares / shares.sum(axis=1, keepdims=True))


def demo_templates(obs_pix: Float) -> TemplateGrid:
    """Return the E-MILES spectra on a grid twice as fine as the data, and wider."""
    ln_wave = template_ln_grid(obs_pix, oversampling=2, guard_px=GUARD_PX)
    wave_range = needed_wave_range(ln_wave, medium="air", library_medium="air")
    library = read_ssp(bundled_miles_folder(), wave_range=wave_range)
    return prepared_templates(library, ln_wave, medium="air", normalization="mass")


def make_mock(size: DemoSize) -> Mock:
    """Return the mock galaxy of the given size.

    Raises
    ------
    ConfigError
        If the size is unknown.
    DependencyError
        If the package with the spectra is not installed.
    """
    require_choice("size", size, DemoSize)
    settings, orbits = SIZES[size], bundled_orbits(size)
    dln = settings.velscale_kms / SPEED_OF_LIGHT_KMS
    low, high = np.log(settings.wave_range)
    obs_pix = np.arange(low, high, dln)
    library = demo_templates(obs_pix)
    youngest = (library.ages.size - 1) % settings.age_step
    metals, ages = library.metals, library.ages[youngest :: settings.age_step]
    templates = library.templates[:, :, youngest :: settings.age_step]
    templates = templates / np.median(templates)
    light = np.median(templates, axis=0)
    metal, log_age = (a.ravel() for a in np.meshgrid(metals, np.log10(ages), indexing="ij"))
    mass_true = population_of(
        orbits.weights, orbits.properties["Rc_kpc"], orbits.properties["lambdaz"], log_age, metal
    )
    shifted = shifted_templates(
        templates.reshape(library.ln_wave.size, -1).T,
        library.ln_wave,
        obs_pix,
        orbits.vel,
        dtype=np.float64,
    )
    cube = MatrixFreeOperator(orbits.losvd, shifted, dtype=np.float64).matvec(mass_true)
    noise = np.median(cube, axis=1, keepdims=True) / settings.signal_to_noise * np.ones(cube.shape)
    noisy = cube + noise * np.random.default_rng(settings.seed).standard_normal(cube.shape)
    arrays = {
        "tem_pix": library.ln_wave,
        "obs_pix": obs_pix,
        "vel_pix": orbits.vel,
        "losvd": orbits.losvd,
        "datacube": noisy,
        "noise": noise,
        "templates": templates,
        "metals": metals,
        "ages": ages,
        "alphas": library.alphas,
        "template_masses": np.ones(light.shape),
        "orbit_weights": orbits.weights,
        "xpix": orbits.x,
        "ypix": orbits.y,
        "binnum": orbits.binnum,
        "component_radius [kpc]": orbits.properties["Rc_kpc"],
        "component_circularity": orbits.properties["lambdaz"],
        "name": np.array("Mock galaxy"),
        "pixel_unit": np.array("arcsec"),
    }
    return Mock(
        arrays=arrays,
        orbits=orbits,
        mass_true=mass_true,
        light=light.ravel(),
        log_age=log_age,
        metal=metal,
        chi2_per_voxel=float(np.mean(((noisy - cube) / noise) ** 2)),
    )


def mean_rms(found: Float, true: Float, values: Float) -> float:
    """Return the rms error of the components' means of ``values`` (P,), weighted by ``true``."""
    errors = component_means(found, values) - component_means(true, values)
    known = np.isfinite(errors)
    return float(np.sqrt(np.average(errors[known] ** 2, weights=component_masses(true)[known])))


def draw_recovery(mock: Mock, mass: Float, out: Path) -> list[Path]:
    """Draw component masses, and mean ages and metallicities by light, against the truth.

    Parameters
    ----------
    mock : Mock
        The truth.
    mass : ndarray, shape (C, P)
        The fit.
    out : Path
        Folder of the pictures.
    """
    light, true_light = mass * mock.light, mock.mass_true * mock.light
    masses = draw_masses(
        fitted=component_masses(mass),
        expected=component_masses(mock.mass_true),
        expected_label="True mass [total mass]",
        sort_by=mock.orbits.properties["Rc_kpc"],
        sort_label="Orbit radius [kpc]",
    )
    populations = population_recovery(
        fitted_log_age=component_means(light, mock.log_age),
        true_log_age=component_means(true_light, mock.log_age),
        fitted_metal=component_means(light, mock.metal),
        true_metal=component_means(true_light, mock.metal),
        weights=component_masses(true_light),
    )
    return [
        save_figure(masses, out / "masses.png"),
        save_figure(populations, out / "populations.png"),
    ]


def run_demo(out: Path, size: DemoSize = "small", *, verbose: bool = True) -> DemoReport:
    """Make the mock galaxy, run the whole sequence on it, and compare with the truth.

    A file that an earlier demo of other settings left in the folder is replaced.

    Parameters
    ----------
    out : Path
        Folder for the file and the pictures.
    size : {"small", "medium"}
        40 spaxels and 24 components, or 293 and 120 (15 GB of disk).
    verbose : bool
        Tell progress.

    Returns
    -------
    DemoReport
    """
    started = time.monotonic()
    settings, mock = SIZES[size], make_mock(size)
    fit = fit_arrays(
        mock.arrays,
        out,
        overwrite=True,
        verbose=verbose,
        method="exact",
        regularization=settings.regularization,
        warm_start="zeros",
        tracker=TrackerConfig(metrics_interval_sec=TRACK_EVERY_S, val_interval_sec=TRACK_EVERY_S),
    )
    mass = fit.x.reshape(mock.mass_true.shape)
    light, true_light = mass * mock.light, mock.mass_true * mock.light
    fit.pictures.extend(draw_recovery(mock, mass, out))
    return DemoReport(
        fit=fit,
        light_error=total_error(light, true_light),
        mass_error=total_error(mass, mock.mass_true),
        total_mass=float(mass.sum()),
        true_chi2_per_voxel=mock.chi2_per_voxel,
        log_age_rms=mean_rms(light, true_light, mock.log_age),
        metal_rms=mean_rms(light, true_light, mock.metal),
        ages_by_light=(
            mean_age_gyr(light, mock.log_age),
            mean_age_gyr(true_light, mock.log_age),
        ),
        ages_by_mass=(
            mean_age_gyr(mass, mock.log_age),
            mean_age_gyr(mock.mass_true, mock.log_age),
        ),
        elapsed_s=time.monotonic() - started,
    )


def total_error(found: Float, true: Float) -> float:
    """Return the sum of the components' absolute errors over the true total."""
    difference = component_masses(found) - component_masses(true)
    return float(np.abs(difference).sum() / true.sum())


def mean_age_gyr(x: Float, log_age: Float) -> float:
    """Return the mean age (of the logarithm) in Gyr, weighted by ``x`` (C, P)."""
    return float(10.0 ** np.average(np.broadcast_to(log_age, x.shape), weights=x))
