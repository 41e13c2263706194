"""Bins of the orbit library merge, in cube and LOSVDs alike, where settings want more light."""

import logging
import sys

import h5py
import numpy as np
import pytest
from astropy.io import fits

from cubefit import FitResult
from cubefit.errors import ConfigError, DependencyError
from cubefit.galaxy import run_galaxy

ALL = ["orbits", "spectra", "templates", "checks", "fit", "products"]
BARE = "[products]\npictures = []"


def merging(target_sn):
    return f"{BARE}\n[bins]\ntarget_sn = {target_sn}"


def go(path):
    return run_galaxy(path, verbose=False)


def spectra_of(folder):
    with np.load(folder / "out" / "spectra.npz") as stored:
        return {name: stored[name] for name in stored.files}


def test_cube_and_orbits_are_merged_alike(files, tmp_path, caplog):
    whole = go(files(BARE))
    before = spectra_of(tmp_path)
    assert "merged" not in before
    age, losvd = FitResult.from_file(whole.h5_path).mean("log_age"), losvd_of(whole.h5_path)
    with caplog.at_level(logging.INFO, logger="cubefit"):
        report = go(files(merging(220.0)))
    assert report.steps_done == ALL[1:]
    assert report.findings == []
    assert report.stats["chi2_per_voxel"] < 1.2 * report.noise_chi2
    after = spectra_of(tmp_path)
    merged = after["merged"]
    assert f"40 bins merged into {merged.max() + 1}, of S/N" in caplog.text
    assert 5 <= merged.max() + 1 <= 15
    np.testing.assert_array_equal(after["binnum"], merged[before["binnum"]])
    members = (merged == np.arange(merged.max() + 1)[:, None]).astype(float)
    np.testing.assert_allclose(
        losvd_of(report.h5_path), np.tensordot(members, losvd, 1), rtol=1e-6, atol=1e-12
    )
    whole_bins = members @ ~before["mask"] == 0
    # Gaps are made up for by shares of the light, which are of larger bins now.
    np.testing.assert_allclose(
        after["flux"][whole_bins], (members @ before["flux"])[whole_bins], rtol=0.03
    )
    np.testing.assert_allclose(
        after["noise"][whole_bins] ** 2, (members @ before["noise"] ** 2)[whole_bins], rtol=0.05
    )
    assert FitResult.from_file(report.h5_path).mean("log_age") == pytest.approx(age, abs=0.02)
    assert go(files(merging(220.0))).steps_done == []
    assert go(files(merging(300.0))).steps_done == ALL[1:]


def losvd_of(path):
    with h5py.File(path) as file:
        return file["LOSVD"][:]


def test_bins_without_light_are_left_out(files, tmp_path):
    radius = 'lsf = "muse"\nradius = 8.0'
    report = run_galaxy(
        files(merging(150.0), cut=('lsf = "muse"', radius)), check_only=True, verbose=False
    )
    spectra = spectra_of(tmp_path)
    assert f"{int((spectra['merged'] < 0).sum())} of 40 bins are left out" in report.findings[0]
    assert spectra["mask"].any(axis=1).all()
    assert np.hypot(spectra["x"], spectra["y"]).max() < 12.0


def test_dead_pixels_are_as_bright_as_those_of_their_own_bin(files, tmp_path):
    """Merged bins are larger and steeper, and LOSVDs are of the bins before."""
    whole = go(files(BARE))
    clean = spectra_of(tmp_path)["flux"]
    with fits.open(tmp_path / "cube.fits", mode="update") as cube:
        dead = np.random.default_rng(4).random(cube["DATA"].data.shape[1:]) < 0.05
        cube["DATA"].data[:, dead] = np.nan
    report = go(files(merging(150.0), cut=('lsf = "muse"', 'lsf = "muse"\nmin_share = 0.1')))
    hurt = spectra_of(tmp_path)
    assert 10 < np.isnan(hurt["light"]).sum() < 40
    kept = np.flatnonzero(hurt["merged"] >= 0)
    expected = np.zeros(hurt["flux"].shape)
    np.add.at(expected, hurt["merged"][kept], clean[kept])
    ratio = hurt["flux"].sum(axis=1) / expected.sum(axis=1)
    assert np.std(ratio) < 0.007
    assert report.stats["chi2_per_voxel"] < 1.15 * whole.stats["chi2_per_voxel"]


def test_losvds_that_were_normalised_are_found_in_merged_bins_too(files, tmp_path):
    with np.load(tmp_path / "orbits.npz") as stored:
        arrays = {name: stored[name] for name in stored.files}
    light = np.einsum("svc,c->s", arrays["losvd"], arrays["w"])
    arrays["losvd"] = arrays["losvd"] / light[:, None, None]
    np.savez(tmp_path / "orbits.npz", **arrays)
    findings = run_galaxy(files(merging(150.0)), check_only=True, verbose=False).findings
    assert any("amplitudes" in told for told in findings), findings


def test_what_cannot_be_merged_is_told_before_any_work(files, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "powerbin", None)
        with pytest.raises(DependencyError, match=r"cubefit\[binning\]"):
            go(files(merging(150.0)))
    with pytest.raises(ConfigError, match=r"bins\.target_sn adds up the light .*'unit'"):
        go(files(merging(150.0) + '\n[fit]\nnormalization = "unit"'))
    assert not (tmp_path / "out").exists()


def test_what_is_merged_needs_the_package_no_more(files, monkeypatch):
    path = files(merging(150.0))
    go(path)
    monkeypatch.setitem(sys.modules, "powerbin", None)
    assert go(path).steps_done == []


def test_cubes_of_bins_or_without_noise_are_refused(files, tmp_path):
    go(files(BARE))
    spectra = spectra_of(tmp_path)
    with h5py.File(tmp_path / "Mock_BinSpectra.hdf5", "w") as file:
        file["SPEC"], file["ESPEC"] = spectra["flux"].T, spectra["noise"].T
        file["LOGLAM"] = spectra["obs_pix"]
    table = np.column_stack([spectra[name] for name in ("x", "y", "binnum")])
    np.savetxt(tmp_path / "table.txt", table)
    cube = ('path = "cube.fits"', 'path = "Mock_BinSpectra.hdf5"\nmedium = "air"\nmasks = []')
    with pytest.raises(ConfigError, match=r"bins\.target_sn = 150: .*is binned already"):
        go(files(merging(150.0) + '\npath = "table.txt"', cube=cube))
    with fits.open(tmp_path / "cube.fits") as made:
        data = made["DATA"]
        wave = data.header["CRVAL3"] + data.header["CD3_3"] * np.arange(len(data.data))
        y, x = 1.5 * (np.indices(data.shape[1:]).reshape(2, -1) - [[10.5], [11.5]])
        flux = data.data.reshape(len(wave), -1).T
        np.savez(tmp_path / "bare.npz", flux=flux, wave=wave, x=x, y=y)
    bare = ('path = "cube.fits"', 'path = "bare.npz"\nmedium = "air"')
    with pytest.raises(ConfigError, match=r"bins\.target_sn = 150: .*states no noise"):
        go(files(merging(150.0), cube=bare))
