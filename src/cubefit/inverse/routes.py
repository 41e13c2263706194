"""Two orders in which the products of LOSVDs, templates and weights can be taken.

``A x = sum_cvp L_svc x_cp D_vpl``. Through components, the templates are summed first: one spectrum
per component and velocity bin, whatever the number of spaxels. Through populations, the LOSVDs are:
one weight per spaxel, velocity bin and template, and nothing that all spaxels share. So many
spaxels go the first way; few spaxels with many components, a share of many, go the second.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from cubefit.inverse.lit_blocks import LitBlock, LitKernels
from cubefit.inverse.operators import Float

BATCH_BYTES: Final = 32_000_000
"""Weights by spaxel, velocity bin and template that are made at a time."""


def in_own_order(ordered: Float, order: NDArray[np.intp]) -> Float:
    """Return rows that stand in the order of `LitKernels` in that of the components."""
    result = np.empty_like(ordered)
    result[order] = ordered
    return result


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

    kernels: LitKernels
    shifted: NDArray[np.floating]
    """Shape (L, V, P): BLAS takes the strided (P, L) view of one velocity bin at full speed."""

    def spectra(self, weights: NDArray[np.floating], n_spaxels: int) -> Float:
        """Return ``A x``, shape (S, L), of ``x`` (C, P)."""
        L, blocks = self.shifted.shape[0], self.kernels.blocks
        weights = weights[self.kernels.order]
        light = [np.zeros((len(block.spaxels), L), weights.dtype) for block in blocks]
        # One for all chunks: new memory is handed out page by page, which took 5 % of a pass.
        workspace = np.empty((self.kernels.most_rows, L), weights.dtype)
        spare = [np.empty_like(own) for own in light]
        for i, chunk in enumerate(self.kernels.chunks):
            broadened = workspace[: chunk.n_rows]
            for number, rows, components in chunk.bins:
                np.matmul(weights[components], self.shifted[:, number].T, out=broadened[rows])
            for block, own, more in zip(blocks, light, spare, strict=True):
                places = block.parts[i].places
                seen = broadened if places is None else broadened[places]
                # By NumPy alone: SciPy's BLAS has threads of its own, and two pools of two on two
                # cores took four times as long.
                np.add(own, np.matmul(block.parts[i].kernels, seen, out=more), out=own)
        model = np.zeros((n_spaxels, L))
        for block, own in zip(blocks, light, strict=True):
            model[block.spaxels] = own
        return model

    def gradient(self, residual: NDArray[np.floating], n_components: int) -> Float:
        """Return ``A^T r``, shape (C, P), of ``r`` (S, L)."""
        L, _, P = self.shifted.shape
        residuals = [block.residual_of(residual) for block in self.kernels.blocks]
        ordered = np.zeros((n_components, P))
        workspace = np.empty((self.kernels.most_rows, L), residual.dtype)
        for i, chunk in enumerate(self.kernels.chunks):
            projected = workspace[: chunk.n_rows]
            self._project(i, residuals, projected)
            for number, rows, components in chunk.bins:
                ordered[components] += projected[rows] @ self.shifted[:, number]
        return in_own_order(ordered, self.kernels.order)

    def _project(
        self,
        number: int,
        residuals: list[NDArray[np.floating]],
        projected: NDArray[np.floating],
    ) -> None:
        """Put the transposed LOSVDs of a chunk times the residual of each block in place."""
        parts = [block.parts[number] for block in self.kernels.blocks]
        if len(parts) == 1:
            np.matmul(parts[0].kernels.T, residuals[0], out=projected)
            return
        projected[...] = 0.0
        for part, own in zip(parts, residuals, strict=True):
            if part.places is None:
                projected += part.kernels.T @ own
            else:
                projected[part.places] += part.kernels.T @ own


@dataclass(frozen=True, slots=True)
class ThroughPopulations:
    """First the weight of each population in each spaxel and velocity bin."""

    kernels: LitKernels
    shifted: NDArray[np.floating]
    """Shape (L, V, P)."""

    def _batches(self, block: LitBlock) -> Iterator[tuple[slice, NDArray[np.floating]]]:
        """Yield spaxels, and room for their weights by velocity bin and population."""
        _, V, P = self.shifted.shape
        n = len(block.spaxels)
        size = max(1, min(n, BATCH_BYTES // (8 * V * P)))
        workspace = np.empty((size, V, P), self.shifted.dtype)
        for start in range(0, n, size):
            stop = min(start + size, n)
            yield slice(start, stop), workspace[: stop - start]

    def spectra(self, weights: NDArray[np.floating], n_spaxels: int) -> Float:
        """Return ``A x``, shape (S, L), of ``x`` (C, P)."""
        L, V, P = self.shifted.shape
        templates = self.shifted.reshape(L, V * P).T
        weights = weights[self.kernels.order]
        model = np.zeros((n_spaxels, L))
        for block in self.kernels.blocks:
            for batch, by_bin in self._batches(block):
                by_bin[...] = 0.0
                for part in block.parts:
                    for number, rows, components in part.chunk.bins:
                        by_bin[:, number] = part.kernels[batch, rows] @ weights[components]
                model[block.spaxels[batch]] = by_bin.reshape(len(by_bin), V * P) @ templates
        return model

    def gradient(self, residual: NDArray[np.floating], n_components: int) -> Float:
        """Return ``A^T r``, shape (C, P), of ``r`` (S, L)."""
        L, V, P = self.shifted.shape
        templates = self.shifted.reshape(L, V * P)
        ordered = np.zeros((n_components, P))
        for block in self.kernels.blocks:
            own = block.residual_of(residual)
            for batch, by_bin in self._batches(block):
                np.matmul(own[batch], templates, out=by_bin.reshape(len(by_bin), V * P))
                for part in block.parts:
                    for number, rows, components in part.chunk.bins:
                        ordered[components] += part.kernels[batch, rows].T @ by_bin[:, number]
        return in_own_order(ordered, self.kernels.order)


def cheaper_route(kernels: LitKernels, shifted: NDArray[np.floating]) -> Route:
    """Return the order of fewer operations.

    Parameters
    ----------
    kernels : LitKernels
        All LOSVDs.
    shifted : ndarray, shape (L, V, P)
        Shifted templates, scaled to order one.
    """
    L, V, P = shifted.shape
    n_values = sum(block.n_values for block in kernels.blocks)
    n_spaxels = sum(len(block.spaxels) for block in kernels.blocks)
    through_components = L * (kernels.n_rows * P + n_values)
    through_populations = P * (n_spaxels * V * L + n_values)
    if through_populations < through_components:
        return ThroughPopulations(kernels, shifted)
    return ThroughComponents(kernels, shifted)
