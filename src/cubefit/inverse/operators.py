"""The linear model ``A``: x (C, P) to model spectra (S, L), stored or matrix-free.

Both implementations fulfil `Operator`, speak physical units, take and return float64 at their
doors, and agree to float32 rounding. Solvers see the protocols only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from cubefit.errors import InputError
from cubefit.inverse.scaling import order_one

Float = NDArray[np.float64]


def require_shape(name: str, array: NDArray[np.floating], shape: tuple[int, ...]) -> None:
    """Raise InputError unless an array has the shape that the operator needs."""
    if array.shape != shape:
        raise InputError(f"{name} has shape {array.shape}, but the model needs {shape}.")


class SpaxelRows(Protocol):
    """Some rows (pixels) of one spaxel: the K x (C*P) matrix ``A_s``, never necessarily formed."""

    def dot(self, x: Float) -> Float:
        """Return ``A_s x``, shape (K,), of ``x`` (C, P)."""
        ...

    def backproject(self, alpha: Float) -> Float:
        """Return ``A_s^T alpha``, shape (C, P), of ``alpha`` (K,)."""
        ...

    def gram(self) -> Float:
        """Return ``A_s A_s^T``, shape (K, K)."""
        ...

    def dense(self) -> NDArray[np.floating]:
        """Return ``A_s`` itself, shape (K, C, P)."""
        ...


class Operator(Protocol):
    """The linear model of all spaxels."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Sizes ``(S, C, P, L)``."""
        ...

    def matvec(self, x: Float) -> Float:
        """Return ``A x``, shape (S, L), of ``x`` (C, P)."""
        ...

    def rmatvec(self, residual: Float) -> Float:
        """Return ``A^T r``, shape (C, P), of ``r`` (S, L)."""
        ...

    def rows(self, spaxel: int, pixels: NDArray[np.intp]) -> SpaxelRows:
        """Return the rows of one spaxel at ``pixels`` (K,), in that order."""
        ...

    def column_norms(self) -> Float:
        """Return the Euclidean norm of every column, shape (C, P)."""
        ...

    def misfit(self, x: Float, data: Float | None, inverse_noise: Float) -> tuple[Float, Float]:
        """Return ``r = W (A x - y)`` (S, L) and ``A^T W r`` (C, P), ``W`` the inverse noise.

        Without ``data``, ``y`` is zero.
        """
        ...

    def columns(self, members: Members) -> Callable[[NDArray[np.intp]], Float]:
        """Return a function from spaxels (n,) to those columns in them, shape (W, n, L), float64.

        It may be called many times, with few spaxels each.
        """
        ...

    @property
    def factors(self) -> Factors:
        """What the model is made of, to within rounding."""
        ...


class Members(NamedTuple):
    """Some columns of the model, by their component and population."""

    components: NDArray[np.intp]
    """Shape (W,)."""
    populations: NDArray[np.intp]
    """Shape (W,)."""

    @classmethod
    def where(cls, chosen: NDArray[np.bool_]) -> Members:
        """Return the columns at which ``chosen`` (C, P) is True, in C order."""
        return cls(*np.nonzero(chosen))

    @property
    def size(self) -> int:
        """Number of columns, W."""
        return self.components.size


class Factors(Protocol):
    """LOSVDs and shifted templates of a model, ``models[s,c,p,l] = sum_v LOSVD[s,v,c] D[v,p,l]``.

    Both in units of order one: models are ``scale`` times their product.
    """

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Sizes ``(S, C, P, L)``."""
        ...

    @property
    def shifted(self) -> NDArray[np.floating]:
        """Shifted templates, shape (L, V, P)."""
        ...

    @property
    def scale(self) -> float:
        """Physical units of a product."""
        ...

    @property
    def n_pairs(self) -> int:
        """Pairs of spaxel and component whose LOSVDs are held."""
        ...

    def kernels(self, spaxels: NDArray[np.intp] | slice) -> NDArray[np.floating]:
        """Return the LOSVDs of some spaxels, shape (n, C, V)."""
        ...


def weighted_light(models: NDArray[np.float32], x: Float) -> Float:
    """Return ``sum_cp x[c,p] models[c,p,:]``: float32 within a component, float64 across them.

    Parameters
    ----------
    models : ndarray, shape (C, P, K)
    x : ndarray, shape (C, P)

    Returns
    -------
    ndarray, shape (K,)
    """
    weights, scale = order_one(x, models.dtype)
    light = np.matmul(weights[:, None, :], models)[:, 0]
    return np.asarray(light.sum(axis=0, dtype=np.float64)) * scale


def add_backprojection(plane: NDArray[np.float32], residual: Float, result: Float) -> None:
    """Add ``models . residual`` to ``result`` (C, P): plane (C, P, L), residual (L,), float64."""
    for c, models in enumerate(plane):
        result[c] += models.astype(np.float64) @ residual


@dataclass(frozen=True, slots=True)
class DenseRows:
    """Rows held as a matrix, as a stored HyperCube gives them."""

    matrix: NDArray[np.float32]
    """Shape (C*P, K): the columns are the rows of ``A_s``."""
    components: int

    def dot(self, x: Float) -> Float:
        """Return ``A_s x``."""
        return weighted_light(self.matrix.reshape(self.components, -1, self.matrix.shape[1]), x)

    def backproject(self, alpha: Float) -> Float:
        """Return ``A_s^T alpha``."""
        scaled, scale = order_one(alpha, self.matrix.dtype)
        flat = (self.matrix @ scaled).astype(np.float64) * scale
        return flat.reshape(self.components, -1)

    def gram(self) -> Float:
        """Return ``A_s A_s^T`` (a symmetric rank-k update).

        Scaled to order one without tiny values, whose squares are subnormal: as stored, a real
        orbit library took 0.35 s a spaxel instead of 0.03 s.
        """
        matrix, scale = order_one(self.matrix, self.matrix.dtype)
        return np.asarray(matrix.T @ matrix, np.float64) * scale**2

    def dense(self) -> NDArray[np.floating]:
        """Return ``A_s``."""
        return np.asarray(self.matrix.T.reshape(self.matrix.shape[1], self.components, -1))


class PlaneSource(Protocol):
    """Whatever can hand out the model planes of a stored HyperCube."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Sizes ``(S, C, P, L)``."""
        ...

    def plane(self, spaxel: int) -> NDArray[np.float32]:
        """Return ``models[s]``, shape (C, P, L)."""
        ...


class StoredOperator:
    """The model read plane by plane from a stored HyperCube.

    Parameters
    ----------
    source : PlaneSource
        Where the planes come from; one plane is in memory at a time.
    make_factors : callable, optional
        Returns what the HyperCube was made of, which the exact solver asks for once.
    """

    def __init__(
        self, source: PlaneSource, make_factors: Callable[[], Factors] | None = None
    ) -> None:
        self._source = source
        self._make_factors = make_factors
        self._factors: Factors | None = None

    @property
    def factors(self) -> Factors:
        """What the HyperCube was made of.

        Raises
        ------
        InputError
            If the operator was made without it.
        """
        if self._factors is None:
            if self._make_factors is None:
                raise InputError("This stored operator was made without the factors of its models.")
            self._factors = self._make_factors()
        return self._factors

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Sizes ``(S, C, P, L)``."""
        return self._source.shape

    def _flat_plane(self, spaxel: int) -> NDArray[np.float32]:
        _, C, P, L = self.shape
        return self._source.plane(spaxel).reshape(C * P, L)

    def matvec(self, x: Float) -> Float:
        """Return ``A x`` in one pass over the file."""
        S, C, P, L = self.shape
        require_shape("x", x, (C, P))
        model = np.empty((S, L))
        for s in range(S):
            model[s] = DenseRows(self._flat_plane(s), C).dot(x)
        return model

    def rmatvec(self, residual: Float) -> Float:
        """Return ``A^T r`` in one pass over the file, in float64."""
        S, C, P, L = self.shape
        require_shape("The residual", residual, (S, L))
        result = np.zeros((C, P))
        for s in range(S):
            add_backprojection(self._source.plane(s), residual[s], result)
        return result

    def rows(self, spaxel: int, pixels: NDArray[np.intp]) -> DenseRows:
        """Return the rows of one spaxel; its whole plane is read."""
        return DenseRows(self._flat_plane(spaxel)[:, pixels], self.shape[1])

    def column_norms(self) -> Float:
        """Return the norm of every column in one pass over the file."""
        S, C, P, _ = self.shape
        squares = np.zeros((C, P))
        for s in range(S):
            plane = self._source.plane(s)
            squares += np.einsum("cpl,cpl->cp", plane, plane, dtype=np.float64)
        return np.sqrt(squares)

    def misfit(self, x: Float, data: Float | None, inverse_noise: Float) -> tuple[Float, Float]:
        """Return the weighted residual and its back-projection in one pass over the file.

        In float64: a gap of 1e-6 is beyond float32.
        """
        S, C, P, L = self.shape
        require_shape("x", x, (C, P))
        residual, gradient = np.empty((S, L)), np.zeros((C, P))
        for s in range(S):
            plane = self._source.plane(s)
            model = np.zeros(L)
            for models, weights in zip(plane, x, strict=True):
                model += weights @ models.astype(np.float64)
            residual[s] = (model if data is None else model - data[s]) * inverse_noise[s]
            add_backprojection(plane, residual[s] * inverse_noise[s], gradient)
        return residual, gradient

    def columns(self, members: Members) -> Callable[[NDArray[np.intp]], Float]:
        """Return what reads some columns in given spaxels; their whole planes are read."""

        def read(spaxels: NDArray[np.intp]) -> Float:
            result = np.empty((members.size, len(spaxels), self.shape[3]))
            for i, s in enumerate(spaxels):
                result[:, i] = self._source.plane(int(s))[members.components, members.populations]
            return result

        return read
