"""``cubefit plot``: pictures on disk, and one sentence for an error."""

import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from cubefit import cli
from cubefit.cli.plot import numbers_of
from cubefit.errors import ConfigError
from cubefit.pictures import KINDS
from cubefit.pipeline_runner import PipelineRunner


@pytest.fixture(scope="module")
def fitted(make_problem, tmp_path_factory):
    y, x = np.indices((1, 7)).reshape(2, -1)
    path = make_problem(
        xpix=x,
        ypix=y,
        binnum=np.arange(7),
        template_axes={"metallicity": [-1.0, 0.2], "age": [1.0, 3.0, 10.0], "alpha": [0.0, 0.4]},
        component_properties={"radius [kpc]": np.arange(1.0, 6.0)},
    ).populate(tmp_path_factory.mktemp("fitted") / "cube.h5")
    PipelineRunner(path).solve_all(epochs=1, verbose=False)
    return path


def run(*arguments, **options):
    return CliRunner().invoke(cli.app, ["plot", *map(str, arguments)], **options)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("age-map", ["--components", "0,2-3", "--pixel-unit", "kpc", "--width", "4"]),
        ("velocity-map", ["--ages", "0.5,4", "--metals", "-1.5,0.5"]),
        ("spectra", ["--spaxels", "1,3"]),
        ("trends", ["--property", "radius", "--by", "light"]),
    ],
)
def test_a_picture_is_written_and_named(fitted, tmp_path, kind, options):
    out = tmp_path / "picture.png"
    result = run(kind, fitted, "-o", out, *options)
    assert result.output == f"{out}\n"
    with Image.open(out) as image:
        image.load()
        if "--width" in options:
            assert image.size[0] == 800


def test_the_suffix_is_the_format(fitted, tmp_path):
    for suffix, start in ((".pdf", b"%PDF"), (".svg", b"<?xml")):
        out = tmp_path / f"gap{suffix}"
        assert run("convergence", fitted, "--out", out).exit_code == 0
        assert out.read_bytes().startswith(start)


def test_all_of_them_and_why_some_are_missing(fitted, tmp_path, monkeypatch):
    def save(figure, path):
        assert figure.axes
        path.touch()
        return path

    monkeypatch.setattr("cubefit.report.save_figure", save)
    result = run("all", fitted, "-o", tmp_path / "new" / "folder", "--json")
    told = json.loads(result.output)
    names = {path.stem for path in (tmp_path / "new" / "folder").iterdir()}
    assert names | set(told["missing"]) == set(KINDS)
    assert set(told["missing"]) == {"mass-map", "component-masses"}
    assert len(told["written"]) == len(names)
    lines = run("all", fitted, "-o", tmp_path / "again").output.splitlines()
    assert any(line.startswith("mass-map: none. ") for line in lines)


def test_kinds_are_listed_and_in_the_help():
    listed = run("--list").output
    told = " ".join(run("--help", env={"COLUMNS": "200"}).output.split())
    for kind in [*KINDS, "all"]:
        assert any(line.split()[0] == kind for line in listed.splitlines() if line.split())
        assert kind in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonsense", "-o", "a.png"], "There is no picture 'nonsense'"),
        (["maps", "-o", "a.gif"], "end its name in .png, .pdf, .svg"),
        (["maps", "-o", "none/a.png"], "create the folder none first"),
        (["maps", "-o", "/proc/a.png"], "Error: /proc/a.png cannot be written ("),
        (["maps", "-o", "a.png", "--components", "3-1"], "such as 0,3-5"),
        (["maps", "-o", "a.png", "--ages", "3"], "--ages 3: give both ends of a range"),
        (["maps", "-o", "a.png", "--metals", "a,b"], "--metals a,b: give both ends of a range"),
        (["maps", "-o", "a.png", "--spaxels", "1"], "does not heed spaxels"),
        (["mass-map", "-o", "a.png"], "does not know the mass of its templates"),
    ],
)
def test_errors_are_one_sentence(fitted, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    kind, *options = arguments
    result = run(kind, fitted, *options)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "numbers"), [(None, None), ("4", (4,)), ("0,3-5", (0, 3, 4, 5)), (" 1 , 1-2", (1, 2))]
)
def test_numbers_and_ranges(text, numbers):
    assert numbers_of("--components", text) == numbers


@pytest.mark.parametrize("text", ["", "a", "1,", "-1", "3-1", "1.5", "²", "0-999999999999"])
def test_what_is_no_number_is_refused(text):
    with pytest.raises(ConfigError, match=r"--spaxels .*: give numbers and ranges"):
        numbers_of("--spaxels", text)
