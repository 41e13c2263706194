"""The README names the commands that CI runs."""

from __future__ import annotations

from .pages import ROOT


def test_two_commands_stand_between_the_marks_that_ci_reads():
    readme = (ROOT / "README.md").read_text()
    block = readme.split("<!-- two commands -->")[1].split("<!-- end -->")[0]
    commands = [line for line in block.splitlines() if line.startswith("pip install")]
    assert commands == [
        'pip install ".[demo]" && cubefit demo',
        'pip install ".[test]" && pytest',
    ]
