"""Where north and east are on an image."""

import numpy as np
import pytest
from astropy.wcs import WCS

from cubefit.io.sky_directions import north_and_east
from cubefit.observation import ImagePlane


def plane(angle_deg=0.0, *, ctype=("RA---TAN", "DEC--TAN"), scale=(0.2, 0.2), wcs=None):
    """Return an image whose north is ``angle_deg`` anticlockwise from up, with east left of it."""
    found = WCS(naxis=2)
    found.wcs.ctype = ctype
    found.wcs.crval = (150.0, -60.0)[:: -1 if ctype[0].startswith("DEC") else 1]
    found.wcs.crpix = 20.5, 10.5
    a = np.radians(angle_deg)
    right, up = np.array(scale) / 3600.0
    rows = np.array([[-np.cos(a) * right, -np.sin(a) * up], [-np.sin(a) * right, np.cos(a) * up]])
    found.wcs.cd = rows[::-1] if ctype[0].startswith("DEC") else rows
    header = found.to_header_string() if wcs is None else wcs
    return ImagePlane(shape=(20, 40), x=(-4.0, scale[0]), y=(-2.0, scale[1]), wcs=header)


@pytest.mark.parametrize("angle_deg", [0.0, 30.0, -100.0, 180.0])
@pytest.mark.parametrize("scale", [(0.2, 0.2), (0.2, 0.6)])
@pytest.mark.parametrize("ctype", [("RA---TAN", "DEC--TAN"), ("DEC--TAN", "RA---TAN")])
def test_directions_are_those_of_the_header(angle_deg, scale, ctype):
    a = np.radians(angle_deg)
    north, east = north_and_east(plane(angle_deg, scale=scale, ctype=ctype))
    np.testing.assert_allclose(north, [-np.sin(a), np.cos(a)], atol=1e-5)
    np.testing.assert_allclose(east, [-np.cos(a), -np.sin(a)], atol=1e-5)


def test_an_image_without_equatorial_coordinates_has_none():
    assert north_and_east(plane(wcs="")) is None
    assert north_and_east(plane(ctype=("GLON-TAN", "GLAT-TAN"))) is None
