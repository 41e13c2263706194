"""``cubefit check``: table, JSON, exit codes."""

from __future__ import annotations

import json
import sys

import h5py
import pytest
from typer.testing import CliRunner

from cubefit import cli
from cubefit.cli import root
from cubefit.errors import StoppedError
from cubefit.hypercube_builder import build_hypercube
from cubefit.store.compress import compress_hypercube

MODELS = "/HyperCube/models"


def run(*arguments):
    return CliRunner().invoke(cli.app, ["check", *map(str, arguments)])


def told(result):
    """The text of a table without its frame, in one line."""
    return " ".join(result.output.replace("│", " ").split())


@pytest.fixture
def damaged(built):
    with h5py.File(built, "r+") as file:
        file[MODELS][0, 0, 0, 0] += 1.0
        file[MODELS][6, 4, 11, 39] += 1.0
    return built


def test_a_clean_file(built):
    result = run(built)
    assert result.exit_code == 0
    for words in ("schema", "ok", "truncation", "warning", "skipped", "All 27 tiles are what was"):
        assert words in told(result)


def test_a_damaged_file(damaged):
    result = run(damaged, "--quiet", "--models", 0)
    assert result.exit_code == root.EXIT_FOUND == 3
    assert "2 of 27 done tiles" in told(result)
    assert result.stderr == ""


def test_quick(damaged):
    result = run(damaged, "--quick", "--models", 0)
    assert result.exit_code == 0
    assert "Tiles were not read" in told(result)


def test_json(damaged):
    result = run(damaged, "--json", "--quiet", "--models", 0)
    assert result.exit_code == root.EXIT_FOUND
    report = json.loads(result.stdout)
    assert set(report) == {"file", "passed", "findings", "damaged_tiles", "forgotten"}
    assert report["file"] == str(damaged)
    assert report["passed"] is False
    assert report["damaged_tiles"] == [[0, 0, 0], [2, 2, 2]]
    assert report["forgotten"] == 0
    assert {frozenset(f) for f in report["findings"]} == {frozenset({"name", "state", "detail"})}
    assert {f["name"]: f["state"] for f in report["findings"]}["tiles"] == "failed"


def test_json_of_a_clean_file(built):
    result = run(built, "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["passed"] is True


@pytest.mark.parametrize("as_json", [False, True])
def test_forgetting_damaged_tiles(damaged, built_once, as_json):
    result = run(damaged, "--forget-damaged", "--quiet", *(["--json"] if as_json else []))
    assert result.exit_code == root.EXIT_FOUND
    if as_json:
        assert json.loads(result.stdout)["forgotten"] == 2
    else:
        assert "2 tiles are marked as not done: run build_hypercube" in result.output
    assert run(damaged, "--quiet").exit_code == 0
    assert build_hypercube(damaged, verbose=False).tiles_built == 2
    assert damaged.read_bytes() == built_once.read_bytes()


def test_forgetting_where_nothing_is_damaged(built, built_once):
    assert run(built, "--forget-damaged").exit_code == 0
    assert built.read_bytes() == built_once.read_bytes()


def test_forgetting_needs_every_tile_read(built):
    result = run(built, "--forget-damaged", "--quick")
    assert result.exit_code == 2
    assert "drop --quick" in told(result)


def run_main(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["cubefit", "check", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return stop.value.code


def test_tiles_of_a_compressed_cube_cannot_be_forgotten(built, monkeypatch, capsys):
    compress_hypercube(built)
    with h5py.File(built, "r+") as file:
        file[MODELS][0, 0, 0, 0] += 1.0
    assert run_main(monkeypatch, built, "--forget-damaged", "--quiet") == root.EXIT_ERROR
    printed = capsys.readouterr()
    assert "tiles" in printed.out
    assert "is compressed" in printed.err
    assert "overwrite=True" in printed.err


def test_a_missing_file_is_an_error(monkeypatch, capsys, tmp_path):
    assert run_main(monkeypatch, tmp_path / "none.h5") == root.EXIT_ERROR
    assert capsys.readouterr().err.startswith("Error: ")


@pytest.mark.parametrize(
    ("stop", "code"),
    [(KeyboardInterrupt(), root.EXIT_INTERRUPTED), (StoppedError("Stopping."), 75)],
)
def test_stopping_has_its_own_exit_codes(monkeypatch, capsys, stop, code):
    def interrupt(*_args, **_options):
        raise stop

    monkeypatch.setattr("cubefit.file_check.check_file", interrupt)
    assert run_main(monkeypatch, "cube.h5") == code
