"""Cubes as they are written, read by astropy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cubefit.errors import InputError
from cubefit.io.cube_files import CubeFile, WaveHeader, write_cube

SHAPE = (5, 3, 4)
VALUES = np.arange(60, dtype=np.float32).reshape(SHAPE)
SKY = WCS(naxis=2)
SKY.wcs.ctype = ["RA---TAN", "DEC--TAN"]
SKY.wcs.crval, SKY.wcs.crpix, SKY.wcs.cdelt = [150.0, 2.0], [2.0, 1.5], [-1e-4, 1e-4]


def cube(**changes):
    facts = {
        "shape": SHAPE,
        "wave": WaveHeader(first=5000.0, step=1.25, kind="linear", medium="air"),
        "x": (-1.5, 1.0),
        "y": (-1.0, 1.0),
        "pixel_unit": "arcsec",
        "flux_unit": "",
        "wcs": SKY.to_header_string(),
    }
    return CubeFile(**(facts | changes))


def write(path, found, planes=(VALUES[:2], VALUES[2:])):
    return write_cube(path, {"OBJECT": ("NGC 1", "galaxy")}, found, planes, overwrite=False)


def test_planes_are_read_back_with_their_header(tmp_path):
    path = write(tmp_path / "cube.fits", cube())
    with fits.open(path) as hdus:
        hdus.verify("exception")
        np.testing.assert_array_equal(hdus[0].data, VALUES)
        assert hdus[0].header["OBJECT"] == "NGC 1"
    assert path.stat().st_size % 2880 == 0


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_checksums_are_right(tmp_path, seed):
    """Astropy warns of wrong ones, and warnings are errors here."""
    rng = np.random.default_rng(seed)
    planes = rng.standard_normal(SHAPE).astype(np.float32)
    path = tmp_path / f"{seed}.fits"
    write(path, cube(flux_unit=f"unit {seed}"), planes=np.split(planes, [1, 4]))
    with fits.open(path, checksum=True) as hdus:
        assert {"CHECKSUM", "DATASUM"} <= set(hdus[0].header)
        np.testing.assert_array_equal(hdus[0].data, planes)
    path.unlink()


@pytest.mark.parametrize(
    ("kind", "medium", "ctype"),
    [
        ("linear", "air", "AWAV"),
        ("linear", "vacuum", "WAVE"),
        ("ln", "air", "AWAV-LOG"),
        ("ln", "vacuum", "WAVE-LOG"),
    ],
)
def test_wavelengths_are_those_of_the_axis(tmp_path, kind, medium, ctype):
    step = 1.25 if kind == "linear" else 2.5e-4
    wave = WaveHeader(first=5000.0, step=step, kind=kind, medium=medium)
    header = fits.getheader(write(tmp_path / "cube.fits", cube(wave=wave)))
    assert header["CTYPE3"] == ctype
    expected = 5000.0 + 3 * step if kind == "linear" else 5000.0 * math.exp(3 * step)
    sky, found = WCS(header).pixel_to_world(1.0, 0.5, 3)
    assert found.to_value("Angstrom") == pytest.approx(expected, rel=1e-9)
    assert sky.ra.deg == pytest.approx(150.0)
    assert sky.dec.deg == pytest.approx(2.0)


@pytest.mark.parametrize("kind", ["linear", "ln"])
def test_wavelengths_of_unknown_medium_are_no_spectral_axis(tmp_path, kind):
    wave = WaveHeader(first=5000.0, step=1e-3, kind=kind, medium="")
    header = fits.getheader(write(tmp_path / "cube.fits", cube(wave=wave, wcs="")))
    first = math.log(5000.0) if kind == "ln" else 5000.0
    world = WCS(header).wcs_pix2world([[0, 0, 2]], 0)[0]
    assert world.tolist() == pytest.approx([-1.5, -1.0, first + 2e-3])
    assert "not known" in header.comments["CTYPE3"]


def test_too_few_planes_leave_no_file(tmp_path):
    with pytest.raises(InputError, match="2 planes for a cube of 5"):
        write(tmp_path / "cube.fits", cube(), planes=(VALUES[:2],))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("unit", "key"),
    [
        ("erg / (s cm2 Angstrom)", "BUNIT"),
        ("1E-17 erg/s/cm^2/Ang/spaxel", "BUNIT"),
        ("counts of mine", "FLUXUNIT"),
    ],
)
def test_units_stand_where_readers_know_them(tmp_path, unit, key):
    header = fits.getheader(write(tmp_path / "cube.fits", cube(flux_unit=unit)))
    assert key in header
