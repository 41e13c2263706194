import numpy as np
import pytest

from cubefit.errors import GridError, InputError
from cubefit.prepare.bundles import BundleBins
from cubefit.prepare.orbit_library import checked_library

S, V, C = 2, 9, 6


def arrays(**changes):
    random = np.random.default_rng(1)
    return {
        "losvd": random.random((S, V, C)),
        "vel": 20.0 * np.arange(-4, 5),
        "weights": np.arange(C, dtype=float),
        "binnum": np.array([0, 1, -1]),
        "x": np.zeros(3),
        "y": np.zeros(3),
        "properties": {"Rmean_kpc": np.arange(1.0, C + 1), "lambdaz": np.linspace(-1, 1, C)},
    } | changes


def test_bundling_keeps_light_velocities_and_sky():
    library = checked_library("here", **arrays())
    bundled = library.in_bundles([0, 0, 1, 1, -1, 2])
    assert bundled.losvd.shape == (S, V, 3)
    assert bundled.weights.tolist() == [1.0, 5.0, 5.0]
    np.testing.assert_allclose(bundled.properties["Rmean_kpc"], [2.0, 3.6, 6.0])
    np.testing.assert_allclose(
        bundled.losvd[..., 1], library.losvd[..., 2:4] @ [0.4, 0.6], rtol=1e-6
    )
    assert (bundled.vel is library.vel, bundled.binnum is library.binnum) == (True, True)
    assert bundled.source == "here"


def test_bins_make_components_of_weighted_orbits_only():
    library = checked_library("here", **arrays())
    bundled = library.in_bundles(BundleBins(radius=(1.0, 2.0, 6.0), circularity=1))
    # Orbit 0, alone in the first bin, has weight zero.
    assert bundled.weights.tolist() == [15.0]


def test_light_of_merged_bins_adds_up():
    random = np.random.default_rng(2)
    library = checked_library(
        "here",
        **arrays(
            losvd=random.random((4, V, C)),
            binnum=np.array([0, 1, -1, 2, 3]),
            x=np.zeros(5),
            y=np.zeros(5),
        ),
    )
    merged = library.with_merged_bins(np.array([1, 0, -1, 1]))
    np.testing.assert_array_equal(merged.losvd[0], library.losvd[1])
    np.testing.assert_allclose(merged.losvd[1], library.losvd[0] + library.losvd[3], rtol=1e-6)
    assert merged.losvd.dtype == np.float32
    assert merged.binnum.tolist() == [1, 0, -1, -1, 1]
    assert merged.weights is library.weights


@pytest.mark.parametrize("new", [[0, 1, 2], [0, 2], [-1, -1]])
def test_refuses_bins_that_do_not_fit(new):
    with pytest.raises(InputError, match="give the new bin of each of 2 bins"):
        checked_library("here", **arrays()).with_merged_bins(np.array(new))


def test_another_velocity_grid_keeps_the_light():
    library = checked_library("here", **arrays())
    wide = library.on_velocities(35.0 * np.arange(-3, 4))
    np.testing.assert_allclose(wide.losvd.sum(axis=1), library.losvd.sum(axis=1), rtol=1e-6)
    assert wide.vel.size == wide.losvd.shape[1] == 7
    with pytest.raises(GridError, match="outside the new velocity grid"):
        library.on_velocities(20.0 * np.arange(-2, 3))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"losvd": np.ones((S, V))}, r"here: losvd has shape \(2, 9\)"),
        ({"losvd": -np.ones((S, V, C))}, "here: losvd.* below 0"),
        ({"vel": np.ones(3)}, r"here: vel holds 3 values, but losvd.shape\[1\] is 9"),
        ({"vel": 1e-4 * np.arange(-4, 5)}, "here: vel reaches 0.0004 only"),
        ({"weights": np.zeros(C)}, "here: weights runs from 0 to 0"),
        ({"binnum": np.array([0, 2, -1])}, "here: binnum names 2 bins up to 2"),
        ({"x": np.ones(2)}, "here: x holds 2 values, but binnum.size is 3"),
        ({"properties": {"a": np.ones(2)}}, "here: a holds 2 values"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        checked_library("here", **arrays(**changes))
