"""What people read: times, sizes, numbers, and small tables in notebooks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from html import escape
from typing import Final

TIMES: Final = ((120, "s", 1), (7200, "min", 60), (172_800, "h", 3600))
"""Largest value, name and length in seconds of each unit below days."""
SIZES: Final = ((1e6, "kB", 1e3), (1e9, "MB", 1e6), (1e12, "GB", 1e9))
"""Likewise in bytes, below terabytes."""


def duration(seconds: float) -> str:
    """Return a time for people; a dash where it is not known."""
    if not seconds >= 0:
        return "-"
    for limit, unit, length in TIMES:
        if seconds < limit:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds / 86_400:.1f} d"


def size(n_bytes: float) -> str:
    """Return a number of bytes for people."""
    for limit, unit, length in SIZES:
        if n_bytes < limit:
            return f"{n_bytes / length:.3g} {unit}"
    return f"{n_bytes / 1e12:.3g} TB"


def number(value: float) -> str:
    """Return a number, or a dash where it is not known."""
    return f"{value:.5g}" if math.isfinite(value) else "-"


def html_table(caption: str, rows: Iterable[tuple[str, str]]) -> str:
    """Return names and texts as an HTML table; whatever they hold is shown as it is."""
    lines = "".join(
        f'<tr><th style="text-align:left">{escape(name)}</th>'
        f'<td style="text-align:left">{escape(text)}</td></tr>'
        for name, text in rows
    )
    return f"<table><caption>{escape(caption)}</caption>{lines}</table>"
