"""Every code block of the documentation runs, or says why not."""

from __future__ import annotations

import contextlib
import io
import linecache
import os
import signal
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
from tests.galaxy.mock import Sight, settings_text, write_mock

from .pages import CODE_LANGUAGES, PAGES, ROOT, RUN_LANGUAGES, blocks_of

FROM_NOTHING = ("README.md", "docs/quick-start.md")
"""Pages whose examples begin in an empty folder; the others in that of the demo."""
OF_FILES = "docs/your-files.md"
"""Its examples begin beside a mock galaxy's files."""
END = "--- end of block ---"


def name_of(page):
    return str(page.relative_to(ROOT))


class Shell:
    """One shell for the blocks of a page: it keeps variables and folder, and ends at an error."""

    def __init__(self, folder):
        self.folder = folder
        programs = folder / "programs"
        programs.mkdir()
        for name, module in (("cubefit", "-m cubefit"), ("dask", "-m dask"), ("python", "")):
            program = programs / name
            program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {module} "$@"\n')
            program.chmod(0o755)
        self.process = subprocess.Popen(
            ["bash", "-euo", "pipefail"],  # noqa: S607
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {"PATH": f"{programs}:{os.environ['PATH']}", "MPLBACKEND": "agg"},
            start_new_session=True,
        )

    def run(self, code):
        """Run one block; return what it printed, and whether it came to its end."""
        script = self.folder / "block.sh"
        script.write_text(code)
        self.process.stdin.write(f'source "{script}" < /dev/null\nprintf "\\n%s\\n" "{END}"\n')
        self.process.stdin.flush()
        lines = []
        for line in self.process.stdout:
            if line.strip() == END:
                return "".join(lines), True
            lines.append(line)
        return "".join(lines), False

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def shell(tmp_path_factory):
    made = Shell(tmp_path_factory.mktemp("shell"))
    yield made
    made.close()


def run_python(block, names):
    """Execute a block, so that tracebacks show the line of the page."""
    code = "\n" * (block.line - 1) + block.code
    linecache.cache[block.place] = (len(code), None, code.splitlines(keepends=True), block.place)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), mpl.rc_context({"backend": "agg"}):
        exec(compile(code, block.place, "exec"), names)  # noqa: S102 - our own text
    return printed.getvalue()


def blocks_to_run(page):
    return [b for b in blocks_of(page) if b.language in RUN_LANGUAGES and not b.reason]


@pytest.mark.parametrize("page", [p for p in PAGES if blocks_to_run(p)], ids=name_of)
def test_blocks_run(page, request, tmp_path, monkeypatch, shell):
    if name_of(page) in (*FROM_NOTHING, OF_FILES):
        monkeypatch.chdir(tmp_path)
        if name_of(page) == OF_FILES:
            write_mock(tmp_path, Sight())
            Path("galaxy.toml").write_text(settings_text(Sight()))
    else:
        request.getfixturevalue("demo_folder")
    names, printed = {"__name__": "__main__"}, {}
    shell.run(f'cd "{Path.cwd()}"')
    for block in blocks_to_run(page):
        if block.language == "python":
            printed[block.place] = run_python(block, names)
            continue
        printed[block.place], ended = shell.run(block.code)
        assert ended, f"{block.place}\n{printed[block.place]}"
    plt.close("all")
    if name_of(page) == "README.md":
        assert "Safe=True" in "".join(printed.values())
        assert Path("prefit_overlay.png").stat().st_size > 10_000
        assert names["stats"]["chi2_per_voxel"] < 1.1


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_code_is_run_or_says_why_not(page):
    wrong = [
        b.place
        for b in blocks_of(page)
        if b.language in CODE_LANGUAGES and b.language not in RUN_LANGUAGES and not b.reason
    ]
    assert not wrong, f"neither python nor bash, and no <!-- not run: reason -->: {wrong}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_fence_is_one_that_is_known(page):
    known = {*CODE_LANGUAGES, "text", "", "{toctree}", "{include}", "{eval-rst}"}
    assert {b.language for b in blocks_of(page)} <= known
    assert page.read_text().count("\n```") == 2 * len(blocks_of(page))


def test_a_reason_belongs_to_the_block_below_it(tmp_path):
    page = ROOT / "unwritten.md"

    class Text:
        def read_text(self):
            return (
                "<!-- not run: far away -->\n\ntext\n```python\na\n```\n"
                "<!-- not run: long -->\n<!-- mark -->\n```bash\nb\nc\n```\n"
            )

        def relative_to(self, root):
            return page.relative_to(root)

    first, second = blocks_of(Text())
    assert (first.language, first.code, first.reason, first.line) == ("python", "a\n", "", 5)
    assert (second.language, second.code, second.reason) == ("bash", "b\nc\n", "long")


def test_a_block_that_fails_is_found(shell):
    assert shell.run("a=1\necho $a\n") == ("1\n\n", True)
    assert shell.run("echo $((a + 1))\n") == ("2\n\n", True)
    printed, ended = shell.run("cubefit info nothing.h5\n")
    assert not ended
    assert "nothing.h5 does not exist" in printed
