"""A run does each step once, goes on where it was stopped, and says what does not fit."""

from __future__ import annotations

import json

import numpy as np
import pytest
from astropy.io import fits

from cubefit import FitResult
from cubefit.errors import CubeFitError, InputError, StoreError
from cubefit.galaxy import run, run_galaxy
from cubefit.io import read_orbits

ALL = ["orbits", "spectra", "templates", "checks", "fit", "products"]
BARE = "[products]\npictures = []"


def go(path):
    return run_galaxy(path, verbose=False)


def test_all_steps_are_done_once(files):
    path = files(BARE)
    first = go(path)
    assert first.steps_done == ALL
    again = go(path)
    assert again.steps_done == []
    assert again.stats == first.stats
    assert again.products == first.products
    assert all(product.is_file() for product in again.products)


def test_settings_undo_the_steps_that_they_are_of(files):
    go(files(BARE))
    assert go(files(BARE + "\n[fit]\nregularization = 0.2")).steps_done == ["fit", "products"]
    more = BARE.replace("[]", '["convergence"]') + "\n[fit]\nregularization = 0.2"
    assert go(files(more)).steps_done == ["products"]
    masked = go(files(more, cube=('lsf = "muse"', 'lsf = "muse"\nmasks = []')))
    assert masked.steps_done == ALL[1:]


def test_a_changed_cube_undoes_what_it_went_into(files, tmp_path):
    path = files(BARE)
    go(path)
    with fits.open(tmp_path / "cube.fits", mode="update") as cube:
        cube["DATA"].data[5, 8, 8] *= 1.1
    assert go(path).steps_done == ALL[1:]


def test_lost_products_are_made_again(files):
    path = files(BARE)
    first = go(path)
    first.products[0].unlink()
    assert go(path).steps_done == ["products"]
    first.h5_path.unlink()
    # The same solution comes out of it, and the products are of that.
    assert go(path).steps_done == ["fit"]


@pytest.mark.parametrize("step", ["prepare_spectra", "solve", "make_products"])
def test_a_run_that_was_stopped_goes_on(files, monkeypatch, step):
    path = files(BARE)
    with monkeypatch.context() as patched:

        def stop(*_, **__):
            raise KeyboardInterrupt

        patched.setattr(run, step, stop)
        with pytest.raises(KeyboardInterrupt):
            go(path)
    rest = {"prepare_spectra": ALL[1:], "solve": ALL[4:], "make_products": ALL[5:]}
    assert go(path).steps_done == rest[step]


def test_a_file_of_someone_else_is_not_replaced(files, tmp_path, fitted):
    path = files(BARE)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "cube.h5").write_bytes(fitted.report.h5_path.read_bytes())
    with pytest.raises(StoreError, match="made from other inputs"):
        go(path)
    assert (tmp_path / "out" / "cube.h5").read_bytes() == fitted.report.h5_path.read_bytes()


def change_orbits(tmp_path, **changes):
    path = tmp_path / "orbits.npz"
    with np.load(path) as stored:
        arrays = {key: stored[key] for key in stored.files}
    for name, change in changes.items():
        arrays[name] = change(arrays[name])
    np.savez(path, **arrays)


def test_a_wrong_centre_is_told_with_the_right_one(files):
    path = files(BARE, centre=("centre = [1.5, 0.0]", "centre = [9.0, 0.0]"))
    with pytest.raises(InputError, match=r"bins have no pixel of the cube"):
        go(path)


def test_a_flipped_velocity_axis_is_found(files, tmp_path):
    change_orbits(tmp_path, losvd=lambda losvd: losvd[:, ::-1])
    findings = go(files(BARE)).findings
    assert any("sign" in finding or "flip" in finding for finding in findings), findings


def test_bins_in_another_order_are_found(files, tmp_path):
    change_orbits(tmp_path, losvd=lambda losvd: losvd[::-1])
    findings = go(files(BARE)).findings
    assert any("order reversed" in finding for finding in findings), findings


def test_bins_that_no_orbit_has_light_in_are_found(files, tmp_path):
    def darkened(losvd):
        losvd[3] = 0.0
        return losvd

    change_orbits(tmp_path, losvd=darkened)
    findings = go(files(BARE)).findings
    assert any("no orbit has light in them (the first is bin 3)" in told for told in findings)


def test_the_scale_of_pixels_may_be_said_where_the_header_does_not(files, tmp_path):
    with fits.open(tmp_path / "cube.fits", mode="update") as cube:
        for part in cube[1:]:
            scale = 3600 * abs(part.header["CD2_2"])
            for key in ("CD1_1", "CD1_2", "CD2_1", "CD2_2"):
                del part.header[key]
    with pytest.raises(InputError, match=r"cube\.pixel_scale"):
        go(files(BARE))
    told = ('lsf = "muse"', f'lsf = "muse"\npixel_scale = {scale}')
    assert go(files(BARE, cube=told)).steps_done == ALL[1:]


def test_a_wrong_redshift_is_found(files):
    findings = go(files(BARE, z=("redshift = 0.01", "redshift = 0.0103"))).findings
    assert any("km/s" in finding for finding in findings), findings


def test_orbits_of_other_bins_are_refused(files, tmp_path):
    change_orbits(tmp_path, losvd=lambda losvd: losvd[:-1])
    with pytest.raises(CubeFitError, match="binnum names 40 bins"):
        go(files(BARE))


def test_files_that_are_not_there_are_named(files, tmp_path):
    path = files(BARE)
    (tmp_path / "orbits.npz").unlink()
    with pytest.raises(InputError, match=r"orbits\.npz does not exist"):
        go(path)


def test_bins_of_a_file_are_used(files, tmp_path):
    with np.load(tmp_path / "orbits.npz") as stored:
        table = np.column_stack((stored["xpix"], stored["ypix"], stored["binnum"]))
    np.savetxt(tmp_path / "bins.txt", table)
    from_orbits = go(files(BARE))
    other = files(BARE + '\n[bins]\npath = "bins.txt"', out=('out = "out"', 'out = "other"'))
    assert go(other).stats["chi2"] == pytest.approx(from_orbits.stats["chi2"], rel=1e-9)


def test_pixels_that_cannot_be_used_are_left_out(files, tmp_path):
    with np.load(tmp_path / "orbits.npz") as stored:
        n_bins = stored["losvd"].shape[0]
    report = go(files(BARE, cut=('lsf = "muse"', 'lsf = "muse"\nradius = 8.0')))
    with np.load(tmp_path / "out" / "spectra.npz") as spectra:
        lit = spectra["mask"].any(axis=1)
    assert 0 < lit.sum() < n_bins
    assert report.stats["n_voxels"] == int(spectra_voxels(tmp_path))


def spectra_voxels(tmp_path):
    with np.load(tmp_path / "out" / "spectra.npz") as spectra:
        return spectra["mask"].sum()


def test_shapes_of_continua_can_be_left_out(files, tmp_path):
    """A cube whose flux calibration is wrong by a smooth curve is fitted as if it were right."""
    flat = 'lsf = "muse"\ncontinuum_degree = 2'
    right = go(files(BARE, cube=('lsf = "muse"', flat)))
    assert right.stats["chi2_per_voxel"] < 1.2 * right.noise_chi2
    with fits.open(tmp_path / "cube.fits", mode="update") as cube:
        curve = 1.0 + 0.2 * np.linspace(-1, 1, len(cube["DATA"].data))[:, None, None] ** 2
        cube["DATA"].data *= curve
        cube["STAT"].data *= curve**2
    wrong = go(files(BARE, cube=('lsf = "muse"', flat)))
    assert wrong.stats["chi2_per_voxel"] < 1.2 * wrong.noise_chi2
    as_it_is = go(files(BARE))
    assert as_it_is.stats["chi2_per_voxel"] > 2 * as_it_is.noise_chi2
    means = [FitResult.from_file(right.h5_path).mean(name) for name in ("log_age", "metal")]
    assert np.isfinite(means).all()


@pytest.mark.parametrize("how", ["mapping", "bins"])
def test_orbits_are_bundled(files, tmp_path, how):
    if how == "mapping":
        np.savetxt(tmp_path / "mapping.txt", np.arange(24) // 4, fmt="%d")
        wanted = 'mapping = "mapping.txt"'
    else:
        wanted = "radius = 2\ncircularity = 2"
    path = files(BARE, orbits=('path = "orbits.npz"', f'path = "orbits.npz"\n{wanted}'))
    go(path)
    whole, bundled = read_orbits(tmp_path / "orbits.npz"), read_orbits(tmp_path / "out/orbits.npz")
    assert bundled.weights.size == {"mapping": 6, "bins": 4}[how]
    light = [library.losvd @ library.weights for library in (whole, bundled)]
    np.testing.assert_allclose(*light, rtol=1e-5, atol=1e-8)


def test_settings_travel_into_the_file_and_its_products(files, tmp_path):
    report = go(files(BARE))
    header = fits.getheader(report.products[0])
    settings = json.loads(header["SETTINGS"])
    assert settings["cube"]["lsf"] == "muse"
    assert settings["galaxy"]["redshift"] == 0.01
    assert header["OBJECT"] == "Mock"
