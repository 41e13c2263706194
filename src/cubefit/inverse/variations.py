"""Variations of a fit: other noise, spaxels left out, another smoothness."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cubefit.config import require_real, require_whole
from cubefit.errors import ConfigError
from cubefit.inverse.operators import Float
from cubefit.inverse.shares import Share, cut_evenly


@dataclass(frozen=True, slots=True, kw_only=True)
class Variation:
    """How a fit differs from the one that it is a variation of."""

    name: str
    noise_seed: int | None = None
    """The spectra are the model of that fit with noise of this seed; None takes those observed."""
    left_out: tuple[int, int] | None = None
    """Spaxels without weight: the first, and the one after the last."""
    regularization: float | None = None
    """Another smoothness."""

    def __post_init__(self) -> None:
        """Raise ConfigError if a number is impossible."""
        if self.noise_seed is not None:
            require_whole("noise_seed", self.noise_seed, 0)
        if self.regularization is not None:
            require_real("regularization", self.regularization)
            if not 0 <= self.regularization < float("inf"):
                raise ConfigError(
                    f"regularization={self.regularization} in {self.name!r}: give a finite number "
                    "of at least 0."
                )
        if self.left_out is not None:
            first, stop = self.left_out
            if not 0 <= first < stop:
                raise ConfigError(
                    f"left_out={self.left_out} in {self.name!r}: give the first spaxel and the one "
                    "after the last."
                )

    @property
    def changes_data(self) -> bool:
        """Whether spectra or weights differ."""
        return self.noise_seed is not None or self.left_out is not None


def noise_realisations(count: int, seed: int = 12345) -> list[Variation]:
    """Return fits of the model with ``count`` different noises, for errors of the answer."""
    require_whole("count", count, 1)
    seeds = np.random.SeedSequence(seed).generate_state(count, np.uint32)
    return [Variation(name=f"noise {i}", noise_seed=int(n)) for i, n in enumerate(seeds)]


def jackknife(n_spaxels: int, n_blocks: int) -> list[Variation]:
    """Return fits that leave out one of ``n_blocks`` blocks of neighbouring spaxels each."""
    require_whole("n_blocks", n_blocks, 2)
    if n_blocks > n_spaxels:
        raise ConfigError(f"n_blocks={n_blocks}: there are {n_spaxels} spaxels only.")
    return [
        Variation(name=f"without spaxels {a}-{b - 1}", left_out=(a, b))
        for a, b in cut_evenly(n_spaxels, n_blocks)
    ]


def strengths(values: Sequence[float]) -> list[Variation]:
    """Return fits of other smoothness."""
    return [Variation(name=f"regularization {v:g}", regularization=float(v)) for v in values]


@dataclass(frozen=True, slots=True)
class VariedShare(Share):
    """Spectra of a variation, with the operator that the share itself holds."""


def varied(share: Share, variation: Variation, x: Float, sigma: float) -> VariedShare:
    """Return model and spectra of some spaxels for a variation.

    The noise of a spaxel depends on its number and the seed alone.

    Parameters
    ----------
    share : Share
        Of the fit that it is a variation of.
    variation : Variation
        What is to differ.
    x : ndarray, shape (C, P)
        Its answer.
    sigma : float
        One sigma in units of the misfit: one where there is noise.
    """
    observed = share.observed
    numbers = np.arange(share.first, share.first + observed.data.shape[0])
    weights, data = observed.inverse_noise, observed.data
    if variation.noise_seed is not None:
        noise = np.zeros(data.shape)
        for row, number in zip(noise, numbers, strict=True):
            rng = np.random.default_rng([variation.noise_seed, int(number)])
            row[:] = rng.standard_normal(row.size)
        spread = np.divide(sigma, weights, out=np.zeros(data.shape), where=observed.used)
        data = np.where(observed.used, share.operator.matvec(x), 0.0) + noise * spread
    if variation.left_out is not None:
        first, stop = variation.left_out
        out = (numbers >= first) & (numbers < stop)
        weights = np.where(out[:, None], 0.0, weights)
        data = np.where(out[:, None], 0.0, data)
    return VariedShare(
        share.operator, replace(observed, data=data, inverse_noise=weights), share.first
    )
