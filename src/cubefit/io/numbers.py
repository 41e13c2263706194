"""Plain files of numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cubefit.errors import InputError


def number_rows(path: Path, due: str) -> list[list[float]]:
    """Return the numbers of each line of a text file that has any.

    Parameters
    ----------
    path : Path
        Numbers separated by spaces or commas, and comments after ``#``.
    due : str
        What the file should be, for the error: "give ...".

    Raises
    ------
    InputError
        If it is missing, or no such file.
    """
    try:
        lines = [line.partition("#")[0] for line in path.read_text(encoding="utf-8").splitlines()]
        rows = [[float(word) for word in line.replace(",", " ").split()] for line in lines]
    except (OSError, ValueError) as error:
        raise InputError(f"{path} holds no plain numbers ({reason_of(error)}): {due}.") from error
    return [row for row in rows if row]


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
    due = "give .npy, or text with one number each"
    if path.suffix != ".npy":
        return np.array([number for row in number_rows(path, due) for number in row])
    return read_array(path, due).ravel()


def read_array(path: Path, due: str) -> NDArray[np.float64]:
    """Return the numbers of a ``.npy`` file in their shape.

    Parameters
    ----------
    path, due
        See `number_rows`.

    Raises
    ------
    InputError
        If it is missing, or no such file.
    """
    try:
        return np.asarray(np.load(path, allow_pickle=False), np.float64)
    except (OSError, ValueError, TypeError, EOFError) as error:
        raise InputError(f"{path} holds no plain numbers ({reason_of(error)}): {due}.") from error


def reason_of(error: Exception) -> str:
    """Return why a file could not be read, in words."""
    return "there is no such file" if isinstance(error, FileNotFoundError) else str(error)
