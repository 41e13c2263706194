"""The command line: what it prints, and one sentence for an error."""

from __future__ import annotations

import sys

import pytest
from typer.testing import CliRunner

from cubefit import __version__, cli
from cubefit.cli import root
from cubefit.errors import InputError


def run_main(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["cubefit", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return stop.value.code


def test_demo_prints_a_summary(tmp_path):
    result = CliRunner().invoke(cli.app, ["demo", "--out", str(tmp_path / "out"), "--quiet"])
    assert result.exit_code == 0
    for words in ("chi2 per voxel", "mass error", "mean age", "cube.h5", "spectra.png"):
        assert words in "".join(result.output.split("│"))
    assert (tmp_path / "out" / "masses.png").is_file()


def test_version():
    assert CliRunner().invoke(cli.app, ["--version"]).output == f"cubefit {__version__}\n"


def test_unknown_size_is_refused_with_the_choices():
    result = CliRunner().invoke(cli.app, ["demo", "--size", "huge"])
    assert result.exit_code == 2
    assert "small" in result.output


def test_error_is_one_sentence_without_traceback(monkeypatch, capsys):
    def refuse(*_args, **_options):
        raise InputError('losvd [/x] needs: pip install "cubefit[demo]" .' + 90 * " and more")

    monkeypatch.setattr("cubefit.demo.run_demo", refuse)
    assert run_main(monkeypatch, "demo") == root.EXIT_ERROR
    printed = capsys.readouterr().err
    assert printed.startswith('Error: losvd [/x] needs: pip install "cubefit[demo]" .')
    assert printed.count("\n") == 1


def test_refusal_of_the_system_is_one_sentence(monkeypatch, capsys, tmp_path):
    (tmp_path / "file").write_text("")
    assert run_main(monkeypatch, "demo", "--out", str(tmp_path / "file")) == root.EXIT_ERROR
    printed = capsys.readouterr().err
    assert printed.startswith("Error: ")
    assert "File exists" in printed.replace("\n", " ")


def test_interrupt_has_its_own_exit_code(monkeypatch, capsys):
    def interrupt(*_args, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("cubefit.demo.run_demo", interrupt)
    assert run_main(monkeypatch, "demo") == root.EXIT_INTERRUPTED == 130
    assert "built tiles are kept" in capsys.readouterr().err
