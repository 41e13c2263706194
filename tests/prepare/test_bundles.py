import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubefit.errors import ConfigError, InputError
from cubefit.prepare.bundles import (
    BundleBins,
    LosvdSums,
    bundle_by,
    bundle_losvd,
    make_bundles,
)

S, V, N = 3, 4, 12

seeds = st.integers(0, 2**32 - 1)


def library(seed, *, zeros=True):
    """Return histograms, weights and properties of some orbits."""
    random = np.random.default_rng(seed)
    weights = random.random(N) * (random.random(N) > 0.4 if zeros else 1.0)
    weights[0] = 0.5
    properties = {"Rmean_kpc": random.random(N) * 10, "lambdaz": random.uniform(-1, 1, N)}
    return random.random((S, V, N)).astype(np.float32), weights, properties


def a_mapping(random, n_components):
    """Return a mapping that names each component, and leaves some orbits out."""
    mapping = random.integers(-1, n_components, N)
    mapping[:n_components] = np.arange(n_components)
    return mapping


@given(seed=seeds, n_components=st.integers(1, 6))
def test_light_weighted_by_mass_is_conserved(seed, n_components):
    losvd, weights, properties = library(seed)
    mapping = a_mapping(np.random.default_rng(seed), n_components)
    bundles = make_bundles(mapping, weights=weights, properties=properties)
    bundled = bundle_losvd(losvd, bundles)
    assert bundled.shape == (S, V, n_components)
    used = mapping >= 0
    np.testing.assert_allclose(bundled @ bundles.weights, losvd[..., used] @ weights[used], 1e-5)
    assert bundles.weights.sum() == pytest.approx(weights[used].sum())


@given(seed=seeds)
def test_one_to_one_is_the_identity(seed):
    losvd, weights, properties = library(seed)
    for mapping in (None, np.arange(N)):
        bundles = make_bundles(mapping, weights=weights, properties=properties)
        assert bundles.one_to_one
        np.testing.assert_array_equal(bundle_losvd(losvd, bundles), losvd)
        np.testing.assert_array_equal(bundles.weights, weights)
        np.testing.assert_array_equal(bundles.mean(properties["lambdaz"]), properties["lambdaz"])


@given(seed=seeds, n_components=st.integers(1, 6))
def test_orbit_by_orbit_gives_the_same(seed, n_components):
    losvd, weights, properties = library(seed)
    mapping = a_mapping(np.random.default_rng(seed), n_components)
    bundles = make_bundles(mapping, weights=weights, properties=properties)
    sums = LosvdSums(bundles, S, V)
    for orbit in range(N):
        sums.add(orbit, losvd[..., orbit])
    result = sums.result()
    assert (result.dtype, result.flags.c_contiguous) == (np.float32, True)
    np.testing.assert_allclose(result, bundle_losvd(losvd, bundles), rtol=1e-6, atol=1e-12)


def test_orbits_without_weight_add_nothing():
    losvd, weights, properties = library(1, zeros=False)
    weights[3] = 0.0
    mapping = np.arange(N) // 4
    before = bundle_losvd(losvd, make_bundles(mapping, weights=weights, properties=properties))
    losvd[..., 3] = 1e6
    after = bundle_losvd(losvd, make_bundles(mapping, weights=weights, properties=properties))
    np.testing.assert_array_equal(before, after)


def test_a_component_of_unweighted_orbits_is_their_plain_mean():
    losvd, weights, properties = library(1, zeros=False)
    weights[4:8] = 0.0
    bundles = make_bundles(np.arange(N) // 4, weights=weights, properties=properties)
    assert bundles.weights[1] == 0.0
    np.testing.assert_allclose(
        bundle_losvd(losvd, bundles)[..., 1], losvd[..., 4:8].mean(axis=-1), rtol=1e-6
    )
    radius = properties["Rmean_kpc"]
    assert bundles.mean(radius)[1] == pytest.approx(radius[4:8].mean())
    assert bundles.mean(radius)[0] == pytest.approx(np.average(radius[:4], weights=weights[:4]))


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        (np.zeros(N - 1, int), "12 orbits"),
        (np.zeros(N), "one integer"),
        (np.arange(N) + 1, "number them 0 to 11"),
        (np.full(N, -1), "names 0 components"),
        (np.arange(N) - 2, "-2 as the lowest"),
    ],
)
def test_impossible_mappings_are_refused(mapping, message):
    _, weights, properties = library(1)
    with pytest.raises(InputError, match=message):
        make_bundles(mapping, weights=weights, properties=properties)


def test_bins_are_numbered_by_radius_then_circularity():
    radius = np.array([0.5, 0.5, 2.0, 2.0, 4.0])
    spin = np.array([-0.9, 0.9, 0.9, -1.0, 1.0])
    edges = {"radius_bins": [0, 1, 3, 4], "circularity_bins": [-1, 0, 1]}
    assert bundle_by(radius, spin, **edges).tolist() == [0, 1, 3, 2, 4]
    weights = np.array([1.0, 0.0, 1.0, 1.0, 1.0])
    assert bundle_by(radius, spin, weights=weights, **edges).tolist() == [0, -1, 2, 1, 3]


@given(seed=seeds, n_bins=st.integers(1, 4))
def test_quantiles_hold_equally_many_orbits(seed, n_bins):
    random = np.random.default_rng(seed)
    radius, spin = random.permutation(N).astype(float), np.zeros(N)
    mapping = bundle_by(radius, spin, radius_bins=n_bins, circularity_bins=5)
    counts = np.bincount(mapping, minlength=n_bins)
    assert counts.size == n_bins
    assert np.ptp(counts) <= (0 if N % n_bins == 0 else 1)


@given(seed=seeds, n_bins=st.integers(1, 4))
def test_bins_of_a_weighted_library_are_components(seed, n_bins):
    _, weights, properties = library(seed)
    bundles = make_bundles(
        BundleBins(radius=n_bins, circularity=(-1.0, 0.0, 1.0)),
        weights=weights,
        properties=properties,
    )
    assert (bundles.weights > 0).all()
    assert bundles.weights.sum() == pytest.approx(weights.sum())
    assert (bundles.component[weights > 0] >= 0).all()


def test_orbits_outside_the_edges_are_refused():
    _, weights, properties = library(1)
    with pytest.raises(InputError, match=r"circularity of the orbits runs from .* widen"):
        make_bundles(
            BundleBins(radius=2, circularity=(0.0, 1.0)), weights=weights, properties=properties
        )


def test_outer_edges_may_be_infinite():
    edges = {"radius_bins": [0, 1, np.inf], "circularity_bins": [-np.inf, 0, np.inf]}
    found = bundle_by(np.array([0.5, 9.0]), np.array([-1.2, 1.3]), **edges)
    assert found.tolist() == [0, 1]


def test_missing_properties_are_named():
    with pytest.raises(InputError, match=r"no property lambdaz, only Rmean_kpc"):
        make_bundles(
            BundleBins(radius=2, circularity=2),
            weights=np.ones(2),
            properties={"Rmean_kpc": np.ones(2)},
        )


@pytest.mark.parametrize("bins", [0, (1.0,), (1.0, 1.0), (2.0, 1.0)])
def test_impossible_bins_are_refused(bins):
    with pytest.raises(ConfigError, match=r"BundleBins\.radius"):
        BundleBins(radius=bins, circularity=1)
