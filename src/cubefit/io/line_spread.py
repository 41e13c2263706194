"""Line spread of an instrument from a text file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cubefit.errors import InputError
from cubefit.prepare.resolution import LineSpread


def read_line_spread(path: str | Path) -> LineSpread:
    """Return the line spread in a text file of two columns.

    Parameters
    ----------
    path : str or Path
        Observed wavelength and FWHM, both in Angstrom, a pair a line, separated by spaces or a
        comma; comments after ``#``.

    Returns
    -------
    LineSpread

    Raises
    ------
    InputError
        If it is missing, or no such table.
    """
    path = Path(path)
    try:
        lines = [line.partition("#")[0] for line in path.read_text(encoding="utf-8").splitlines()]
        rows = [[float(word) for word in line.replace(",", " ").split()] for line in lines]
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read as a table of numbers ({error}): give wavelength and FWHM in "
            "Angstrom, a pair a line."
        ) from error
    rows = [row for row in rows if row]
    if len(rows) < 2 or {len(row) for row in rows} != {2}:
        raise InputError(
            f"{path} must hold two or more lines of two numbers: wavelength and FWHM in Angstrom."
        )
    wave, fwhm = np.array(rows).T
    return LineSpread.table(wave, fwhm, name=path.name)
