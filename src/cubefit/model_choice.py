"""Which model a fit has: in this process or on a cluster, from the HyperCube or without it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cubefit.config import (
    Method,
    Normalization,
    OperatorKind,
    require_choice,
    require_positive,
)
from cubefit.distributed.door import session_of
from cubefit.errors import ConfigError, MissingDataError, StoreError
from cubefit.hypercube_reader import HyperCubeReader
from cubefit.inverse.matrix_free import MatrixFreeOperator
from cubefit.inverse.misfit import Misfit
from cubefit.inverse.operators import Operator, StoredOperator
from cubefit.inverse.shares import one_share
from cubefit.store.digests import InputDigests, digest_inputs
from cubefit.store.handle import reading
from cubefit.store.load import read_dims, read_model_inputs, read_observed
from cubefit.store.results import acting_cube, own_normalization
from cubefit.store.shards import missing_words
from cubefit.store.tiles import read_status

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelChoice:
    """What a user says of the model."""

    method: Method
    operator: OperatorKind = "auto"
    normalization: Normalization | None = None
    client: object | None = None
    """A ``distributed.Client``, where the spaxels are to lie on its cluster."""
    n_shares: int | None = None
    """There; default one for each worker."""

    def __post_init__(self) -> None:
        """Raise ConfigError unless the settings are possible, and possible together."""
        require_choice("operator", self.operator, OperatorKind)
        if self.normalization is not None:
            require_choice("normalization", self.normalization, Normalization)
        require_positive("n_shares", self.n_shares)
        if self.client is None:
            if self.n_shares is not None:
                raise ConfigError(
                    "n_shares= belongs to a fit on a cluster: pass client=, too (on the command "
                    "line --workers or --scheduler)."
                )
            return
        if self.method != "exact":
            raise ConfigError(
                f"A fit on a cluster needs method='exact', not {self.method!r}: Kaczmarz "
                "visits one spaxel after the other."
            )
        if self.operator == "stored":
            raise ConfigError("A fit on a cluster runs matrix-free: leave operator='stored' out.")


class ChosenModel(NamedTuple):
    """Model and data of a fit."""

    misfit: Misfit
    normalization: Normalization
    name: str
    """Of the kind of operator."""
    digests: InputDigests


def choose_model(path: Path, choice: ModelChoice, stack: ExitStack) -> ChosenModel:
    """Return model and data of a fit.

    Parameters
    ----------
    path : Path
        The file.
    choice : ModelChoice
        What is wished for.
    stack : ExitStack
        Closes the file at its end.

    Raises
    ------
    MissingDataError
        If a HyperCube is asked for and not there.
    ClusterError, DependencyError
        If the cluster lacks something, or Dask is not installed.
    """
    if choice.client is not None:
        return model_on_cluster(path, choice)
    with reading(path) as file:
        observed, digests = read_observed(file), digest_inputs(file)
    chosen = choose_operator(path, choice, digests.models, stack)
    misfit = Misfit(one_share(chosen.operator, observed))
    return ChosenModel(misfit, chosen.normalization, chosen.name, digests)


def model_on_cluster(path: Path, choice: ModelChoice) -> ChosenModel:
    """Return model and data in shares on a cluster; this process reads none of them."""
    session = session_of(choice.client, path)
    from cubefit.distributed.digests import WorkerDigests  # noqa: PLC0415 - an optional extra
    from cubefit.distributed.shares import read_shares  # noqa: PLC0415

    with reading(path) as file:
        acting = choice.normalization or own_normalization(file)
        dims, digests = read_dims(file), digest_inputs(file, WorkerDigests(session))
    misfit = Misfit(read_shares(session, dims, acting, choice.n_shares))
    return ChosenModel(misfit, acting, "distributed", digests)


class ChosenOperator(NamedTuple):
    """An operator, the normalization it has, and its name."""

    operator: Operator
    normalization: Normalization
    name: str


def choose_operator(
    path: Path, choice: ModelChoice, digest: str, stack: ExitStack
) -> ChosenOperator:
    """Return the operator of a fit in this process; ``digest`` is `digest_of_models` of the file.

    ``auto`` takes a finished HyperCube for Kaczmarz; the exact method computes in float64 from
    LOSVDs and templates, which is faster than to read the HyperCube.
    """
    kind, method, normalization = choice.operator, choice.method, choice.normalization
    dtype = np.float64 if method == "exact" else np.float32
    with reading(path) as file:
        if kind == "matrix-free" or (kind == "auto" and method == "exact"):
            stored, acting = False, normalization or own_normalization(file)
        else:
            stored, acting = acting_cube(file, path, normalization, digest)
        if kind == "stored" and not stored:
            status = read_status(file)
            if status is not None and status.missing:
                raise StoreError(f"Of the HyperCube of {path} {missing_words(status.missing)}.")
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
