"""Pixels that a star covers are left out, and its light counts nowhere."""

import numpy as np
import pytest
from astropy.io import fits

from cubefit.errors import ConfigError
from cubefit.galaxy import run_galaxy

BARE = "[products]\npictures = []"
MASK = ('lsf = "muse"', 'lsf = "muse"\nspatial_mask = "mask.fits"')


def go(path):
    return run_galaxy(path, verbose=False)


def brightest_pixel(tmp_path):
    with np.load(tmp_path / "out" / "spectra.npz") as spectra:
        return np.nanmax(spectra["light"])


@pytest.mark.parametrize("bins", ["", "\n[bins]\ntarget_sn = 150.0"])
def test_a_star_in_front_that_is_masked_does_no_harm(files, tmp_path, bins):
    clean = go(files(BARE + bins))
    brightest = brightest_pixel(tmp_path)
    with fits.open(tmp_path / "cube.fits", mode="update") as cube:
        flux = cube["DATA"].data
        flux[:, 14:16, 15:18] += 50.0 * np.nanmax(flux)
        use = np.ones(flux.shape[1:], np.uint8)
        use[14:16, 15:18] = 0
    hurt = go(files(BARE + bins))
    assert brightest_pixel(tmp_path) > 10 * brightest
    assert hurt.stats["chi2_per_voxel"] > 10 * clean.stats["chi2_per_voxel"]
    fits.writeto(tmp_path / "mask.fits", use)
    masked = go(files(BARE + bins, cut=MASK))
    assert masked.stats["chi2_per_voxel"] < 1.3 * clean.stats["chi2_per_voxel"]
    assert masked.steps_done[0] == "spectra"
    assert brightest_pixel(tmp_path) == pytest.approx(brightest)
    assert go(files(BARE + bins, cut=MASK)).steps_done == []
    fits.writeto(tmp_path / "mask.fits", np.ones_like(use), overwrite=True)
    again = run_galaxy(files(BARE + bins, cut=MASK), check_only=True, verbose=False)
    assert again.steps_done[0] == "spectra"


def test_a_mask_the_wrong_way_round_is_told(files, tmp_path):
    with fits.open(tmp_path / "cube.fits") as cube:
        shape = cube["DATA"].data.shape[1:]
    bad = np.zeros(shape, np.uint8)
    bad[:9] = 1
    fits.writeto(tmp_path / "mask.fits", bad)
    report = run_galaxy(files(BARE, cut=MASK), check_only=True, verbose=False)
    told = "of 400 pixels in bins: it has 1 for pixels to use."
    assert any("cube.spatial_mask leaves" in f and told in f for f in report.findings)


def test_a_mask_that_is_not_there_is_told_first(files, tmp_path):
    with pytest.raises(ConfigError, match=r"cube\.spatial_mask = .*mask\.fits: there is no such"):
        go(files(BARE, cut=MASK))
    assert not (tmp_path / "out").exists()
