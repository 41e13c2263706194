"""Line spread of an instrument from a text file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cubefit.errors import InputError
from cubefit.io.numbers import number_rows
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
    rows = number_rows(path, "give wavelength and FWHM in Angstrom, a pair a line")
    if len(rows) < 2 or {len(row) for row in rows} != {2}:
        raise InputError(
            f"{path} must hold two or more lines of two numbers: wavelength and FWHM in Angstrom."
        )
    wave, fwhm = np.array(rows).T
    return LineSpread.table(wave, fwhm, name=path.name)
