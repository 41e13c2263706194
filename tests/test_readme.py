"""The README keeps its word: its code runs, its commands are those that CI runs."""

from __future__ import annotations

import re
from pathlib import Path

README = (Path(__file__).parent.parent / "README.md").read_text()


def test_quick_start_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {}
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(compile(code, "README.md", "exec"), names)  # noqa: S102 - our own text
    assert "Safe=True" in capsys.readouterr().out
    assert Path("prefit_overlay.png").stat().st_size > 10_000
    assert names["stats"]["chi2_per_voxel"] < 5


def test_two_commands_stand_between_the_marks_that_ci_reads():
    block = README.split("<!-- two commands -->")[1].split("<!-- end -->")[0]
    commands = [line for line in block.splitlines() if line.startswith("pip install")]
    assert commands == [
        'pip install ".[demo]" && cubefit demo',
        'pip install ".[test]" && pytest',
    ]


def test_linked_files_exist():
    root = Path(__file__).parent.parent
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    assert all((root / link).exists() for link in links)
