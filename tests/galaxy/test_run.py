"""A run does each step once, goes on where it was stopped, and says what does not fit."""

from __future__ import annotations

import json
import os
import re
import shutil

import h5py
import numpy as np
import pytest
from astropy.io import fits

from cubefit import FitResult
from cubefit.errors import ConfigError, CubeFitError, InputError, LockedError, StoreError
from cubefit.galaxy import run, run_galaxy
from cubefit.galaxy.record import sole_run
from cubefit.io import read_orbits
from cubefit.pipeline_runner import PipelineRunner

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


def test_products_carry_the_name_that_the_settings_have(files):
    go(files(BARE))
    renamed = go(files(BARE, name=('name = "Mock"', 'name = "Other"')))
    for path in renamed.products[0], renamed.products[3]:
        header = fits.getheader(path)
        assert header["OBJECT"] == "Other"
        assert json.loads(header["SETTINGS"])["galaxy"]["name"] == "Other"


def test_settings_that_change_no_result_undo_no_fit(files):
    go(files(BARE))
    again = go(files(BARE + "\n[fit]\nmax_memory_gb = 3.0\nepochs = 7"))
    assert again.steps_done == ["products"]
    settings = json.loads(fits.getheader(again.products[0])["SETTINGS"])
    assert settings["fit"]["max_memory_gb"] == 3.0


def test_a_folder_that_moves_keeps_what_is_done(files, tmp_path):
    path = files(BARE)
    first, moved = go(path), tmp_path / "moved"
    moved.mkdir()
    for name in ("galaxy.toml", "cube.fits", "orbits.npz", "out"):
        (tmp_path / name).rename(moved / name)
    again = go(moved / path.name)
    assert again.steps_done == []
    assert again.products == [moved / p.relative_to(tmp_path) for p in first.products]
    copy = tmp_path / "copy"
    shutil.copytree(moved, copy)
    assert go(copy / path.name).steps_done == []


def test_products_of_earlier_settings_go_and_files_of_others_stay(files, tmp_path):
    with_pictures = "[products]\npictures = ['light-map', 'convergence']"
    made = tmp_path / "out" / "products"
    first = go(files(with_pictures))
    assert {"cube-model.fits", "light-map.png", "convergence.png"} <= {
        p.name for p in made.iterdir()
    }
    (made / "notes.txt").write_text("mine")
    (made / "convergence.png").write_text("mine, in its place")
    fewer = "[products]\npictures = []\nmodel_cube = false\n[fit]\nregularization = 0.2"
    again = go(files(fewer))
    left = {path.name for path in again.products} | {"notes.txt", "convergence.png"}
    assert {path.name for path in made.iterdir()} == left
    assert len(again.products) == len(first.products) - 3


def test_a_second_run_into_one_folder_is_refused(files, tmp_path):
    path = files(BARE)
    (tmp_path / "out").mkdir()
    with sole_run(tmp_path / "out"), pytest.raises(LockedError) as refused:
        go(path)
    assert re.search(
        rf"Another run fills .*out: process {os.getpid()} on .*since", str(refused.value)
    )
    assert list((tmp_path / "out").iterdir()) == []
    assert go(path).steps_done == ALL


def test_what_a_step_warned_of_is_told_each_time(files):
    path = files(BARE, cut=('lsf = "muse"', 'lsf = "muse"\nradius = 8.0'))
    first = run_galaxy(path, check_only=True, verbose=False)
    assert "bins are left out" in first.findings[0]
    assert run_galaxy(path, check_only=True, verbose=False).findings == first.findings
    again = go(path)
    assert again.steps_done == ALL[4:]
    assert again.findings[: len(first.findings)] == first.findings


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
    with pytest.raises(StoreError, match="made from other inputs") as refused:
        go(path)
    assert "move that file away, or choose another galaxy.out" in str(refused.value)
    assert "overwrite" not in str(refused.value)
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


def test_a_centre_that_is_a_pixel_off_is_told_with_the_right_one(files):
    off = go(files(BARE, centre=("centre = [1.5, 0.0]", "centre = [0.0, 0.0]")))
    told = next(finding for finding in off.findings if "set cube.centre" in finding)
    found = [float(number) for number in re.search(r"\[(.*)\]", told).group(1).split(",")]
    assert found == pytest.approx([1.5, 0.0], abs=0.4)


def test_a_fit_that_describes_nothing_is_told(files):
    light = ('normalization = "mass"', 'normalization = "light"')
    report = go(files(BARE, ssp=light))
    assert report.stats["chi2_per_voxel"] > 1.5 * report.noise_chi2
    assert any("the model does not describe the data" in told for told in report.findings)


def test_zeros_of_an_image_of_bins_are_none_where_told(files, tmp_path):
    with np.load(tmp_path / "orbits.npz") as stored:
        x, y, bins = stored["xpix"], stored["ypix"], stored["binnum"]
    shape = fits.getdata(tmp_path / "cube.fits", "DATA").shape[1:]
    image = np.zeros(shape, np.int32)
    column, row = (np.rint((at - at.min()) / 1.5).astype(int) for at in (x, y))
    image[row + 1, column + 3] = bins + 1
    fits.writeto(tmp_path / "bins.fits", image)
    with_bins = BARE + '\n[bins]\npath = "bins.fits"'
    with pytest.raises(InputError, match="zero_is_bin"):
        go(files(with_bins))
    report = go(files(with_bins + "\nzero_is_bin = false"))
    assert report.findings == []


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


def test_what_is_read_beside_a_file_of_bins_counts(files, tmp_path):
    with np.load(tmp_path / "orbits.npz") as stored:
        ids, x, y = stored["binnum"] + 1, stored["xpix"], stored["ypix"]
    order = np.lexsort((x, y))
    (tmp_path / "bins.dat").write_text("\n".join(map(str, [ids.size, *ids[order]])))
    aperture = tmp_path / "aperture.dat"
    aperture.write_text("# corner\n-15 -15\n30 30\n0\n20 20\n")
    path = files(BARE + '\n[bins]\npath = "bins.dat"')
    assert go(path).steps_done == ALL
    aperture.write_text("# corner\n-15 -15\n30 30\n25\n20 20\n")
    assert go(path).steps_done[0] == "spectra"


def test_air_taken_for_vacuum_is_done_again_and_found(files):
    bare = 'lsf = "muse"\nmasks = []'
    go(files(BARE, cube=('lsf = "muse"', bare)))
    report = go(files(BARE, cube=('lsf = "muse"', bare + '\nmedium = "vacuum"')))
    assert report.steps_done == ALL[1:]
    assert any("km/s" in finding for finding in report.findings)


def test_a_resolution_that_is_not_known_is_found(files):
    unknown = go(files(BARE, cube=('lsf = "muse"', "")))
    assert any("give cube.lsf" in finding for finding in unknown.findings)
    ssp = ('normalization = "mass"', 'normalization = "mass"\nresolution = "as given"')
    on_purpose = go(files(BARE, cube=('lsf = "muse"', ""), ssp=ssp))
    assert on_purpose.findings == []


def test_names_and_line_spreads_do_not_read_the_cube_again(files):
    go(files(BARE))
    assert go(files(BARE, name=('name = "Mock"', 'name = "Other"'))).steps_done == ["products"]
    assert go(files(BARE, lsf=('lsf = "muse"', "lsf = 2.95"))).steps_done == ALL[2:]


def test_finer_pixels_all_find_their_bin(files, tmp_path):
    whole = go(files(BARE))
    with fits.open(tmp_path / "cube.fits") as cube:
        parts = []
        for hdu, share in ((cube["DATA"], 4.0), (cube["STAT"], 4.0)):
            values = hdu.data.repeat(2, axis=1).repeat(2, axis=2) / share
            header = hdu.header.copy()
            for axis in (1, 2):
                header[f"CD{axis}_{axis}"] /= 2
                header[f"CRPIX{axis}"] = 2 * header[f"CRPIX{axis}"] - 0.5
            parts.append(fits.ImageHDU(values, header))
        fits.HDUList([fits.PrimaryHDU(), *parts]).writeto(tmp_path / "fine.fits")
    fine = go(files(BARE, cube=('path = "cube.fits"', 'path = "fine.fits"')))
    assert fine.stats["n_voxels"] == whole.stats["n_voxels"]
    assert len(FitResult.from_file(fine.h5_path).pixels.bins) == 4 * 400


def test_spectra_that_are_binned_and_at_rest_already_are_fitted(files, tmp_path):
    """As nGIST leaves them: one spectrum a bin, redshift taken out, positions in a table."""
    whole = go(files(BARE, cube=('lsf = "muse"', 'lsf = "muse"\nmasks = []')))
    with np.load(tmp_path / "out" / "spectra.npz") as prepared:
        arrays = {key: prepared[key] for key in ("flux", "noise", "mask", "obs_pix")}
    with h5py.File(tmp_path / "Mock_BinSpectra.hdf5", "w") as file:
        file["SPEC"] = arrays["flux"].T
        file["ESPEC"] = np.where(arrays["mask"], arrays["noise"], np.nan).T
        file["LOGLAM"] = arrays["obs_pix"]
    with np.load(tmp_path / "orbits.npz") as stored:
        table = np.column_stack((stored["xpix"], stored["ypix"], stored["binnum"]))
    np.savetxt(tmp_path / "table.txt", table)
    cube = 'path = "Mock_BinSpectra.hdf5"\nmedium = "air"\nmasks = []'
    binned = go(
        files(
            BARE + '\n[bins]\npath = "table.txt"',
            cube=('path = "cube.fits"', cube),
            out=('out = "out"', 'out = "other"'),
        )
    )
    assert binned.findings == []
    assert binned.stats["chi2_per_voxel"] < 1.2 * binned.noise_chi2
    means = [FitResult.from_file(r.h5_path).mean("log_age") for r in (whole, binned)]
    assert means[0] == pytest.approx(means[1], abs=0.02)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('path = "orbits.npz"', 'path = "none.npz"', r"orbits\.path = .*none\.npz"),
        ('lsf = "muse"', 'lsf = "MUSE"', r"cube\.lsf = .*MUSE"),
        ('lsf = "muse"', 'masks = ["emision"]', "masks"),
        ('lsf = "muse"', 'format = "fits"', r"cube\.format"),
    ],
)
def test_wrong_names_are_refused_before_anything_is_read(files, tmp_path, old, new, told):
    with pytest.raises(ConfigError, match=told):
        go(files(BARE, wrong=(old, new)))
    assert not (tmp_path / "out" / "orbits.npz").exists()


def test_checks_come_without_a_fit(files):
    report = run_galaxy(files(BARE), check_only=True, verbose=False)
    assert report.steps_done == ALL[:4]
    assert report.findings == []
    assert not report.h5_path.exists()
    assert go(files(BARE)).steps_done == ALL[4:]


def test_a_file_that_somebody_put_in_the_place_of_ours_stays(files, problem, tmp_path):
    settings = files("[products]\npictures = []")
    run_galaxy(settings, verbose=False)
    theirs = problem.populate(tmp_path / "theirs.h5")
    PipelineRunner(theirs).solve_all(method="exact", verbose=False)
    theirs.replace(tmp_path / "out" / "cube.h5")
    before = (tmp_path / "out" / "cube.h5").read_bytes()
    with pytest.raises(StoreError, match="not by this run, which replaces only what it made"):
        run_galaxy(settings, verbose=False)
    assert (tmp_path / "out" / "cube.h5").read_bytes() == before
