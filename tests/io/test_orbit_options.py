import inspect
from pathlib import Path

import numpy as np
import pytest

from cubefit.errors import ConfigError
from cubefit.io.agama import orbits_from_agama
from cubefit.io.dynamite import read_dynamite
from cubefit.io.orbit_options import OPTIONS, require_options
from cubefit.io.orbits import orbit_files, read_orbits
from cubefit.prepare.bundles import BundleBins


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"kinematic": 1}, "no option 'kinematic'; did you mean 'kinematics'?"),
        ({"xyz": 1}, "no option 'xyz'; choose one of config, sets, kinematics"),
        ({"velocity_scale": "1.1"}, "velocity_scale = '1.1': give a factor above 0"),
        ({"velocity_scale": 0.0}, "velocity_scale = 0.0: give a factor above 0"),
        ({"kinematics": 0.0}, "kinematics = 0.0: give the place, from 0, or the name"),
        ({"kinematics": True}, "kinematics = True: give the place, from 0, or the name"),
        ({"zero_ends": "no"}, "zero_ends = 'no': give true or false"),
        ({"flip_tubes": 1}, "flip_tubes = 1: give true or false"),
        ({"config": 3}, "config = 3: give the path of DYNAMITE's configuration file"),
    ],
)
@pytest.mark.parametrize("read", [read_orbits, orbit_files])
def test_mistyped_options_are_refused_before_anything_is_read(tmp_path, read, options, told):
    with pytest.raises(ConfigError) as error:
        read(tmp_path, **{"config": "c.yaml"} | options)
    assert told in str(error.value)
    assert str(error.value).startswith(str(tmp_path))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"negative": "drop"}, "give 'refuse' or 'zero'"),
        ({"vel_edges": ["a"]}, "give rising edges of velocity bins"),
        ({"x_points_left": "yes"}, "give true or false"),
        ({"degree": 2}, "have no option 'degree'; "),
    ],
)
def test_those_of_agama_too(options, told):
    with pytest.raises(ConfigError, match=told):
        require_options(options, "agama", "orbits.npz")


def test_what_python_has_for_them_passes():
    require_options(
        {
            "config": Path("c.yaml"),
            "kinematics": np.int64(1),
            "velocity_scale": np.float32(1.1),
            "weights": np.ones(3),
            "bundle": BundleBins(radius=2, circularity=2),
        },
        "dynamite",
        "model",
    )
    require_options({"vel_edges": np.arange(5), "velocity_scale": 1}, "agama", "orbits.npz")
    require_options({}, "npz", "orbits.npz")


@pytest.mark.parametrize(
    ("format", "reader"), [("dynamite", read_dynamite), ("agama", orbits_from_agama)]
)
def test_the_readers_have_them_all(format, reader):  # noqa: A002
    known = inspect.signature(reader).parameters
    for name in OPTIONS[format].__struct_fields__:
        assert known[name].default == getattr(OPTIONS[format](), name)
