"""A file of settings to begin with, written from the settings themselves."""

from __future__ import annotations

import json
from typing import Any, Final, get_args, get_type_hints

import msgspec
from msgspec import NODEFAULT, Meta

from cubefit.galaxy.settings import TABLES, Table

HEAD: Final = """\
# Settings of a fit of stellar populations to orbits: run it with `cubefit run THIS_FILE`.
# A key behind a # has the value that stands there; where "default" is told, it is an example.
# Paths count from the folder of this file.
"""


def settings_template() -> str:
    """Return a commented TOML file with every key, its meaning and its default."""
    return HEAD + "".join(f"\n{table_template(name, table)}" for name, table in TABLES.items())


def table_template(name: str, table: Table) -> str:
    """Return one table of the file."""
    told = (table.__doc__ or "").strip()
    hints = get_type_hints(table, include_extras=True)
    lines = [f"# {told}", f"[{name}]"]
    for field in msgspec.structs.fields(table):
        meta = next(found for found in get_args(hints[field.name]) if isinstance(found, Meta))
        lines += [f"# {meta.description}", _assignment(field, meta)]
    return "\n".join(lines) + "\n"


def _assignment(field: Any, meta: Meta) -> str:
    if field.required:
        return f"{field.name} = {as_toml((meta.examples or [''])[0])}"
    default = field.default_factory() if field.default is NODEFAULT else field.default
    shown = (meta.examples or [""])[0] if default is None else default
    return f"#{field.name} = {as_toml(shown)}"


def as_toml(value: Any) -> str:
    """Return a value as TOML writes it; JSON does so for all but tables."""
    return "{}" if value == {} else json.dumps(value)
