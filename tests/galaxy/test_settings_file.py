"""Settings from TOML: what is right comes through, what is wrong is named with its mend."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from cubefit.errors import ConfigError
from cubefit.galaxy.settings import TABLES, PictureKind
from cubefit.galaxy.settings_file import as_tables, read_settings
from cubefit.galaxy.template import as_toml, settings_template
from cubefit.pictures import KINDS

LEAST = """
[galaxy]
out = "made"
[cube]
path = "cube.fits"
[orbits]
path = "~/orbits.npz"
[ssp]
path = "/data/emiles"
"""


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "galaxy.toml"
        path.write_text(text)
        return path

    return write


def test_paths_count_from_the_folder_of_the_file(write, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    found = read_settings(write(LEAST + '[bins]\npath = "bins.dat"\n'))
    assert found.galaxy.out == str(tmp_path / "made")
    assert found.cube.path == str(tmp_path / "cube.fits")
    assert found.bins.path == str(tmp_path / "bins.dat")
    assert found.orbits.path == "/home/someone/orbits.npz"
    assert found.ssp.path == "/data/emiles"


def test_files_named_in_other_places_count_from_there_too(write, tmp_path):
    text = LEAST.replace("[orbits]", 'lsf = "lsf.txt"\n[orbits]\noptions = {config = "d.yaml"}')
    found = read_settings(write(text))
    assert found.cube.lsf == str(tmp_path / "lsf.txt")
    assert found.orbits.options == {"config": str(tmp_path / "d.yaml")}
    assert (
        read_settings(write(LEAST.replace("[orbits]", 'lsf = "muse"\n[orbits]'))).cube.lsf == "muse"
    )


def test_whole_numbers_pass_for_real_ones(write):
    found = read_settings(write(LEAST + "[fit]\nregularization = 1\n"))
    assert found.fit.regularization == 1.0


def line_above(text, table, key):
    lines = text.split(f"[{table}]\n")[1].splitlines()
    place = next(n for n, line in enumerate(lines) if re.match(rf"#?{key} = ", line))
    return lines[place - 1]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            LEAST + "[products]\npictures = ['map']\n",
            "products.pictures[0]: invalid enum value 'map'; did you mean 'maps'? Else choose of",
        ),
        (
            LEAST.replace("[orbits]", "wave_range = [480, 700]\n[orbits]"),
            "give Angstrom, from 1000",
        ),
        ("[cub]\n", "there is no table [cub]; did you mean 'cube'?"),
        ("[xyz]\n", "there is no table [xyz]; choose one of galaxy, cube"),
        ("galaxy = 1\n", "galaxy is a table: write [galaxy] and its keys below"),
        (
            "[cube]\nwav_range = [1, 2]\n",
            "[cube] has no key 'wav_range'; did you mean 'wave_range'?",
        ),
        ("[galaxy]\nout = 'a'\n", "the table [cube] is missing: add it"),
        (LEAST.replace('out = "made"', ""), "[galaxy] lacks out: give it"),
        (
            LEAST + "[fit]\nmethod = 'best'\n",
            "fit.method: invalid enum value 'best'; choose of exact, kaczmarz.",
        ),
        (
            LEAST.replace("[orbits]", "masks = ['gas']\n[orbits]"),
            "choose of emission, sky, telluric, muse-laser",
        ),
        (LEAST.replace("[cube]", "redshift = 2998\n[cube]"), "give z, not km/s"),
        (LEAST.replace("[orbits]", "LSF = 2\n[orbits]"), "did you mean 'lsf'?"),
        (LEAST + "[fit]\nepochs = 0\n", "fit.epochs: expected `int` >= 1"),
        (LEAST + "[fit]\nbuild = 1\n", "fit.build: expected `bool`, got `int`"),
        (LEAST + "[fit]\nregularization = -1\n", "regularization=-1.0: give a finite number"),
        (LEAST + "[fit]\nratio_weight = nan\n", "fit.ratio_weight = nan: give a finite number"),
        (LEAST + "[cube]\n", "is no TOML"),
        (LEAST.replace("[ssp]", "lsf = 0\n[ssp]"), "[orbits] has no key 'lsf'"),
        (LEAST.replace("[orbits]", "lsf = 0\n[orbits]"), "cube.lsf = 0.0: give a FWHM above 0"),
        (
            LEAST.replace("[orbits]", "wave_range = [6000, 5000]\n[orbits]"),
            "cube.wave_range = [6000.0, 5000.0]: give the lower first",
        ),
        (LEAST.replace("[orbits]", "wave_range = [6000]\n[orbits]"), "cube.wave_range: expected"),
        (LEAST.replace("[ssp]", "radius = [0, 1]\n[ssp]"), "go together: give both"),
        (LEAST.replace("[ssp]", "radius = 1\nmapping = 'm'\n[ssp]"), "both bundle: give one"),
        (LEAST.replace("[orbits]", "wave_range = [0.5, 0.7]\n[orbits]"), "give Angstrom"),
        (LEAST.replace('"made"', '""'), "'' in the settings in"),
        (LEAST.replace('"made"', '"a\\u0000b"'), "is no path: name one"),
        (LEAST.replace("~/", "~no-such-user/"), "there is no such user"),
        (LEAST.replace("[ssp]", "options = {format = 'npz'}\n[ssp]"), "orbits.options.format"),
        (LEAST.replace("[ssp]", "options = {config = 3}\n[ssp]"), "give a path in quotes"),
        (LEAST.replace("[ssp]", "radius = [1, 1]\n[ssp]"), "give two or more, rising"),
    ],
)
def test_wrong_settings_are_refused_with_their_place(write, text, told):
    path = write(text)
    with pytest.raises(ConfigError) as refused:
        read_settings(path)
    assert told in str(refused.value)


def test_pictures_are_those_that_there_are():
    assert get_args(PictureKind) == tuple(KINDS)


def test_a_byte_order_mark_is_no_error(tmp_path):
    path = tmp_path / "galaxy.toml"
    path.write_bytes(b"\xef\xbb\xbf" + LEAST.encode())
    assert read_settings(path).cube.path == str(tmp_path / "cube.fits")


def test_a_file_that_is_not_there_says_how_to_begin(tmp_path):
    with pytest.raises(ConfigError, match="cubefit init"):
        read_settings(tmp_path / "none.toml")


def test_the_template_explains_every_key_and_is_valid(write):
    text = settings_template()
    found = read_settings(write(text))
    for name, table in TABLES.items():
        part = text.split(f"[{name}]")[1].split("\n[")[0]
        for field in msgspec.structs.fields(table):
            assert f"\n{field.name} = " in part or f"\n#{field.name} = " in part
    assert as_tables(found)["fit"] == msgspec.to_builtins(TABLES["fit"]())


def test_the_keys_behind_a_hash_have_the_value_that_stands_there(write):
    text = settings_template()
    bare = re.sub(r"^#(\w)", r"\1", text, flags=re.MULTILINE)
    shown = tomllib.loads(bare)
    held = as_tables(read_settings(write(text)))
    for name, table in shown.items():
        for key, value in table.items():
            if "default" not in line_above(text, name, key).lower():
                told = Path(held[name][key]).name if key in {"out", "path"} else held[name][key]
                assert as_toml(told) == as_toml(value)


def test_all_that_the_template_shows_is_valid_together(write):
    text = re.sub(r"^#(\w)", r"\1", settings_template(), flags=re.MULTILINE)
    found = read_settings(write(text.replace('mapping = "mapping.txt"', "")))
    assert found.cube.wave_range == (4750.0, 7000.0)
    assert found.orbits.circularity[0] == -1.0
