"""Names of the template axes."""

from __future__ import annotations

from typing import Final

ALIASES: Final = {
    "metal": ("metal", "metals", "metallicity", "[m/h]", "m/h", "mh"),
    "age": ("age", "ages"),
    "alpha": ("alpha", "alphas", "[alpha/fe]", "alpha/fe", "[a/fe]"),
}
"""Our names of axes, and what files call them; case does not count."""


def our_name(axis: str) -> str:
    """Return our name of a template axis, the given one where we have none."""
    return next((ours for ours, known in ALIASES.items() if axis.lower() in known), axis)
