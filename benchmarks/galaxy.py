"""From a mock galaxy's files to the truth: how far off, how long, and what smearing would cost."""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
from numpy.typing import NDArray
from tests.galaxy.mock import Fitted, Sight, fit_mock, rotation_errors, spaxel_errors

from cubefit import FitResult
from cubefit.demo import mean_rms, total_error
from cubefit.galaxy import run_galaxy
from cubefit.prepare.observed_rebin import log_rebinned
from cubefit.prepare.spectra import Spectra
from cubefit.spectra.rebin import bin_overlaps

NO_PICTURES = "[products]\npictures = []"


def by_overlap(spectra: Spectra, ln_edges: NDArray[np.float64]) -> Spectra:
    """Share flux evenly by overlap, as simple rebinning does."""
    found = log_rebinned(spectra, ln_edges)
    shares = bin_overlaps(spectra.wave_edges, found.wave_edges)
    flux = np.where(spectra.mask, spectra.flux, 0.0) @ shares / found.widths
    return replace(found, flux=np.where(found.mask, flux, 0.0))


def errors_of(fitted: Fitted) -> dict[str, float]:
    """Return relative errors of masses, and dex of mean ages and metallicities by light."""
    galaxy, result = fitted.galaxy, FitResult.from_file(fitted.report.h5_path)
    shape = galaxy.mass.shape
    light = result.weights_of("light").values.reshape(shape)
    true_light = galaxy.mass * galaxy.light
    return {
        "masses": total_error(result.weights_of("mass").values.reshape(shape), galaxy.mass),
        "age map": float(spaxel_errors(galaxy, light, true_light, galaxy.log_age)),
        "[M/H] map": float(spaxel_errors(galaxy, light, true_light, galaxy.metal)),
        "ages of orbits": mean_rms(light, true_light, galaxy.log_age),
        "[M/H] of orbits": mean_rms(light, true_light, galaxy.metal),
        "V/sigma of young": float(rotation_errors(galaxy, result)[0]),
        "V/sigma of old": float(rotation_errors(galaxy, result)[1]),
    }


class _Run:
    """A MUSE-like cube at S/N 100 of the summed voxel, with E-MILES populations."""

    sight = Sight()
    rebin = staticmethod(log_rebinned)
    replaced = ("", "")

    def setup(self) -> None:
        """Write the files, and run them."""
        self.folder = tempfile.TemporaryDirectory()
        started = time.monotonic()
        with mock.patch("cubefit.galaxy.spectra.log_rebinned", self.rebin):
            self.fitted = fit_mock(
                Path(self.folder.name), self.sight, more=NO_PICTURES, replaced=self.replaced
            )
        self.elapsed_s = time.monotonic() - started
        self.errors = errors_of(self.fitted)

    def teardown(self) -> None:
        """Remove the files."""
        self.folder.cleanup()


class _Recovery(_Run):
    def track_error_of_masses(self) -> float:
        """Sum of absolute errors over the total."""
        return self.errors["masses"]

    def track_age_map_dex(self) -> float:
        """Rms error, by light."""
        return self.errors["age map"]

    def track_metallicity_map_dex(self) -> float:
        """Rms error, by light."""
        return self.errors["[M/H] map"]

    def track_ages_of_orbits_dex(self) -> float:
        """Rms error, by light."""
        return self.errors["ages of orbits"]

    def track_metallicity_of_orbits_dex(self) -> float:
        """Rms error, by light."""
        return self.errors["[M/H] of orbits"]

    def track_error_of_rotation_of_young_stars(self) -> float:
        """Relative error of V/sigma of stars below 5 Gyr, by light."""
        return self.errors["V/sigma of young"]

    def track_error_of_rotation_of_old_stars(self) -> float:
        """Relative error of V/sigma of stars above 5 Gyr, by light."""
        return self.errors["V/sigma of old"]

    def track_chi2_over_that_of_noise(self) -> float:
        """One is perfect."""
        chi2: float = self.fitted.report.stats["chi2_per_voxel"]
        return float(chi2 / self.fitted.report.noise_chi2)

    def track_seconds(self) -> float:
        """From files to products, making of the files included."""
        return self.elapsed_s

    def track_seconds_again(self) -> float:
        """Of a run that has nothing to do."""
        started = time.monotonic()
        run_galaxy(self.fitted.settings, verbose=False)
        return time.monotonic() - started


class SmallGalaxy(_Recovery):
    """40 bins, 24 components."""


class MediumGalaxy(_Recovery):
    """293 bins, 120 components."""

    sight = Sight(size="medium")


class _Rebinning(_Run):
    replaced = ('lsf = "muse"', 'lsf = "muse"\nmasks = []')

    def track_ages_of_orbits_dex(self) -> float:
        """Rms error, by light."""
        return self.errors["ages of orbits"]

    def track_chi2_per_voxel(self) -> float:
        """Of the fit."""
        return float(self.fitted.report.stats["chi2_per_voxel"])


class SplineSN100(_Rebinning):
    """As the program rebins."""


class OverlapSN100(_Rebinning):
    """Flux shared by overlap."""

    rebin = staticmethod(by_overlap)


class SplineSN10000(_Rebinning):
    """As the program rebins."""

    sight = Sight(signal_to_noise=1e4)


class OverlapSN10000(_Rebinning):
    """Flux shared by overlap."""

    sight = Sight(signal_to_noise=1e4)
    rebin = staticmethod(by_overlap)
