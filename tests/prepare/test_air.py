import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubefit.errors import ConfigError, InputError
from cubefit.prepare.air import air_to_vacuum, in_medium, vacuum_to_air


def test_vacuum_to_air_agrees_with_known_lines():
    # H-beta and H-alpha as in the NIST tables.
    np.testing.assert_allclose(vacuum_to_air([4862.683, 6564.614]), [4861.325, 6562.801], atol=2e-3)
    np.testing.assert_allclose(air_to_vacuum([4861.325, 6562.801]), [4862.683, 6564.614], atol=2e-3)


@given(wave=st.lists(st.floats(2000.0, 50_000.0), min_size=1, max_size=20))
def test_there_and_back_is_where_it_was(wave):
    np.testing.assert_allclose(air_to_vacuum(vacuum_to_air(wave)), wave, rtol=1e-14)
    np.testing.assert_allclose(
        in_medium(in_medium(wave, "vacuum", "air"), "air", "vacuum"), wave, rtol=1e-14
    )


@given(wave=st.floats(2001.0, 50_000.0))
def test_air_wavelengths_are_the_shorter_ones(wave):
    assert vacuum_to_air(wave) < wave < air_to_vacuum(wave)


def test_the_same_medium_changes_nothing_even_in_the_far_ultraviolet():
    np.testing.assert_array_equal(in_medium([912.0, 5000.0], "air", "air"), [912.0, 5000.0])


def test_the_end_of_the_formula_can_be_reached_from_both_sides():
    assert air_to_vacuum(vacuum_to_air(2000.0)) == pytest.approx(2000.0, rel=1e-14)


@pytest.mark.parametrize("convert", [vacuum_to_air, air_to_vacuum])
@pytest.mark.parametrize("wave", [1500.0, np.nan, -1.0])
def test_ultraviolet_and_nonsense_are_refused(convert, wave):
    with pytest.raises(InputError, match="2000"):
        convert([wave])


@pytest.mark.parametrize(("have", "want"), [("air", "water"), (None, "air"), ("water", "water")])
def test_unknown_media_are_refused(have, want):
    with pytest.raises(ConfigError, match="'air' or 'vacuum'"):
        in_medium([5000.0], have, want)
