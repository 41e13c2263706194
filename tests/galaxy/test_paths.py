"""A run never writes over what it reads."""

from __future__ import annotations

import pytest

from cubefit.errors import ConfigError
from cubefit.galaxy import run_galaxy
from cubefit.galaxy.paths import require_apart
from cubefit.galaxy.settings_file import read_settings

SETTINGS = """
[galaxy]
out = "{out}"
[cube]
path = "{cube}"
[orbits]
path = "{orbits}"
[ssp]
path = "{ssp}"
"""


@pytest.fixture
def settings(tmp_path):
    (tmp_path / "ssp").mkdir()

    def settings(out="out", cube="cube.fits", orbits="o.npz", ssp="ssp"):
        path = tmp_path / "galaxy.toml"
        path.write_text(SETTINGS.format(out=out, cube=cube, orbits=orbits, ssp=ssp))
        return read_settings(path)

    return settings


def test_other_names_and_other_folders_pass(settings):
    require_apart(settings())
    require_apart(settings(out="."))
    require_apart(settings(out="ssp/made"))


@pytest.mark.parametrize(
    "named",
    [
        {"out": ".", "orbits": "orbits.npz"},
        {"out": ".", "cube": "cube.h5"},
        {"cube": "out/products/cube.fits"},
        {"orbits": "ssp/../out/orbits.npz"},
    ],
)
def test_inputs_that_would_be_replaced_are_refused(settings, named):
    with pytest.raises(ConfigError, match="would be replaced"):
        require_apart(settings(**named))


def test_links_are_followed(settings, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(ConfigError, match="would be replaced"):
        require_apart(settings(out="link", orbits="orbits.npz"))


def test_the_orbits_are_as_they_were_after_a_run_that_was_refused(files, tmp_path):
    before = (tmp_path / "orbits.npz").read_bytes()
    with pytest.raises(ConfigError, match="would be replaced"):
        run_galaxy(files(out=('out = "out"', 'out = "."')), verbose=False)
    assert (tmp_path / "orbits.npz").read_bytes() == before
