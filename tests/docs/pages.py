"""The pages of the documentation, and the code blocks on them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.glob("*.md")])
RUN_LANGUAGES = ("python", "bash")
CODE_LANGUAGES = (*RUN_LANGUAGES, "console", "sh", "shell", "py", "pycon", "ipython", "ipython3")

FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<code>.*?)^```[ ]*$", re.DOTALL | re.MULTILINE)
COMMENTS = re.compile(r"(?:^<!--[^\n]*-->\n)+\Z", re.MULTILINE)
REASON = re.compile(r"<!-- not run: (.+) -->")


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced block."""

    page: Path
    line: int
    """Of the first line of its code in the page."""
    language: str
    code: str
    reason: str
    """Why it is not run; empty where it is."""

    @property
    def place(self):
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks_of(page):
    """Return the fenced blocks of a page, with what the comments right above them say."""
    text = page.read_text()
    found = []
    for match in FENCE.finditer(text):
        comments = COMMENTS.search(text[: match.start()])
        reason = REASON.search(comments[0]) if comments else None
        found.append(
            Block(
                page=page,
                line=text.count("\n", 0, match.start("code")) + 1,
                language=match["info"].strip().split(" ")[0],
                code=match["code"],
                reason=reason[1] if reason else "",
            )
        )
    return found
