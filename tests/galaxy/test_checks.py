"""The checks of a run find what does not belong together, and name it."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from cubefit.galaxy import run_galaxy
from cubefit.galaxy.checks import dead_pixels, misfit_findings


def checked(path):
    return run_galaxy(path, check_only=True, verbose=False).findings


def change_cube(folder, change):
    """Rewrite flux (DATA) and variance (STAT) of the mock."""
    with fits.open(folder / "cube.fits", mode="update") as cube:
        for name, values in zip(
            ("DATA", "STAT"), change(cube["DATA"].data, cube["STAT"].data), strict=True
        ):
            cube[name].data = np.ascontiguousarray(values, np.float32)


@pytest.mark.parametrize("how", [lambda stat: stat**2, lambda stat: 1e4 * stat])
def test_noise_of_another_size_is_found(files, tmp_path, how):
    change_cube(tmp_path, lambda flux, stat: (flux, how(stat)))
    (told,) = checked(files())
    assert "times the stated noise: is it a variance" in told


def test_a_mirrored_cube_is_found_with_unit_normalization_too(files, tmp_path):
    unit = '[fit]\nnormalization = "unit"'
    (told,) = checked(files(unit))
    assert "normalization = 'unit' is for spectra that are each normalised" in told
    change_cube(tmp_path, lambda flux, stat: (flux[..., ::-1], stat[..., ::-1]))
    found = checked(files(unit, centre=("centre = [1.5, 0.0]", "centre = [-1.5, 0.0]")))
    assert any("Light of the orbits and flux of the cube" in told for told in found), found


def bin_table(folder, change):
    with np.load(folder / "orbits.npz") as stored:
        x, y, bins = stored["xpix"], stored["ypix"], stored["binnum"]
    x, y, bins = change(x, y, bins)
    np.savetxt(folder / "table.txt", np.column_stack((x, y, bins)))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda x, y, bins: (-x, y, bins), "after this change of them: x mirrored."),
        (lambda x, y, bins: (x, y, bins * 7 % 40), "the same places in another order"),
    ],
)
def test_bins_of_a_file_that_lie_elsewhere_are_found(files, tmp_path, change, told):
    bin_table(tmp_path, change)
    found = checked(files('[bins]\npath = "table.txt"'))
    assert any(told in finding for finding in found), found


def test_two_bins_that_were_swapped_are_found(files, tmp_path):
    with np.load(tmp_path / "orbits.npz") as stored:
        arrays = dict(stored)
    light = np.einsum("svc,c->s", arrays["losvd"], arrays["w"])
    dim, bright = np.argsort(light)[[4, -4]]
    arrays["losvd"][[dim, bright]] = arrays["losvd"][[bright, dim]]
    np.savez(tmp_path / "orbits.npz", **arrays)
    found = checked(files())
    (told,) = (finding for finding in found if "their ratio stands out" in finding)
    assert f"{dim} (" in told
    assert f"{bright} (" in told


def test_spectra_that_lost_their_amplitudes_are_found(files, tmp_path):
    with np.load(tmp_path / "orbits.npz") as stored:
        arrays = dict(stored)
    light = np.einsum("svc,c->s", arrays["losvd"], arrays["w"])
    arrays["losvd"] /= light[:, None, None]
    np.savez(tmp_path / "orbits.npz", **arrays)
    assert any("LOSVDs have no amplitudes left" in told for told in checked(files()))


def test_pixels_that_are_dead_are_told_with_their_bins(files, tmp_path):
    assert checked(files()) == []
    with np.load(tmp_path / "out" / "spectra.npz") as stored:
        spectra = dict(stored)
    assert dead_pixels(spectra) == []
    n_pixels = np.bincount(spectra["binnum"])
    worst, other, out = np.argsort(-n_pixels)[:3]
    for number, share in ((worst, 0.5), (other, 0.15), (out, 1.0)):
        pixels = np.flatnonzero(spectra["binnum"] == number)
        spectra["light"][pixels[: round(share * pixels.size)]] = np.nan
    spectra["mask"][out] = False
    (told,) = dead_pixels(spectra)
    assert told.startswith("1 of 40 bins have more than 20 % of their pixels dead")
    assert f"bin {worst} (" in told
    assert "cube.min_share" in told


def test_a_fit_far_from_its_noise_is_told_either_way():
    assert misfit_findings(0.7, 0.7) == misfit_findings(0.2, 0.7) == []
    assert misfit_findings(0.0, 0.7) == misfit_findings(1e-4, float("nan")) == []
    (above,) = misfit_findings(2.0, 0.7)
    assert "the model does not describe the data" in above
    (below,) = misfit_findings(0.7e-4, 0.7)
    assert "the stated noise is about 100 times too large" in below
