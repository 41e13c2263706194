"""Where the parts of a DYNAMITE model are, its orbit weights, and its velocity scale."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from astropy.table import Table

from cubefit.errors import InputError
from cubefit.io.numbers import read_numbers
from cubefit.prepare.orbit_library import orbit_weights

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

WEIGHTS_FILE: Final = "orbit_weights.ecsv"
_ML_NAME: Final = re.compile(r"ml(\d+(?:\.(?P<decimals>\d+))?)")


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """The folder of the orbit library, and the one of a mass-to-light ratio in it."""

    library: Path
    """Holds ``datfil`` and ``infil``."""
    ml: Path | None
    """Holds the orbit weights; None if there is none."""

    def file(self, name: str, others: Sequence[Path | None]) -> Path:
        """Return an input file: the model's own copy, or that in other folders.

        Raises
        ------
        InputError
            If there is none.
        """
        folders = [folder for folder in (self.library / "infil", *others) if folder is not None]
        for folder in folders:
            if (folder / name).is_file():
                return folder / name
        raise InputError(
            f"{name} is in none of {', '.join(map(str, folders))}: copy it there, or give its "
            "name in the kinematic set."
        )

    def weights_file(self) -> Path:
        """Return the file of the orbit weights.

        Raises
        ------
        InputError
            If there is none.
        """
        if self.ml is None or not (self.ml / WEIGHTS_FILE).is_file():
            raise InputError(
                f"{self.ml or self.library} has no {WEIGHTS_FILE}: give the folder of a solved "
                "model, or weights=."
            )
        return self.ml / WEIGHTS_FILE


def find_model(path: Path) -> ModelFolder:
    """Return the parts of a model.

    Parameters
    ----------
    path : Path
        ``models/orblib_000_000/ml05.00``, or ``models/orblib_000_000`` if it has one solution.

    Raises
    ------
    InputError
        If there is no orbit library, or a choice to make.
    """
    if not (path / "datfil").is_dir():
        if not (path.parent / "datfil").is_dir():
            raise InputError(
                f"Neither {path} nor the folder above it has a folder datfil: give a model of "
                "DYNAMITE, such as output/models/orblib_000_000/ml05.00."
            )
        return ModelFolder(path.parent, path)
    solved = sorted(file.parent for file in path.glob(f"ml*/{WEIGHTS_FILE}"))
    if len(solved) > 1:
        raise InputError(
            f"{path} has solutions for several mass-to-light ratios "
            f"({', '.join(folder.name for folder in solved)}): give the folder of one."
        )
    return ModelFolder(path, solved[0] if solved else None)


def read_weights(path: Path, n_orbits: int) -> NDArray[np.float64]:
    """Return the orbit weights of a file, shape (N,).

    Parameters
    ----------
    path : Path
        ECSV with a column ``weights``; with another suffix, plain numbers.
    n_orbits : int
        How many are due.

    Raises
    ------
    InputError
        If it is missing or damaged, or holds another number of weights.
    """
    if path.suffix != ".ecsv":
        column = read_numbers(path)
    else:
        try:
            column = np.asarray(Table.read(path, format="ascii.ecsv")["weights"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path} cannot be read as ECSV with a column weights ({error}): solve the model "
                "again."
            ) from error
    return orbit_weights(str(path), column, n_orbits, "the number of orbits in the library")


def velocity_scale_of(model: ModelFolder) -> float:
    """Return the factor on the velocities of the library, sqrt(M/L over the library's M/L).

    DYNAMITE integrates orbits for one mass-to-light ratio and rescales them for others. The
    ratio of the library is in ``infil/parameters_pot.in``, that of the model in its name, with
    few decimals: ratios that agree to those count as the same.

    Raises
    ------
    InputError
        If one of the two cannot be found.
    """
    if model.ml is None:
        return 1.0
    match = _ML_NAME.fullmatch(model.ml.name)
    if match is None:
        raise InputError(
            f"{model.ml} is not named after a mass-to-light ratio (ml05.00): give velocity_scale."
        )
    ratio, original = float(match.group(1)), _ml_of_library(model.library)
    rounding = 0.5000001 * 10.0 ** -len(match["decimals"] or "")
    return 1.0 if abs(ratio - original) <= rounding else math.sqrt(ratio / original)


def _ml_of_library(library: Path) -> float:
    path = library / "infil" / "parameters_pot.in"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        n_gaussians = int(lines[0].split()[0])
        # After the Gaussians stand the distance, the viewing angles, and the ratio.
        ratio = float(lines[1 + n_gaussians + 2].split()[0])
    except (OSError, ValueError, IndexError) as error:
        raise InputError(
            f"{path} does not tell the mass-to-light ratio of the library ({error}): give "
            "velocity_scale."
        ) from error
    if not 0 < ratio < math.inf:
        raise InputError(f"{path} has the mass-to-light ratio {ratio:g}: give velocity_scale.")
    return ratio
