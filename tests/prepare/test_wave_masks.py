import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubefit.errors import ConfigError
from cubefit.prepare.air import air_to_vacuum, vacuum_to_air
from cubefit.prepare.rest_frame import rest_frame_edges
from cubefit.prepare.wave_masks import (
    EMISSION_LINES,
    NAMES,
    SKY_LINES,
    TELLURIC_BANDS,
    line_mask,
)

C_KMS = 299_792.458
AIR = np.arange(3700.0, 9500.0, 0.5)


def test_emission_lines_are_masked_in_air_at_rest():
    use = line_mask(AIR, ["emission"], medium="air", width_kms=300.0)
    for wave in EMISSION_LINES.values():
        near = np.abs(AIR / wave - 1.0) * C_KMS
        assert not use[near < 299.0].any()
    nearest = np.min([np.abs(AIR / wave - 1.0) for wave in EMISSION_LINES.values()], axis=0) * C_KMS
    np.testing.assert_array_equal(
        use[np.abs(nearest - 300.0) > 2.0], (nearest > 300.0)[np.abs(nearest - 300.0) > 2.0]
    )


@given(z=st.floats(0.0, 0.4), names=st.lists(st.sampled_from(NAMES), unique=True))
def test_frames_and_media_agree(z, names):
    """A pixel is masked or not, whatever its wavelength is called."""
    settings = {"z": z, "lines": [(5183.6, 500.0)] if not names else []}
    air = AIR + 0.0137  # beside the round numbers at which bands end
    observed = line_mask(air, names, medium="air", **settings)
    at_rest = rest_frame_edges(air, "air", z=z, to_medium="air")
    rest = line_mask(at_rest, names, medium="air", frame="rest", **settings)
    # Centres just at the end of a range may fall on either side.
    assert (observed != rest).sum() <= 2
    if names:
        vacuum = line_mask(air_to_vacuum(air), names, medium="vacuum", **settings)
        assert (observed != vacuum).sum() <= 2


def test_the_galaxys_lines_move_and_the_skys_do_not():
    for z in (0.0, 0.02):
        at_line = vacuum_to_air(air_to_vacuum(6562.80) * (1.0 + z))
        assert not line_mask(np.array([at_line]), ["emission"], medium="air", z=z)[0]
        assert not line_mask(np.array(SKY_LINES), ["sky"], medium="air", z=z).any()
        assert line_mask(np.array([5200.0]), ["sky"], medium="air", z=z).all()
    rest = rest_frame_edges(np.array([5577.34, 5577.35]), "air", z=0.05, to_medium="vacuum")
    assert not line_mask(rest, ["sky"], medium="vacuum", z=0.05, frame="rest").any()


def test_sky_lines_have_a_width_of_their_own():
    off = np.array([5577.34 * (1.0 + 300.0 / C_KMS)])
    assert line_mask(off, ["sky"], medium="air", width_kms=1000.0).all()
    assert not line_mask(off, ["sky"], medium="air", sky_width_kms=400.0).any()


def test_bands_are_left_out_whole():
    use = line_mask(AIR, ["muse-laser"], medium="air")
    np.testing.assert_array_equal(use, (AIR < 5770.0) | (AIR > 6050.0))
    use = line_mask(AIR, ["telluric"], medium="air")
    outside = np.all([(low > AIR) | (high < AIR) for low, high in TELLURIC_BANDS], axis=0)
    assert (use != outside).sum() <= 4


def test_own_lines_are_in_the_medium_of_the_wavelengths():
    wave = np.array([5000.0, 5001.4, 5003.0])
    for medium in ("air", "vacuum"):
        use = line_mask(wave, [], medium=medium, lines=[(5000.0, 90.0)])
        assert use.tolist() == [False, False, True]


def test_nothing_named_leaves_everything():
    assert line_mask(AIR, [], medium="vacuum").all()


@pytest.mark.parametrize(
    ("names", "settings", "words"),
    [
        (["emision"], {}, "did you mean 'emission'"),
        (["xyz"], {}, "choose of emission, sky, telluric, muse-laser"),
        ([], {"frame": "moon"}, "frame='moon'"),
        ([], {"medium": "water"}, "medium='water'"),
        ([], {"z": -1.0}, "z=-1.0"),
        ([], {"width_kms": 0.0}, "width_kms=0.0"),
        ([], {"sky_width_kms": np.nan}, "sky_width_kms=nan"),
        ([], {"lines": [(5000.0, -3.0)]}, "half width in km/s"),
    ],
)
def test_refuses_what_it_does_not_know(names, settings, words):
    with pytest.raises(ConfigError, match=words):
        line_mask(AIR, names, **({"medium": "air"} | settings))
