"""What the page on clusters quotes is what the program says."""

from __future__ import annotations

import contextlib
import io
import re

from .pages import DOCS, ROOT, blocks_of

PAGE = DOCS / "cluster.md"
SOURCES = ROOT / "src" / "cubefit" / "distributed"


def test_errors_in_the_table_are_those_of_the_sources():
    table = PAGE.read_text().split("| it says | mend |")[1].split("\n\n")[0]
    quoted = [
        q
        for row in table.splitlines()[2:]
        for q in re.findall(r"`([^`]+)`", row[: row.index(" | ")])
    ]
    joined = " ".join(
        re.sub(r'"\s*\n\s*f?"', "", file.read_text()) for file in sorted(SOURCES.glob("*.py"))
    )
    assert len(quoted) == 12
    assert not [words for words in quoted if words not in joined]


def test_memory_of_the_worked_example_is_what_the_page_prints():
    blocks = blocks_of(PAGE)
    number = next(i for i, block in enumerate(blocks) if "bytes_of_shares" in block.code)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(blocks[number].code, {})  # noqa: S102 - our own text
    assert printed.getvalue() == blocks[number + 1].code
