"""Plain files of numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cubefit.errors import InputError


def read_numbers(path: Path) -> NDArray[np.float64]:
    """Return the numbers of a file, shape (n,).

    Parameters
    ----------
    path : Path
        ``.npy``, or text with numbers separated by spaces, commas or line ends, and comments
        after ``#``.

    Raises
    ------
    InputError
        If it is missing, or no such file.
    """
    try:
        if path.suffix == ".npy":
            return np.asarray(np.load(path, allow_pickle=False), np.float64).ravel()
        lines = (line.partition("#")[0] for line in path.read_text().splitlines())
        return np.array([float(word) for line in lines for word in line.replace(",", " ").split()])
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"{path} holds no plain numbers ({error}): give .npy, or text with one number per "
            "component."
        ) from error
