"""Fits of the exact solver, counted and timed in passes: one ``A x`` and one ``A^T r`` each."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.cases import NGC4365, Sizes
from cubefit.config import ExactCfg, PriorCfg
from cubefit.demo import demo_templates, population_of
from cubefit.exact_solver import solve_global_exact
from cubefit.inverse.matrix_free import MatrixFreeOperator
from cubefit.inverse.means import component_masses, component_means
from cubefit.inverse.misfit import Misfit
from cubefit.inverse.observed import Observed
from cubefit.inverse.shares import one_share
from cubefit.io.orbits import bundled_orbits
from cubefit.spectra.grids import SPEED_OF_LIGHT_KMS
from cubefit.spectra.shifted_templates import shifted_templates

Float = NDArray[np.float64]


class Counted(MatrixFreeOperator):
    """Counts its passes: a pair is one ``A x`` and one ``A^T r``."""

    pairs = 0

    def misfit(self, x: Float, data: Float | None, inverse_noise: Float) -> tuple[Float, Float]:
        """Count a pair."""
        self.pairs += 1
        return super().misfit(x, data, inverse_noise)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A cube of known truth."""

    operator: Counted
    data: Float
    noise: Float
    template_shape: tuple[int, ...]
    weights: Float
    """Orbit weights, shape (C,)."""
    truth: Float | None = None
    """Shape (C, P)."""
    log_age: Float = field(default_factory=lambda: np.empty(0))
    metal: Float = field(default_factory=lambda: np.empty(0))

    def seconds_of_pair(self) -> float:
        """Return the median time of five pairs."""
        _, C, P, _ = self.operator.shape
        x, times = np.ones((C, P)), []
        for _ in range(6):
            start = time.perf_counter()
            residual = self.operator.matvec(x) - self.data
            self.operator.rmatvec(residual)
            times.append(time.perf_counter() - start)
        return median(times[1:])

    def solve(
        self,
        *,
        noise: Float | None = None,
        priors: PriorCfg | None = None,
        cfg: ExactCfg | None = None,
        with_weights: bool = False,
    ) -> tuple[Float, dict[str, Any]]:
        """Return the exact fit from zero; ``stats["pairs"]`` counts the passes."""
        observed = Observed.of(self.data, noise=self.noise if noise is None else noise)
        before = self.operator.pairs
        x, stats = solve_global_exact(
            Misfit(one_share(self.operator, observed)),
            np.zeros(self.operator.shape[1:3]),
            cfg or ExactCfg(),
            priors or PriorCfg(),
            orbit_weights=self.weights if with_weights else None,
            template_shape=self.template_shape,
            verbose=False,
        )
        return x, stats | {"pairs": self.operator.pairs - before}

    def recovery(self, x: Float) -> dict[str, float]:
        """Return the errors of masses and mean populations of the components."""
        assert self.truth is not None
        found, true = component_masses(x), component_masses(self.truth)
        errors = {
            "total": float(found.sum() / true.sum() - 1.0),
            "shares": float(np.abs(found / found.sum() - true / true.sum()).sum()),
        }
        for name, values in (("log_age", self.log_age), ("metal", self.metal)):
            error = component_means(x, values) - component_means(self.truth, values)
            errors[name] = float(np.sqrt(np.nanmean(error**2)))
        return errors


def reference_case(path: Path) -> tuple[Case, MatrixFreeOperator]:
    """Return the case of a brute-force reference file, and its operator in float32."""
    with np.load(path) as file:
        ref = {key: file[key] for key in file.files if key != "meta_json"}
    shape = ref["templates"].shape[1:]
    templates = ref["templates"].reshape(ref["templates"].shape[0], -1).T
    shifted = shifted_templates(
        templates, ref["tem_loglam"], ref["obs_loglam"], ref["vel"], dtype=np.float64
    )
    metal, log_age = np.meshgrid(ref["metals"], np.log10(ref["ages"]), indexing="ij")
    case = Case(
        operator=Counted(ref["losvd"], shifted, dtype=np.float64),
        data=ref["data_noisy"],
        noise=ref["noise_sigma"],
        template_shape=shape,
        weights=ref["w"],
        truth=ref["x_true"],
        log_age=log_age.ravel(),
        metal=metal.ravel(),
    )
    return case, MatrixFreeOperator(ref["losvd"], shifted)


def finer(grid: Float, values: Float, n: int) -> tuple[Float, Float]:
    """Return a grid of ``n`` points over the same range, and the values on it (first axis)."""
    wanted = np.linspace(grid[0], grid[-1], n)
    place = np.clip(np.searchsorted(grid, wanted, "right") - 1, 0, grid.size - 2)
    share = (wanted - grid[place]) / (grid[place + 1] - grid[place])
    share = share.reshape(-1, *[1] * (values.ndim - 1))
    return wanted, values[place] * (1 - share) + values[place + 1] * share


class LargeMock(NamedTuple):
    """Inputs of a mock of NGC 4365's size, and the truth."""

    losvd: NDArray[np.float32]
    """Shape (S, V, C)."""
    vel_pix: Float
    spectra: Float
    """Templates, shape (P, T)."""
    tem_pix: Float
    obs_pix: Float
    weights: Float
    """Orbit weights, shape (C,)."""
    truth: Float
    """Shape (C, P)."""
    log_age: Float
    metal: Float

    @property
    def template_shape(self) -> tuple[int, int]:
        """Sizes of the template axes."""
        return 12, len(self.spectra) // 12


def large_mock(sizes: Sizes, rng: np.random.Generator) -> LargeMock:
    """Return the medium orbits and E-MILES, tiled and interpolated to given sizes.

    Spaxels are mixtures of two neighbours of the medium library, each tile with its own; extra
    components are mixtures of two orbits; velocity bins, metallicities and ages are interpolated.
    """
    orbits = bundled_orbits("medium")
    S, _, C = orbits.losvd.shape
    more = rng.integers(0, C, (sizes.C - C, 2))
    losvd = np.concatenate([orbits.losvd, orbits.losvd[:, :, more].mean(axis=-1)], axis=2)
    radius = orbits.properties["Rc_kpc"]
    spin = orbits.properties["lambdaz"]
    weights = np.concatenate([orbits.weights, orbits.weights[more].mean(axis=1)])
    radius, spin = (np.concatenate([p, p[more].mean(axis=1)]) for p in (radius, spin))
    velocity, by_bin = finer(orbits.vel, losvd.transpose(1, 0, 2), sizes.V)
    by_bin *= orbits.vel.size / sizes.V
    tiles, place = np.divmod(np.arange(sizes.S), S)
    neighbour = np.clip(place + 1, 0, S - 1)
    share = (rng.random(sizes.S) * (tiles > 0)).astype(np.float32)[:, None]
    fine = np.empty((sizes.S, sizes.V, sizes.C), np.float32)
    for v, plane in enumerate(by_bin):
        fine[:, v] = ((1 - share) * plane[place] + share * plane[neighbour]) / (tiles.max() + 1)
    obs_pix = np.log(4750.0) + np.arange(sizes.L) * 67.0 / SPEED_OF_LIGHT_KMS
    library = demo_templates(obs_pix)
    templates = library.templates[..., 0] / np.median(library.templates)
    metals, by_metal = finer(library.metals, templates.transpose(1, 0, 2), 12)
    log_ages, by_age = finer(np.log10(library.ages), by_metal.transpose(2, 0, 1), sizes.P // 12)
    spectra = by_age.transpose(1, 0, 2).reshape(sizes.P, -1)
    metal, log_age = (a.ravel() for a in np.meshgrid(metals, log_ages, indexing="ij"))
    weights = weights / weights.sum()
    truth = population_of(weights, radius, spin, log_age, metal)
    return LargeMock(
        fine, velocity, spectra, library.ln_wave, obs_pix, weights, truth, log_age, metal
    )


def noisy_data(
    operator: MatrixFreeOperator, truth: Float, rng: np.random.Generator
) -> tuple[Float, Float]:
    """Return spectra of S/N 60 in the median pixel, and their noise."""
    cube = operator.matvec(truth)
    noise = np.sqrt(cube * np.median(cube, axis=1, keepdims=True)) / 60.0
    return cube + noise * rng.standard_normal(cube.shape), noise


def large_case(seed: int = 4365) -> Case:
    """Return a mock of NGC 4365's size, see `large_mock`."""
    rng = np.random.default_rng(seed)
    mock = large_mock(NGC4365, rng)
    shifted = shifted_templates(
        mock.spectra, mock.tem_pix, mock.obs_pix, mock.vel_pix, dtype=np.float64
    )
    operator = Counted(mock.losvd, shifted, dtype=np.float64)
    data, noise = noisy_data(operator, mock.truth, rng)
    return Case(
        operator=operator,
        data=data,
        noise=noise,
        template_shape=mock.template_shape,
        weights=mock.weights,
        truth=mock.truth,
        log_age=mock.log_age,
        metal=mock.metal,
    )
