from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cubefit.errors import ConfigError, GridError, InputError
from cubefit.io import read_orbits
from cubefit.io.agama import bspline_bin_integrals, orbits_from_agama

GRIDV = np.linspace(-300.0, 300.0, 13)
N, S = 4, 3


def cox_de_boor(degree, grid, x):
    """B-splines with clamped ends at one point, by their recursion."""
    knots = [grid[0]] * degree + list(grid) + [grid[-1]] * degree
    basis = [float(knots[i] <= x < knots[i + 1]) for i in range(len(knots) - 1)]
    for d in range(1, degree + 1):
        for i in range(len(knots) - 1 - d):
            left, right = knots[i + d] - knots[i], knots[i + d + 1] - knots[i + 1]
            first = (x - knots[i]) / left * basis[i] if left else 0.0
            second = (knots[i + d + 1] - x) / right * basis[i + 1] if right else 0.0
            basis[i] = first + second
    return np.array(basis[: len(grid) - 1 + degree])


def amplitudes(degree, seed=1):
    return np.random.default_rng(seed).random((N, S, GRIDV.size - 1 + degree)).astype(np.float32)


def sky():
    return {
        "binnum": np.array([0, 1, 2, 2, -1]),
        "x": np.arange(5.0),
        "y": -np.arange(5.0),
        "weights": np.array([0.1, 0.2, 0.0, 0.7]),
    }


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_integrals_are_those_of_the_recursion(degree):
    edges = np.linspace(-250.0, 280.0, 8)
    fine = 0.5 * (np.arange(400) + 0.5)
    expected = []
    for low, high in pairwise(edges):
        points = low + (high - low) * fine / 200.0
        values = np.array([cox_de_boor(degree, GRIDV, v) for v in points])
        expected.append(values.mean(axis=0) * (high - low))
    found = bspline_bin_integrals(GRIDV, degree, edges)
    np.testing.assert_allclose(found, np.transpose(expected), atol=0.2)


@settings(max_examples=30)
@given(degree=st.integers(0, 3), seed=st.integers(0, 2**32 - 1), n=st.integers(2, 40))
def test_light_is_the_integral_of_the_splines(degree, seed, n):
    edges = np.linspace(-330.0, 310.0, n + 1)
    orbits = orbits_from_agama(amplitudes(degree, seed), GRIDV, degree, vel_edges=edges, **sky())
    whole = amplitudes(degree, seed) @ bspline_bin_integrals(GRIDV, degree, GRIDV[[0, -1]])[:, 0]
    np.testing.assert_allclose(orbits.losvd.sum(axis=1).T, whole, rtol=1e-5)


def test_degree_0_is_a_histogram_already():
    orbits = orbits_from_agama(amplitudes(0), GRIDV, 0, **sky())
    np.testing.assert_allclose(orbits.losvd, 50.0 * amplitudes(0).transpose(1, 2, 0), rtol=1e-6)
    np.testing.assert_allclose(orbits.vel, 0.5 * (GRIDV[1:] + GRIDV[:-1]))
    assert orbits.binnum.tolist() == sky()["binnum"].tolist()


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_rows_may_be_flat(degree):
    flat = orbits_from_agama(amplitudes(degree).reshape(N, -1), GRIDV, degree, **sky())
    whole = orbits_from_agama(amplitudes(degree), GRIDV, degree, **sky())
    np.testing.assert_array_equal(flat.losvd, whole.losvd)


def test_a_constant_distribution_fills_bins_evenly():
    for degree in range(4):
        orbits = orbits_from_agama(np.ones_like(amplitudes(degree)), GRIDV, degree, **sky())
        np.testing.assert_allclose(orbits.losvd, 50.0, rtol=1e-6)


def test_velocities_scale_and_light_stays():
    edges = np.linspace(-700.0, 700.0, 29)
    plain = orbits_from_agama(amplitudes(3), GRIDV, 3, **sky())
    wide = orbits_from_agama(amplitudes(3), GRIDV, 3, velocity_scale=2.0, **sky())
    np.testing.assert_array_equal(wide.losvd, plain.losvd)
    np.testing.assert_allclose(wide.vel, 2.0 * plain.vel)
    binned = orbits_from_agama(
        amplitudes(3), GRIDV, 3, velocity_scale=2.0, vel_edges=edges, **sky()
    )
    mean = np.einsum("svc,v->sc", binned.losvd, binned.vel) / binned.losvd.sum(axis=1)
    expected = np.einsum("svc,v->sc", wide.losvd, wide.vel) / wide.losvd.sum(axis=1)
    np.testing.assert_allclose(mean, expected, atol=8.0)


def test_agamas_image_x_points_left():
    turned = orbits_from_agama(amplitudes(1), GRIDV, 1, x_points_left=True, **sky())
    assert turned.x.tolist() == [-0.0, -1.0, -2.0, -3.0, -4.0]


def test_orbits_are_bundled_with_their_properties():
    radius = np.array([1.0, 3.0, 5.0, 7.0])
    options = sky() | {"properties": {"Rmean_kpc": radius}, "bundle": [0, 0, 1, 1]}
    orbits = orbits_from_agama(amplitudes(2), GRIDV, 2, **options)
    single = orbits_from_agama(amplitudes(2), GRIDV, 2, **sky())
    np.testing.assert_allclose(
        orbits.losvd[..., 0], (single.losvd[..., 0] + 2 * single.losvd[..., 1]) / 3, rtol=1e-5
    )
    assert orbits.properties["Rmean_kpc"] == pytest.approx([7 / 3, 7.0])
    assert orbits.weights == pytest.approx([0.3, 0.7])


def test_negative_bins_are_refused_or_emptied():
    spiky = np.zeros((N, S, GRIDV.size + 2))
    spiky[..., 7] = 1.0
    spiky[..., 6] = -0.4
    with pytest.raises(InputError, match=r"below zero, by .* negative='zero'"):
        orbits_from_agama(spiky, GRIDV, 3, **sky())
    assert orbits_from_agama(spiky, GRIDV, 3, negative="zero", **sky()).losvd.min() == 0.0


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"degree": 4}, ConfigError, "degree=4"),
        ({"degree": 2}, InputError, "make 14 B-splines"),
        ({"gridv": GRIDV[::-1]}, GridError, "gridv .* increasing"),
        ({"vel_edges": np.linspace(-100, 100, 9)}, GridError, "of the light lies outside"),
        ({"vel_edges": np.array([-300.0, 0, 100, 300])}, GridError, "uniform"),
        ({"weights": np.ones(3)}, InputError, "weights holds 3 values, but the number of orbits"),
        ({"binnum": np.array([0, 1, 3, 2, -1])}, InputError, "binnum names 4 bins"),
        ({"velocity_scale": 0.0}, ConfigError, "velocity_scale"),
        ({"negative": "clip"}, ConfigError, "'refuse' or 'zero'"),
        ({"amplitudes": np.full((N, S, 13), np.nan)}, InputError, "NaN"),
    ],
)
def test_impossible_input_is_refused(change, error, message):
    given_input = {"amplitudes": amplitudes(1), "gridv": GRIDV, "degree": 1} | sky() | change
    with pytest.raises(error, match=message):
        orbits_from_agama(**given_input)


def test_amplitudes_in_npz_are_recognised(tmp_path):
    path = tmp_path / "forstand.npz"
    where = sky()
    content = {
        "amplitudes": amplitudes(3).reshape(N, -1),
        "gridv": GRIDV,
        "degree": 3,
        "xpix": where["x"],
        "ypix": where["y"],
        "binnum": where["binnum"],
        "w": where["weights"],
        "orb_lambdaz": np.linspace(-1, 1, N),
    }
    np.savez(path, **content)
    expected = orbits_from_agama(amplitudes(3), GRIDV, 3, **where)
    orbits = read_orbits(path)
    np.testing.assert_array_equal(orbits.losvd, expected.losvd)
    np.testing.assert_array_equal(orbits.properties["lambdaz"], content["orb_lambdaz"])
    assert read_orbits(path, "agama", bundle=[0, 0, 1, 1]).weights.size == 2
    np.savez(path, **content | {"degree": 3.5})
    with pytest.raises(InputError, match="degree has shape"):
        read_orbits(path)
    np.savez(path, **{key: value for key, value in content.items() if key != "gridv"})
    with pytest.raises(InputError, match="lacks gridv"):
        read_orbits(path)
