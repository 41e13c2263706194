"""``cubefit plot``."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cubefit.cli.root import app, interruptible
from cubefit.cli.work import AsJson, File
from cubefit.errors import ConfigError, CubeFitError

ALL: Final = "all"


def numbers_of(option: str, text: str | None) -> tuple[int, ...] | None:
    """Return the whole numbers of ``0,3-5``.

    Raises
    ------
    ConfigError
        If it is something else.
    """
    if text is None:
        return None
    numbers: list[int] = []
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\d{1,7})\s*(?:-\s*(\d{1,7})\s*)?", part, re.ASCII)
        if found is None or int(found[2] or found[1]) < int(found[1]):
            raise ConfigError(f"{option} {text}: give numbers and ranges, such as 0,3-5.")
        numbers.extend(range(int(found[1]), int(found[2] or found[1]) + 1))
    return tuple(dict.fromkeys(numbers))


def limits_of(option: str, text: str | None) -> tuple[float, float] | None:
    """Return the two ends of ``0.1,4``.

    Raises
    ------
    ConfigError
        If it is something else.
    """
    if text is None:
        return None
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"{option} {text}: give both ends of a range, such as 0.1,4.") from None
    return low, high


def show_kinds(wanted: bool) -> None:
    """Print all kinds of pictures and leave."""
    if not wanted:
        return
    from cubefit.pictures import KINDS

    table = Table(show_header=False, box=None)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, kind in KINDS.items():
        table.add_row(name, Text(kind.told))
    table.add_row(ALL, Text("every kind that the file can carry, into a folder"))
    Console().print(table)
    raise typer.Exit


@app.command()
def plot(
    kind: Annotated[str, typer.Argument(help="Kind of picture (see --list), or all.")],
    file: File,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Picture (.png, .pdf, .svg); for all, a folder.")
    ],
    components: Annotated[
        str | None, typer.Option(help="Components that count, such as 0,3-5; default all.")
    ] = None,
    ages: Annotated[
        str | None, typer.Option(help="Ages of the stars that count, such as 0.1,4 in Gyr.")
    ] = None,
    metals: Annotated[
        str | None, typer.Option(help="[M/H] of the stars that count, such as -0.5,0.5.")
    ] = None,
    spaxels: Annotated[
        str | None, typer.Option(help="Spaxels, such as 3,17; default the best and the worst.")
    ] = None,
    by: Annotated[
        Literal["light", "mass"] | None, typer.Option(help="What means are weighted with.")
    ] = None,
    properties: Annotated[
        list[str] | None,
        typer.Option("--property", help="Property of the components, such as radius; repeatable."),
    ] = None,
    pixel_unit: Annotated[
        str | None, typer.Option(help="Unit of the pixel coordinates, such as arcsec.")
    ] = None,
    width: Annotated[
        float | None, typer.Option(help="Width in inch: 3.4 is one column, 7.1 are two.")
    ] = None,
    as_json: AsJson = False,
    list_kinds: Annotated[
        bool,
        typer.Option("--list", callback=show_kinds, is_eager=True, help="Show the kinds."),
    ] = False,
) -> None:
    """Draw what a fit says, or how good it is.

    Kinds: maps, age-map, metallicity-map, alpha-map, velocity-map, dispersion-map, light-map,
    mass-map, age-metallicity, age-metallicity-components, trends, component-masses, spectra,
    residual-map, residual-spectrum, convergence, prefit; all draws every one that the file can
    carry.

    Example: cubefit plot age-map cube.h5 -o age.pdf --components 0,3-5 --by mass
    """
    del list_kinds
    choices = {
        "components": numbers_of("--components", components),
        "ages": limits_of("--ages", ages),
        "metals": limits_of("--metals", metals),
        "spaxels": numbers_of("--spaxels", spaxels),
        "by": by,
        "properties": properties or None,
        "pixel_unit": pixel_unit,
        "width_inch": width,
    }
    with interruptible("run the same command again; every picture there is whole."):
        written, missing = draw_into(kind, file, out, choices)
    if as_json:
        told = {"file": str(file), "written": [str(p) for p in written], "missing": missing}
        print(json.dumps(told, indent=2))
        return
    for path in written:
        print(path)
    for name, reason in missing.items():
        print(f"{name}: none. {reason}", file=sys.stderr)


def draw_into(
    kind: str, file: Path, out: Path, choices: dict[str, Any]
) -> tuple[list[Path], dict[str, str]]:
    """Draw one picture, or all into a folder; return what was written, and why others were not."""
    from cubefit.pictures import draw, draw_all
    from cubefit.report import require_figure_path, save_figure

    if kind != ALL:
        require_figure_path(out)
        return [save_figure(draw(kind, file, **choices), out)], {}
    written, missing = [], {}
    for name, picture in draw_all(file, **choices):
        if isinstance(picture, CubeFitError):
            missing[name] = str(picture)
            continue
        out.mkdir(parents=True, exist_ok=True)
        written.append(save_figure(picture, out / f"{name}.png"))
    return written, missing
