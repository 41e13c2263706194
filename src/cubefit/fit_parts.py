"""The parts that a fit of a file is put together from."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cubefit.config import Method, Normalization, OperatorKind
from cubefit.errors import MissingDataError
from cubefit.hypercube_reader import HyperCubeReader
from cubefit.inverse.matrix_free import MatrixFreeOperator
from cubefit.inverse.objective import Objective
from cubefit.inverse.operators import Operator, StoredOperator
from cubefit.store.handle import reading
from cubefit.store.load import read_model_inputs
from cubefit.store.results import acting_cube, own_normalization
from cubefit.store.resume import Earlier

logger = logging.getLogger(__name__)

Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class FitParts:
    """What every method fits: model, data, and what is known from before."""

    path: Path
    model: Operator
    objective: Objective
    template_shape: tuple[int, ...]
    """Sizes of the template axes."""
    operator: str
    normalization: Normalization
    run: dict[str, Any]
    """What identifies the fit."""
    x0: Float | None
    """The user's start, shape (C, P)."""
    earlier: Earlier | None
    """What the file holds to go on from."""

    def told(self, origin: str) -> str:
        """Return where the fit starts, for the log."""
        note = "" if self.earlier is None else self.earlier.note
        return f"{origin} ({note})" if note else origin


class ChosenOperator(NamedTuple):
    """An operator, the normalization it has, and its name."""

    operator: Operator
    normalization: Normalization
    name: str


def choose_operator(
    path: Path,
    kind: OperatorKind,
    normalization: Normalization | None,
    digest: str,
    method: Method,
    stack: ExitStack,
) -> ChosenOperator:
    """Return the operator of a fit.

    Parameters
    ----------
    path : Path
        The file.
    kind : str
        ``auto`` takes a finished HyperCube for Kaczmarz; the exact method computes in float64 from
        LOSVDs and templates, which is faster than to read the HyperCube.
    normalization : str, optional
        That was asked for.
    digest : str
        `digest_of_models` of the file.
    method : str
        Of the fit.
    stack : ExitStack
        Closes the file at its end.

    Raises
    ------
    MissingDataError
        If a HyperCube is asked for and not there.
    """
    dtype = np.float64 if method == "exact" else np.float32
    with reading(path) as file:
        if kind == "matrix-free" or (kind == "auto" and method == "exact"):
            stored, acting = False, normalization or own_normalization(file)
        else:
            stored, acting = acting_cube(file, path, normalization, digest)
        if kind == "stored" and not stored:
            raise MissingDataError(
                f"{path} has no finished HyperCube: run build_hypercube, or fit with "
                "operator='matrix-free'."
            )
        if stored:
            reader = stack.enter_context(HyperCubeReader(path))
            return ChosenOperator(
                StoredOperator(reader, factors_of(path, acting)), acting, "stored"
            )
    if kind == "auto" and method != "exact":
        logger.info("%s has no finished HyperCube: fitting matrix-free.", path)
    return ChosenOperator(matrix_free(path, acting, dtype), acting, "matrix-free")


def matrix_free(
    path: Path, normalization: Normalization, dtype: type[np.floating[Any]]
) -> MatrixFreeOperator:
    """Return the matrix-free operator of a file."""
    with reading(path) as file:
        inputs = read_model_inputs(file, normalization)
    return MatrixFreeOperator(inputs.losvd, inputs.shifted_templates(dtype), dtype=dtype)


def factors_of(path: Path, normalization: Normalization) -> Callable[[], MatrixFreeOperator]:
    """Return what makes the factors of the models of a file."""

    def make() -> MatrixFreeOperator:
        return matrix_free(path, normalization, np.float64)

    return make
