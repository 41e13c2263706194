"""The image that the pixels of a galaxy are of."""

import numpy as np
import pytest

from cubefit.galaxy.pixels import image_of_bins, image_plane
from cubefit.io.bins import BinMap
from cubefit.observation import ImagePlane

Y, X = np.indices((3, 4)).reshape(2, -1) * [[0.5], [0.2]]


def bins(**changes):
    parts = {"binnum": np.arange(12, dtype=np.int32) % 5, "x": X, "y": Y, "image_shape": (3, 4)}
    return BinMap(**{**parts, "labels": np.arange(5), "wcs": "CRVAL"} | changes)


def test_bins_of_an_image_keep_its_place_on_the_sky():
    found = image_of_bins(bins(x=X - 0.3))
    assert found.shape == (3, 4)
    assert (found.x, found.y) == (pytest.approx((-0.3, 0.2)), pytest.approx((0.0, 0.5)))
    assert found.wcs == "CRVAL"


@pytest.mark.parametrize("missing", ["x", "y", "image_shape"])
def test_pixels_anywhere_are_of_no_image(missing):
    assert image_of_bins(bins(**{missing: None})) is None


def test_positions_count_from_the_centre_of_the_galaxy():
    found = image_plane((3, 4), X, Y, None, (0.2, -0.5))
    assert found == ImagePlane(shape=(3, 4), x=(-0.2, 0.2), y=(0.5, 0.5))
