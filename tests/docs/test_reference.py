"""The tables and lists of the documentation are those of the program."""

from __future__ import annotations

import re
import sys
from importlib import import_module

import h5py
import pytest

import cubefit
from cubefit.cli import app
from cubefit.pictures import KINDS
from cubefit.store.schema import FORMAT_VERSION, TABLE

from .pages import DOCS, PAGES, ROOT


def cells_of(line):
    return tuple(cell.strip().strip("`") for cell in line.strip("|\n").split(" | "))


def test_every_dataset_stands_in_the_table_of_the_file_format():
    lines = (DOCS / "file-format.md").read_text().splitlines()
    told = [cells_of(line) for line in lines if line.startswith("| `/") and line.count("|") == 7]
    due = [(e.path, " ".join(e.axes) or "scalar", e.dtype, e.unit, e.writer) for e in TABLE]
    assert [row[:5] for row in told] == due
    assert all(row[5] for row in told)


def test_the_version_of_the_format_is_told():
    assert f"It is version {FORMAT_VERSION} of the format" in (DOCS / "file-format.md").read_text()


def test_attributes_of_the_demo_are_told(demo_once):
    text = (DOCS / "file-format.md").read_text()
    with h5py.File(demo_once.fit.h5_path) as file:
        assert all(f"`{name}`" in text for name in file.attrs if not name.startswith("guard."))
        for path in ("HyperCube/models", "ModelCube", "R_T"):
            assert all(f"`{name}`" in text for name in file[path].attrs)
        for path in ("DataCube", "Fit/metrics/epoch", "X_global"):
            assert {"axes", "unit"} <= set(file[path].attrs)


def test_every_public_name_is_in_the_api():
    text = (DOCS / "api.md").read_text()
    missing = [n for n in cubefit.__all__ if not n.startswith("_") and f"cubefit.{n}" not in text]
    assert not missing


def test_every_name_in_the_api_exists():
    text = (DOCS / "api.md").read_text()
    for name in re.findall(r"auto(?:class|function):: (\S+)", text):
        module, _, attribute = name.rpartition(".")
        assert hasattr(import_module(module), attribute), name


@pytest.fixture
def make_commands(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    yield import_module("make_commands")
    sys.modules.pop("make_commands")


def test_every_verb_is_in_the_reference(make_commands, tmp_path):
    make_commands.write_page(tmp_path / "commands.md")
    text = (tmp_path / "commands.md").read_text()
    for command in app.registered_commands:
        assert f"## cubefit {command.name or command.callback.__name__}\n" in text
    assert "| `--regularization` | text | `0` |" in text
    assert "| `FILE` | path | required | CubeFit file. |" in text


def test_verbs_kinds_and_options_that_pages_name_exist(make_commands):
    verbs = make_commands.verbs()
    for page in PAGES:
        for verb, rest in re.findall(r"\bcubefit ([a-z]+)((?: [^`\n#]*)?)", code_of(page)):
            assert verb in verbs, f"{page.name}: cubefit {verb}"
            options = {row[0] for row in make_commands.rows_of(verbs[verb])}
            known = {part for row in options for part in re.findall(r"--?[a-z-]+", row)}
            asked = {a for a in re.findall(r" (--?[a-z-]+)", rest) if a != "--help"}
            assert asked <= known, f"{page.name}: cubefit {verb}{rest}"
            if verb == "plot" and (kind := rest.split()) and not kind[0].startswith("-"):
                assert kind[0] in {*KINDS, "all", "KIND"}, f"{page.name}: cubefit {verb}{rest}"


def code_of(page):
    """Return what stands in code on a page: blocks, and code in running text."""
    text = page.read_text()
    return "\n".join(
        [
            *re.findall(r"```bash\n(.*?)```", text, re.DOTALL),
            *re.findall(r"`(cubefit [^`]+)`", text),
        ]
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_linked_files_exist(page):
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text())
    local = [link.split("#")[0] for link in links if ":" not in link and not link.startswith("#")]
    made_at_build = ("_generated/",)
    missing = [
        link
        for link in local
        if not link.startswith(made_at_build) and not (page.parent / link).exists()
    ]
    assert not missing


def test_executed_notebooks_that_are_linked_have_sources():
    for page in PAGES:
        for name in re.findall(r"_generated/examples/([\w-]+)", page.read_text()):
            assert (ROOT / "examples" / f"{name}.ipynb").is_file(), page.name
