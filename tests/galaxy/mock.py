"""A galaxy as a MUSE-like FITS cube, made step by step without the code that takes it apart."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from scipy.interpolate import make_interp_spline
from scipy.special import ndtr

from cubefit import FitResult
from cubefit.demo import population_of
from cubefit.galaxy import GalaxyReport, run_galaxy
from cubefit.io import bundled_miles_folder, bundled_orbits, read_ssp

LIGHT_KMS = 299792.458
MILES_FWHM = 2.51
MILES_STEP = 0.9
SUBBINS = 5
"""Velocities that stand for one velocity bin."""
BORDER = (1, 3)
"""Rows and columns of sky before the galaxy."""
MORE = (1, 1)
"""And behind it."""


def muse_fwhm(wave):
    """FWHM of MUSE at observed wavelengths (Bacon et al. 2017, A&A 608, A1, section 4.2)."""
    return 5.866e-8 * wave**2 - 9.187e-4 * wave + 6.040


@dataclass(frozen=True, kw_only=True)
class Sight:
    """How the galaxy is observed."""

    size: str = "small"
    redshift: float = 0.01
    wave: tuple[float, float] = (4800.0, 5450.0)
    """Observed, Angstrom."""
    step: float = 1.25
    ages: tuple[float, float] = (1.0, 14.0)
    metals: tuple[float, float] = (-1.0, 0.5)
    signal_to_noise: float = 100.0
    """Of the median voxel of a bin."""
    seed: int = 1


@dataclass(frozen=True, kw_only=True)
class MockGalaxy:
    """What the files were made of."""

    cube: Path
    orbits: Path
    mass: np.ndarray
    """Shape (C, P), in solar masses formed of templates as the library has them."""
    log_age: np.ndarray
    metal: np.ndarray
    share: np.ndarray
    """Light of component c in bin s, shape (S, C)."""
    light: np.ndarray
    """Mean flux density of one unit of each template, shape (P,)."""
    spectra: np.ndarray
    """Noiseless observed spectra of the bins, shape (S, L)."""
    wave: np.ndarray
    library: object


def library_of(sight):
    folder = bundled_miles_folder()
    low, high = sight.wave[0] * 0.97, sight.wave[1] * 1.03
    whole = read_ssp(folder, wave_range=(low, high))
    return whole.cut(ages=sight.ages, metals=sight.metals)


def spectra_at_rest(losvd, vel, mass, templates, wave, ln_wave):
    """Sum populations over velocities, (S, n); templates are averages over their pixels."""
    edges = np.concatenate([wave[:1] - 0.5 * np.diff(wave[:2]), wave + 0.5 * np.gradient(wave)])
    total = np.zeros((edges.size, templates.shape[1]))
    total[1:] = np.cumsum(templates * np.diff(edges)[:, None], axis=0)
    spline = make_interp_spline(edges, total, k=5).derivative()
    width = vel[1] - vel[0]
    spectra = np.zeros((losvd.shape[0], ln_wave.size))
    for v, velocity in enumerate(vel):
        inside = velocity + width * ((np.arange(SUBBINS) + 0.5) / SUBBINS - 0.5)
        moved = sum(spline(np.exp(ln_wave) / (1.0 + u / LIGHT_KMS)) for u in inside) / SUBBINS
        spectra += (losvd[:, v, :] @ mass) @ moved.T
    return spectra


def observed(spectra, ln_wave, sight):
    """Redshift, smear to the instrument's resolution, and average over its pixels."""
    wave = np.exp(ln_wave) * (1.0 + sight.redshift)
    spectra = spectra / (1.0 + sight.redshift)
    edges = np.arange(sight.wave[0], sight.wave[1], sight.step)
    # Both widths are as measured on pixels, whose averaging is in them.
    stretch = 1.0 + sight.redshift
    instrument = (muse_fwhm(wave) / 2.3548200450309493) ** 2 - sight.step**2 / 12
    library = (MILES_FWHM / 2.3548200450309493) ** 2 - MILES_STEP**2 / 12
    sigma = np.sqrt(instrument - library * stretch**2)
    below = ndtr((edges[:, None] - wave) / sigma)
    pixel = np.diff(below, axis=0) / sight.step
    return spectra @ (pixel * np.gradient(wave)).T, 0.5 * (edges[:-1] + edges[1:])


def header_of(sight, wave, shape, pixel):
    header = fits.Header()
    header["EXTNAME"] = "DATA"
    header["BUNIT"] = "10**(-20)*erg/s/cm**2/Angstrom"
    header["CTYPE1"], header["CTYPE2"], header["CTYPE3"] = "RA---TAN", "DEC--TAN", "AWAV"
    header["CUNIT1"], header["CUNIT2"], header["CUNIT3"] = "deg", "deg", "Angstrom"
    header["CRVAL1"], header["CRVAL2"], header["CRVAL3"] = 187.5, 12.4, wave[0]
    header["CRPIX1"], header["CRPIX2"], header["CRPIX3"] = shape[1] / 2, shape[0] / 2, 1.0
    header["CD1_1"], header["CD2_2"], header["CD3_3"] = -pixel / 3600, pixel / 3600, sight.step
    header["CD1_2"] = header["CD2_1"] = 0.0
    return header


def write_mock(folder, sight):
    """Write cube.fits and orbits.npz into a folder; return what they were made of."""
    orbits, library = bundled_orbits(sight.size), library_of(sight)
    rng = np.random.default_rng(sight.seed)
    metal, log_age = (
        a.ravel() for a in np.meshgrid(library.metals, np.log10(library.ages), indexing="ij")
    )
    properties = orbits.properties
    mass = population_of(
        orbits.weights, properties["Rc_kpc"], properties["lambdaz"], log_age, metal
    )
    templates = library.templates.reshape(library.wave.size, -1)
    ln_wave = np.arange(
        np.log(sight.wave[0] / (1 + sight.redshift)) - 0.005,
        np.log(sight.wave[1] / (1 + sight.redshift)) + 0.005,
        2.5e-5,
    )
    rest = spectra_at_rest(orbits.losvd, orbits.vel, mass, templates, library.wave, ln_wave)
    spectra, wave = observed(rest, ln_wave, sight)
    scale = 1e4 / np.median(spectra)  # as MUSE has it, in 1e-20 erg/s/cm2/A
    spectra, mass = spectra * scale, mass * scale

    pixel = float(np.diff(np.unique(orbits.x))[0])
    column = np.rint((orbits.x - orbits.x.min()) / pixel).astype(int) + BORDER[1]
    row = np.rint((orbits.y - orbits.y.min()) / pixel).astype(int) + BORDER[0]
    shape = row.max() + 1 + MORE[0], column.max() + 1 + MORE[1]
    part = rng.uniform(0.8, 1.2, orbits.binnum.size)
    part /= np.bincount(orbits.binnum, weights=part)[orbits.binnum]
    counts = np.bincount(orbits.binnum)
    sigma = np.median(spectra, axis=1) / sight.signal_to_noise / np.sqrt(counts)
    floor = float(np.median(sigma))
    flux = np.zeros((wave.size, *shape), np.float32)
    noise = np.full(flux.shape, floor, np.float32)
    noise[:, row, column] = sigma[orbits.binnum]
    flux[:, row, column] = (spectra[orbits.binnum] * part[:, None]).T
    flux += noise * rng.standard_normal(flux.shape, np.float32)
    flux[:, 0, 0] = np.nan  # a dead pixel of the sky
    gaps = rng.random(flux.shape) < 2e-3
    gaps[100:104, row[5], column[5]] = True
    flux[gaps] = np.nan
    header = header_of(sight, wave, shape, pixel)
    stat = header.copy()
    stat["EXTNAME"], stat["BUNIT"] = "STAT", "10**(-40)*erg**2/s**2/cm**4/Angstrom**2"
    cube = folder / "cube.fits"
    fits.HDUList(
        [fits.PrimaryHDU(), fits.ImageHDU(flux, header), fits.ImageHDU(noise**2, stat)]
    ).writeto(cube)
    path = folder / "orbits.npz"
    np.savez(
        path,
        losvd=orbits.losvd,
        vel=orbits.vel,
        xpix=orbits.x,
        ypix=orbits.y,
        binnum=orbits.binnum,
        w=orbits.weights,
        **{f"orb_{name}": values for name, values in properties.items()},
    )
    return MockGalaxy(
        cube=cube,
        orbits=path,
        mass=mass,
        log_age=log_age,
        metal=metal,
        share=orbits.losvd.sum(axis=1, dtype=np.float64),
        light=templates.mean(axis=0),
        spectra=spectra,
        wave=wave,
        library=library,
    )


def centre_of(sight):
    """Return where the galaxy's centre is in the image, arcsec along columns and rows."""
    orbits = bundled_orbits(sight.size)
    pixel = float(np.diff(np.unique(orbits.x))[0])
    return [0.5 * pixel * (BORDER[1] - MORE[1]), 0.5 * pixel * (BORDER[0] - MORE[0])]


def settings_text(sight, *, more=""):
    """Return the settings of a run on the files of `write_mock`."""
    return f"""
[galaxy]
out = "out"
name = "Mock"
redshift = {sight.redshift}
[cube]
path = "cube.fits"
centre = {centre_of(sight)}
lsf = "muse"
[orbits]
path = "orbits.npz"
[ssp]
path = "{bundled_miles_folder()}"
normalization = "mass"
ages = {list(sight.ages)}
metals = {list(sight.metals)}
{more}
"""


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A galaxy, its settings, and what their run came to."""

    folder: Path
    settings: Path
    sight: Sight
    galaxy: MockGalaxy
    report: GalaxyReport


def spaxel_errors(galaxy, found, true, values):
    """Rms over the bins of the error of a mean, bins weighted by their light."""
    by = [galaxy.share @ x for x in (found, true)]
    means = [x @ values / x.sum(axis=1) for x in by]
    return np.sqrt(np.average((means[0] - means[1]) ** 2, weights=by[1].sum(axis=1)))


def rotation_support(result, ages):
    """V/sigma of the stars of some ages, by light over all bins."""
    table = result.selected(ages=ages).spaxels()
    light = table["light"]
    squares = [
        float((light * table[name] ** 2).sum())
        for name in ("velocity_by_light", "dispersion_by_light")
    ]
    return np.sqrt(squares[0] / squares[1])


def rotation_errors(galaxy, result, ages=((0.0, 5.0), (5.0, 20.0))):
    """Return relative errors of V/sigma of the stars in ranges of age."""
    true = FitResult.from_file(result.path, galaxy.mass * galaxy.light / result.template_light)
    return [rotation_support(result, a) / rotation_support(true, a) - 1.0 for a in ages]


def fit_mock(folder, sight, more="", replaced=("", "")):
    """Write a mock, run it, and return both."""
    galaxy = write_mock(folder, sight)
    settings = folder / "galaxy.toml"
    settings.write_text(settings_text(sight, more=more).replace(*replaced))
    report = run_galaxy(settings, verbose=False)
    return Fitted(folder=folder, settings=settings, sight=sight, galaxy=galaxy, report=report)
