import numpy as np
import pytest

from cubefit.errors import InputError
from cubefit.results.axes import axes_of, properties_of


@pytest.mark.parametrize(
    ("given", "ours"),
    [
        (["metallicity", "age", "alpha"], ["metal", "age", "alpha"]),
        (["Metals", "AGES", "[alpha/Fe]"], ["metal", "age", "alpha"]),
        (["Z", "age", "imf_slope"], ["Z", "age", "imf_slope"]),
        (["age", "ages", "component"], ["age", "ages", "template_component"]),
    ],
)
def test_names(given, ours):
    axes = axes_of({name: [1.0, 2.0] for name in given})
    assert [axis.name for axis in axes] == ours


def test_units():
    axes = axes_of({"metals": [0.0], "age": [1.0], "imf": [1.3]})
    assert [axis.unit for axis in axes] == ["dex", "Gyr", ""]
    found = properties_of(axes)
    assert [(p.unit, p.long_name) for p in found.values()] == [
        ("dex", "[M/H]"),
        ("dex", "log10(age / Gyr)"),
        ("", "imf"),
    ]


def test_populations_run_in_c_order():
    found = properties_of(axes_of({"metal": [-1.0, 0.0], "age": [1.0, 10.0, 0.1]}))
    np.testing.assert_array_equal(found["metal"].values, [-1, -1, -1, 0, 0, 0])
    np.testing.assert_allclose(found["log_age"].values, [0, 1, -1, 0, 1, -1])


def test_no_axes_no_properties():
    assert properties_of(axes_of({})) == {}


@pytest.mark.parametrize("age", [0.0, -1.0])
def test_ages_without_logarithm_are_refused(age):
    with pytest.raises(
        InputError, match=rf"down to {age:g}: mean ages need ages above zero in Gyr"
    ):
        properties_of(axes_of({"age": [age, 1.0]}))
