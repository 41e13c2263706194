"""Two orders in which the products of LOSVDs, templates and weights can be taken.

``A x = sum_cvp L_svc x_cp D_vpl``. Through components, the templates are summed first: one spectrum
per component and velocity bin, whatever the number of spaxels. Through populations, the LOSVDs are:
one weight per spaxel, velocity bin and template, and nothing that all spaxels share. So many
spaxels go the first way; few spaxels with many components, a share of many, go the second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from cubefit.inverse.light import LightBlock, runs_of
from cubefit.inverse.operators import Float
from cubefit.inverse.scaling import LOSVD_FLOOR

BATCH_BYTES: Final = 32_000_000
"""Weights by spaxel, velocity bin and template that are made at a time."""


@dataclass(frozen=True, slots=True)
class LitBlock(LightBlock):
    """A block of spaxels with the LOSVDs of the components that light it up."""

    kernels: NDArray[np.floating]
    """Shape (n, m, V), scaled to order one."""

    @classmethod
    def holding(
        cls, block: LightBlock, losvd: NDArray[np.floating], scale: float, dtype: np.dtype[Any]
    ) -> LitBlock:
        """Return a block with its part of the LOSVDs (S, V, C), divided by ``scale``."""
        part = losvd[block.spaxels][:, :, block.components].transpose(0, 2, 1)
        kernels = np.empty(part.shape, dtype)
        np.divide(part, losvd.dtype.type(scale), out=kernels, casting="same_kind")
        kernels[np.abs(kernels) < LOSVD_FLOOR] = 0.0
        return cls(block.spaxels, block.components, kernels)

    def residual_of(self, residual: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the part (n, L) of the residual (S, L)."""
        return residual if len(self.spaxels) == len(residual) else residual[self.spaxels]


class Route(Protocol):
    """An order of the products, in scaled units."""

    def spectra(self, weights: NDArray[np.floating], n_spaxels: int) -> Float:
        """Return ``A x``, shape (S, L), of ``x`` (C, P)."""
        ...

    def gradient(self, residual: NDArray[np.floating], n_components: int) -> Float:
        """Return ``A^T r``, shape (C, P), of ``r`` (S, L)."""
        ...


@dataclass(frozen=True, slots=True)
class ThroughComponents:
    """First the broadened spectrum of each component in each velocity bin."""

    blocks: Sequence[LitBlock]
    shifted: NDArray[np.floating]
    """Shape (L, V, P): BLAS takes the strided (P, L) view of one velocity bin at full speed."""

    def spectra(self, weights: NDArray[np.floating], n_spaxels: int) -> Float:
        """Return ``A x``, shape (S, L), of ``x`` (C, P)."""
        L, V, _ = self.shifted.shape
        per_bin = np.empty((len(weights), V, L), weights.dtype)
        for v in range(V):
            np.matmul(weights, self.shifted[:, v].T, out=per_bin[:, v])
        model = np.zeros((n_spaxels, L))
        for block in self.blocks:
            light = np.zeros((len(block.spaxels), L), per_bin.dtype)
            for here, run in runs_of(block.components):
                kernels = block.kernels[:, here].reshape(len(light), -1)
                light += kernels @ per_bin[run].reshape(-1, L)
            model[block.spaxels] = light
        return model

    def gradient(self, residual: NDArray[np.floating], n_components: int) -> Float:
        """Return ``A^T r``, shape (C, P), of ``r`` (S, L)."""
        L, V, P = self.shifted.shape
        per_bin = np.zeros((n_components, V, L), residual.dtype)
        for block in self.blocks:
            part = block.residual_of(residual)
            for here, run in runs_of(block.components):
                kernels = block.kernels[:, here].reshape(len(part), -1)
                per_bin[run] += (kernels.T @ part).reshape(-1, V, L)
        result = np.zeros((n_components, P))
        for v in range(V):
            result += per_bin[:, v] @ self.shifted[:, v]
        return result


@dataclass(frozen=True, slots=True)
class ThroughPopulations:
    """First the weight of each population in each spaxel and velocity bin."""

    blocks: Sequence[LitBlock]
    shifted: NDArray[np.floating]
    """Shape (L, V, P)."""

    def _batches(self, block: LitBlock) -> list[slice]:
        _, V, P = self.shifted.shape
        n, size = len(block.spaxels), max(1, BATCH_BYTES // (8 * V * P))
        return [slice(start, min(start + size, n)) for start in range(0, n, size)]

    def spectra(self, weights: NDArray[np.floating], n_spaxels: int) -> Float:
        """Return ``A x``, shape (S, L), of ``x`` (C, P)."""
        L = self.shifted.shape[0]
        templates = self.shifted.reshape(L, -1).T
        model = np.zeros((n_spaxels, L))
        for block in self.blocks:
            lit = weights[block.components]
            for batch in self._batches(block):
                by_population = np.matmul(block.kernels[batch].transpose(0, 2, 1), lit)
                model[block.spaxels[batch]] = (
                    by_population.reshape(len(by_population), -1) @ templates
                )
        return model

    def gradient(self, residual: NDArray[np.floating], n_components: int) -> Float:
        """Return ``A^T r``, shape (C, P), of ``r`` (S, L)."""
        L, V, P = self.shifted.shape
        templates = self.shifted.reshape(L, -1)
        result = np.zeros((n_components, P))
        for block in self.blocks:
            part = block.residual_of(residual)
            lit = np.zeros((len(block.components), P))
            for batch in self._batches(block):
                by_population = (part[batch] @ templates).reshape(-1, V, P)
                for kernels, weights in zip(block.kernels[batch], by_population, strict=True):
                    lit += kernels @ weights
            result[block.components] += lit
        return result


def cheaper_route(
    blocks: Sequence[LitBlock], shifted: NDArray[np.floating], n_components: int
) -> Route:
    """Return the order of fewer operations.

    Parameters
    ----------
    blocks : sequence of LitBlock
        All spaxels with light.
    shifted : ndarray, shape (L, V, P)
        Shifted templates, scaled to order one.
    n_components : int
        All of them, C.
    """
    L, _, P = shifted.shape
    n_pairs = sum(block.n_pairs for block in blocks)
    n_spaxels = sum(len(block.spaxels) for block in blocks)
    through_components = L * (n_components * P + n_pairs)
    through_populations = P * (n_spaxels * L + n_pairs)
    if through_populations < through_components:
        return ThroughPopulations(blocks, shifted)
    return ThroughComponents(blocks, shifted)
