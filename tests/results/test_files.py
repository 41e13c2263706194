"""Results as files, read back."""

import json

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable, Table
from astropy.wcs import WCS

from cubefit.errors import ConfigError, InputError
from cubefit.pipeline_runner import PipelineRunner
from cubefit.results import FitResult


@pytest.fixture(scope="module")
def result(make_problem, tmp_path_factory):
    y, x = np.indices((3, 4)).reshape(2, -1)
    problem = make_problem(
        xpix=0.5 * x - 1.0,
        ypix=0.25 * y,
        binnum=np.arange(12) % 7,
        template_axes={"metals": [-1.0, 0.2], "ages": [1.0, 3.0, 10.0], "alphas": [0.0, 0.4]},
        template_masses=np.linspace(1.0, 2.0, 12),
    )
    path = problem.populate(tmp_path_factory.mktemp("fitted") / "cube.h5")
    PipelineRunner(path).solve_all(verbose=False)
    return FitResult.from_file(path)


def test_fits_tables_and_weights(result, tmp_path):
    path = result.to_fits(tmp_path / "fit.fits")
    with fits.open(path, checksum=True) as file:
        np.testing.assert_array_equal(file["WEIGHTS"].data, result.weights)
        assert file["WEIGHTS"].header["AXIS4"] == "component"
    for name, table in (("COMPONENTS", result.components()), ("SPAXELS", result.spaxels())):
        read = QTable.read(path, hdu=name)
        for column in table.data_vars:
            found = read[column]
            np.testing.assert_array_equal(getattr(found, "value", found), table[column])
    assert str(read["velocity_by_light"].unit) == "km / s"
    ages = QTable.read(path, hdu="AXIS_AGE")
    assert str(ages["age"].unit) == "Gyr"
    np.testing.assert_array_equal(ages["age"].value, [1.0, 3.0, 10.0])


def test_fits_header_says_where_it_comes_from(result, tmp_path):
    header = fits.getheader(result.to_fits(tmp_path / "fit.fits"))
    assert header["METHOD"] == "kaczmarz"
    assert header["CHI2"] == result.facts["chi2"]
    assert header["NVOXELS"] == 280
    assert header["CHI2VOX"] == pytest.approx(header["CHI2"] / 280)
    assert header["NOISE"] is False
    assert header["CUBEFIT"]
    assert json.loads(header["RUNJSON"]) == result.run
    assert json.loads(header["PRIORS"]) == result.run["priors"]


def test_fits_images_stand_where_their_pixels_are(result, tmp_path):
    path, images = result.to_fits(tmp_path / "fit.fits"), result.images()
    with fits.open(path) as file:
        for name in [*images.data_vars, "spaxel"]:
            np.testing.assert_array_equal(file[f"MAP_{name.upper()}"].data, images[name])
        wcs = WCS(file["MAP_LIGHT"].header)
    world = wcs.wcs_pix2world([[0, 0], [3, 2]], 0)
    np.testing.assert_allclose(world, [[-1.0, 0.0], [0.5, 0.5]])
    assert str(wcs.wcs.cunit[0]) == "arcsec"


def populated_result(make_problem, folder, **optional):
    problem = make_problem(**optional)
    return FitResult.from_file(problem.populate(folder / "cube.h5"), problem.x_true)


def test_pixels_off_a_grid_stand_in_a_table(make_problem, tmp_path):
    x = np.random.default_rng(2).random(9)
    result = populated_result(make_problem, tmp_path, xpix=x, ypix=x, binnum=np.arange(9) % 7)
    read = QTable.read(result.to_fits(tmp_path / "fit.fits", pixel_unit="kpc"), hdu="PIXELS")
    np.testing.assert_array_equal(read["light"], result.maps()["light"])
    np.testing.assert_array_equal(read["spaxel"], np.arange(9) % 7)
    assert "MAP_LIGHT" not in fits.info(tmp_path / "fit.fits", output=False)


def test_a_file_that_knows_nothing_gives_what_it_has(make_problem, tmp_path):
    result = populated_result(make_problem, tmp_path)
    with fits.open(result.to_fits(tmp_path / "fit.fits")) as file:
        assert [hdu.name for hdu in file] == [
            *("PRIMARY", "WEIGHTS", "AXIS_POPULATION", "COMPONENTS", "SPAXELS")
        ]
        assert file[0].header["SOLUTION"] == "given"
        assert "METHOD" not in file[0].header


def test_one_row_of_pixels_has_square_ones(make_problem, tmp_path):
    result = populated_result(
        make_problem, tmp_path, xpix=0.2 * np.arange(9), ypix=np.ones(9), binnum=np.arange(9) % 7
    )
    header = fits.getheader(result.to_fits(tmp_path / "fit.fits"), "MAP_LIGHT")
    assert (header["NAXIS1"], header["NAXIS2"]) == (9, 1)
    assert header["CDELT2"] == pytest.approx(0.2)


@pytest.mark.parametrize("kind", ["components", "spaxels"])
def test_ecsv(result, tmp_path, kind):
    read = Table.read(result.to_ecsv(tmp_path / "t.ecsv", kind=kind))
    table = getattr(result, kind)()
    for column in table.data_vars:
        np.testing.assert_array_equal(read[column], table[column])
    assert str(read["metal_by_mass"].unit) == "dex"
    assert read.meta["chi2"] == result.facts["chi2"]
    assert json.loads(read.meta["run_json"]) == result.run


def test_refusals(result, tmp_path):
    result.to_ecsv(str(tmp_path / "t.ecsv"))
    with pytest.raises(InputError, match="overwrite=True"):
        result.to_ecsv(tmp_path / "t.ecsv")
    result.to_ecsv(tmp_path / "t.ecsv", overwrite=True)
    with pytest.raises(ConfigError, match="kind='pixels'"):
        result.to_ecsv(tmp_path / "u.ecsv", kind="pixels")
    with pytest.raises(InputError, match=r"end its name in \.fits"):
        result.to_fits(tmp_path / "t.txt")
