"""Figures to files, whole or not at all."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cubefit.errors import InputError, StoreError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS: Final = (".png", ".pdf", ".svg")
PNG_DPI: Final = 200


def require_figure_path(path: Path) -> None:
    """Refuse a path that no figure can be written to, before it is drawn.

    Raises
    ------
    InputError
        If it does not end in .png, .pdf or .svg, or its folder does not exist.
    """
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"Cannot write the figure {path}: end its name in {', '.join(FORMATS)}.")
    if not path.parent.is_dir():
        raise InputError(f"Cannot write the figure {path}: create the folder {path.parent} first.")


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a figure in one step: a reader sees the old file or the new one, never half of it.

    Parameters
    ----------
    figure : Figure
    path : Path
        Ends in .png, .pdf or .svg, in a folder that exists. A file there is replaced.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    InputError
        If the suffix is another one, or the folder does not exist.
    StoreError
        If the disk does not take it.
    """
    path = Path(path)
    require_figure_path(path)
    suffix = path.suffix.lower()
    partial = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{suffix}")
    try:
        figure.savefig(partial, format=suffix[1:], dpi=PNG_DPI)
        partial.replace(path)
    except OSError as error:
        raise StoreError(
            f"{path} cannot be written ({error.strerror or error}): make space on the disk, or "
            "give a folder that you may write to."
        ) from error
    finally:
        partial.unlink(missing_ok=True)
    return path
