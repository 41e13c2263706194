"""The notebooks run, and are committed without outputs."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from .pages import DOCS, ROOT

NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
EXECUTED = DOCS / "_generated" / "examples"


def test_there_are_two():
    assert [n.stem for n in NOTEBOOKS] == ["orbit-library-to-figure", "quick-start"]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda n: n.stem)
def test_no_outputs_are_committed(notebook):
    content = json.loads(notebook.read_text())
    for cell in content["cells"]:
        assert not cell.get("outputs"), cell["source"]
        assert cell.get("execution_count") is None
    assert set(content["metadata"]) == {"kernelspec", "language_info"}


@pytest.fixture(scope="module")
def executed():
    """Execute what is not up to date, into the place that the documentation takes it from.

    In a process of its own: what the kernel's machinery deprecates is not for us to mend.
    """
    program = DOCS / "run_notebooks.py"
    done = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return {n.stem: json.loads((EXECUTED / n.name).read_text()) for n in NOTEBOOKS}


def outputs_of(notebook):
    return [output for cell in notebook["cells"] for output in cell.get("outputs", [])]


@pytest.mark.parametrize("name", [n.stem for n in NOTEBOOKS])
def test_it_runs_without_warnings(executed, name):
    outputs = outputs_of(executed[name])
    assert outputs
    wrong = [o for o in outputs if o["output_type"] == "error" or o.get("name") == "stderr"]
    assert not wrong


def test_pictures_are_shown(executed):
    shown = {
        name: sum("image/png" in o.get("data", {}) for o in outputs_of(notebook))
        for name, notebook in executed.items()
    }
    assert shown == {"orbit-library-to-figure": 1, "quick-start": 3}


def test_the_figure_recovers_the_truth(executed):
    text = "".join(
        "".join(o.get("text", "")) for o in outputs_of(executed["orbit-library-to-figure"])
    )
    errors = [float(line.split()[-2]) for line in text.splitlines() if "rms error" in line]
    assert len(errors) == 2
    assert max(errors) < 0.1
