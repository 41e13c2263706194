"""Products are on the sky and the wavelengths of the cube that went in."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table
from astropy.units import Unit
from astropy.wcs import WCS

from cubefit.store.results import read_model_cube


@pytest.fixture(scope="module")
def products(fitted):
    return {path.name: path for path in fitted.report.products}


def test_all_that_was_asked_for_is_there(products):
    assert set(products) == {
        *("cube-results.fits", "cube-model.fits", "cube-components.ecsv", "cube-spaxels.ecsv"),
        *("maps.png", "age-metallicity.png", "spectra.png"),
        *("residual-map.png", "residual-spectrum.png"),
    }


def test_fits_files_hold_to_the_standard(products):
    for name in ("cube-results.fits", "cube-model.fits"):
        with warnings.catch_warnings(), fits.open(products[name], checksum=True) as hdus:
            warnings.simplefilter("error")
            hdus.verify("exception")


def test_the_model_cube_has_checksums(products):
    header = fits.getheader(products["cube-model.fits"])
    assert {"CHECKSUM", "DATASUM"} <= set(header)


def test_every_part_says_what_it_is_of(products):
    with fits.open(products["cube-results.fits"]) as hdus:
        primary = hdus[0].header
        for hdu in hdus[1:]:
            for key in ("OBJECT", "SOURCE", "METHOD", "FITTED", "INDIGEST"):
                assert hdu.header[key] == primary[key]


def test_light_has_the_unit_of_the_cube(products):
    unit = Unit("1e-20 erg / (s cm2 Angstrom)")
    light = fits.getheader(products["cube-results.fits"], "MAP_LIGHT")
    assert Unit(light["BUNIT"]) == unit
    for name in ("cube-components.ecsv", "cube-spaxels.ecsv"):
        assert Unit(Table.read(products[name])["light"].unit) == unit


def test_maps_are_where_the_cube_is_on_the_sky(products, fitted):
    truth = WCS(fits.getheader(fitted.galaxy.cube, "DATA")).celestial
    with fits.open(products["cube-results.fits"]) as hdus:
        for hdu in hdus:
            if not hdu.name.startswith("MAP_"):
                continue
            assert hdu.shape == truth.array_shape
            there = WCS(hdu.header).pixel_to_world(3, 17)
            assert there.separation(truth.pixel_to_world(3, 17)).arcsec < 1e-6


def test_the_model_is_where_the_cube_is(products, fitted):
    with fits.open(fitted.galaxy.cube) as hdus:
        truth = WCS(hdus["DATA"].header)
        data = hdus["DATA"].data.astype(float)
    with fits.open(products["cube-model.fits"]) as hdus:
        model, header = hdus[0].data.astype(float), hdus[0].header
    there = WCS(header)
    sky, wave = there.pixel_to_world(10, 11, 50)
    x, y, plane = truth.world_to_pixel(sky, wave)
    assert isinstance(sky, SkyCoord)
    assert (x, y) == pytest.approx((10, 11), abs=1e-6)
    assert plane == pytest.approx(round(float(plane)), abs=1e-6)
    first = round(float(plane)) - 50
    part = data[first : first + len(model)]
    both = np.isfinite(part) & np.isfinite(model)
    light = np.where(both, part, 0.0).sum(axis=0)
    fitted_light = np.where(both, model, 0.0).sum(axis=0)
    # A bin's model is shared evenly, its light is not: by up to a fifth in the mock.
    known = both.any(axis=0)
    assert np.corrcoef(light[known], fitted_light[known])[0, 1] > 0.98
    assert light[known].sum() == pytest.approx(fitted_light[known].sum(), rel=2e-3)


def test_the_model_on_observed_pixels_is_the_noiseless_cube(products, fitted):
    with fits.open(products["cube-model.fits"]) as hdus:
        model, header = hdus[0].data.astype(float), hdus[0].header
    wave = header["CRVAL3"] + header["CDELT3"] * np.arange(len(model))
    first = int(np.argmin(np.abs(fitted.galaxy.wave - wave[0])))
    truth = fitted.galaxy.spectra[:, first : first + len(model)]
    assert header["CTYPE3"] == "AWAV"
    total = np.nansum(model, axis=(1, 2))
    assert np.abs(total / truth.sum(axis=0) - 1).max() < 2e-3


def test_the_model_adds_up_to_that_of_the_fit(products, fitted):
    with fits.open(products["cube-model.fits"]) as hdus:
        model, header = hdus[0].data.astype(float), hdus[0].header
    # At rest, flux density is larger by 1 + z and pixels are narrower by as much.
    at_rest = read_model_cube(fitted.report.h5_path).mean(axis=1).sum()
    observed = np.nansum(model) / len(model)
    assert header["REDSHIFT"] == fitted.sight.redshift
    assert observed * (1 + fitted.sight.redshift) == pytest.approx(at_rest, rel=2e-3)


def test_pixels_outside_the_bins_are_blank(products, fitted):
    with fits.open(products["cube-results.fits"]) as hdus:
        spaxel = hdus["MAP_SPAXEL"].data
        ages = hdus["MAP_LOG_AGE_BY_LIGHT"].data
    with fits.open(products["cube-model.fits"]) as hdus:
        model = hdus[0].data
    assert (spaxel < 0).any()
    assert np.isnan(ages[spaxel < 0]).all()
    assert np.isnan(model[:, spaxel < 0]).all()
    assert np.isfinite(model[:, spaxel >= 0]).all()


def test_tables_are_read_with_their_units(products, fitted):
    table = Table.read(products["cube-components.ecsv"])
    assert len(table) == fitted.galaxy.mass.shape[0]
    assert table["light_share"].sum() == pytest.approx(1.0)
    assert table.meta["method"] == "exact"
