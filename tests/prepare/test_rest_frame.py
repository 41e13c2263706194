import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubefit.errors import ConfigError, InputError
from cubefit.prepare.air import vacuum_to_air
from cubefit.prepare.rest_frame import in_rest_frame, rest_frame_edges
from cubefit.prepare.spectra import Spectra

media = st.sampled_from(["air", "vacuum"])
seeds = st.integers(0, 2**32 - 1)
EDGES = np.linspace(4750.0, 9350.0, 40)


def noisy(seed, medium):
    rng = np.random.default_rng(seed)
    shape = (3, EDGES.size - 1)
    return Spectra(
        flux=rng.normal(size=shape),
        noise=rng.uniform(0.1, 1.0, shape),
        mask=rng.random(shape) < 0.8,
        wave_edges=EDGES,
        medium=medium,
    )


@given(seed=seeds, medium=media, to_medium=media, z=st.floats(-0.01, 0.9))
def test_flux_and_noise_of_every_pixel_are_conserved(seed, medium, to_medium, z):
    spectra = noisy(seed, medium)
    found = in_rest_frame(spectra, z=z, to_medium=to_medium)
    for name in ("flux", "noise"):
        np.testing.assert_allclose(
            getattr(found, name) * found.widths, getattr(spectra, name) * spectra.widths, rtol=1e-10
        )
    assert found.mask is spectra.mask
    assert found.medium == to_medium


@given(medium=media, to_medium=media, z=st.floats(-0.01, 0.9))
def test_back_and_forth_is_where_it_was(medium, to_medium, z):
    rest = rest_frame_edges(EDGES, medium, z=z, to_medium=to_medium)
    back = rest_frame_edges(rest, to_medium, z=1.0 / (1.0 + z) - 1.0, to_medium=medium)
    np.testing.assert_allclose(back, EDGES, rtol=1e-10)


def test_the_medium_alone_changes_at_redshift_zero():
    np.testing.assert_array_equal(rest_frame_edges(EDGES, "air", z=0.0, to_medium="air"), EDGES)
    to_air = rest_frame_edges(EDGES, "vacuum", z=0.0, to_medium="air")
    np.testing.assert_allclose(to_air, vacuum_to_air(EDGES), rtol=1e-12)
    back = rest_frame_edges(to_air, "air", z=0.0, to_medium="vacuum")
    np.testing.assert_allclose(back, EDGES, rtol=1e-12)


def test_a_redshift_acts_in_vacuum():
    # Air is dispersive: dividing air wavelengths by 1 + z is off by a few km/s.
    halpha, z = 6564.61, 0.3
    edges = vacuum_to_air(np.array([halpha, halpha + 1.0]) * (1.0 + z))
    rest = rest_frame_edges(edges, "air", z=z, to_medium="air")
    np.testing.assert_allclose(rest[0], vacuum_to_air(halpha), rtol=1e-9)
    assert abs(edges[0] / (1.0 + z) / rest[0] - 1.0) > 1e-6


@pytest.mark.parametrize("z", [-1.0, np.nan, np.inf, -2.0])
def test_refuses_redshifts_that_are_none(z):
    with pytest.raises(ConfigError, match="above -1"):
        rest_frame_edges(EDGES, "air", z=z, to_medium="air")


def test_a_velocity_is_no_redshift():
    with pytest.raises(ConfigError, match="given in km/s"):
        rest_frame_edges(EDGES, "air", z=1240.0, to_medium="air")


def test_refuses_media_and_edges_that_are_none():
    with pytest.raises(ConfigError, match="to_medium='glass'"):
        rest_frame_edges(EDGES, "air", z=0.1, to_medium="glass")
    with pytest.raises(ConfigError, match="medium='glass'"):
        rest_frame_edges(EDGES, "glass", z=0.1, to_medium="air")
    with pytest.raises(InputError, match="does not increase"):
        rest_frame_edges(EDGES[::-1], "air", z=0.1, to_medium="air")
