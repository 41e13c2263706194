"""The reference of the command line, made of the verbs themselves."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from typer.models import ArgumentInfo, OptionInfo

from cubefit.cli import app
from cubefit.cli.root import ORDER

Verb = Callable[..., Any]


def verbs() -> dict[str, Verb]:
    """Return the function of every verb by its name, in the order of the help."""
    found = {}
    for command in app.registered_commands:
        verb = cast("Verb", command.callback)
        found[command.name or verb.__name__.replace("_", "-")] = verb
    place = {name: number for number, name in enumerate(ORDER)}
    return dict(sorted(found.items(), key=lambda item: place.get(item[0], len(place))))


def values_of(kind: Any) -> str:
    """Return what a parameter takes, in words."""
    if get_origin(kind) is Literal:
        return ", ".join(map(str, get_args(kind)))
    if get_origin(kind) is list:
        return f"{values_of(get_args(kind)[0])}, repeatable"
    if get_origin(kind) in (UnionType, Union):
        return values_of(next(k for k in get_args(kind) if k is not NoneType))
    names = {bool: "flag", int: "whole number", float: "number", str: "text", Path: "path"}
    return names[kind]


def spellings_of(name: str, info: OptionInfo) -> list[str]:
    """Return how an option is written; Typer keeps the first spelling of it as a default."""
    given = [s for s in (info.default, *(info.param_decls or ())) if str(s).startswith("-")]
    return given or [f"--{name.replace('_', '-')}"]


def rows_of(verb: Verb) -> Iterator[tuple[str, str, str, str]]:
    """Yield name, values, default and help of every parameter of a verb."""
    hints = get_type_hints(verb, include_extras=True)
    for name, parameter in inspect.signature(verb).parameters.items():
        kind, info = get_args(hints[name])[:2]
        if isinstance(info, ArgumentInfo):
            told = f"`{name.upper()}`"
        else:
            told = ", ".join(f"`{spelling}`" for spelling in spellings_of(name, info))
        default = "" if parameter.default in (None, False) else f"`{parameter.default}`"
        if parameter.default is parameter.empty:
            default = "required"
        yield told, values_of(kind), default, (info.help or "").replace("|", "\\|")


def section_of(name: str, verb: Verb) -> str:
    """Return what there is to say of one verb, as Markdown."""
    *paragraphs, example = inspect.cleandoc(verb.__doc__ or "").split("\n\n")
    lines = [
        f"## cubefit {name}",
        "",
        "\n\n".join(" ".join(p.split()) for p in paragraphs).replace("<", "\\<"),
        "",
    ]
    lines += ["```text", example.removeprefix("Example: "), "```", ""]
    lines += ["| | takes | default | |", "|---|---|---|---|"]
    lines += [f"| {' | '.join(row)} |" for row in rows_of(verb)]
    return "\n".join(lines)


def write_page(path: Path) -> None:
    """Write the reference of all verbs, for a page to include."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "\n\n".join(section_of(name, verb) for name, verb in verbs().items())
    path.write_text(f"{text}\n")
