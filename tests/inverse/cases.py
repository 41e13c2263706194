"""Fits of every awkward kind, their dense least squares, and one registry of solvers."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from hypothesis import strategies as st
from scipy.optimize import nnls
from tests.inverse.problems import FLOAT64, Kind, Problem, problem_strategy, random_problem

from cubefit.config import SolverCfg
from cubefit.inverse.certificate import Certificate
from cubefit.inverse.compressed import CompressedModel
from cubefit.inverse.exact import Exact
from cubefit.inverse.kaczmarz import KaczmarzState, sweeps
from cubefit.inverse.misfit import Misfit
from cubefit.inverse.objective import Objective
from cubefit.inverse.observed import Observed
from cubefit.inverse.priors import (
    Priors,
    expected_units,
    ratio_matrix,
    second_differences,
    smoothness,
)
from cubefit.inverse.ratio import ratio_targets
from cubefit.inverse.shares import Share, Shares, one_share

TOLERANCE = 1e-9
"""Relative gap at which the solvers stop here."""
DEGENERACIES = ("no", "twin templates", "twin components", "mixed template", "dark template")
DATA = ("noisy", "exact", "unlike", "negative", "any sign")
NOISE = ("none", "separable", "general")


class ManyShares(Shares):
    """Spaxels in several shares, all in this process.

    Parameters
    ----------
    held : list
        What is held of each share, in the order of spaxels.
    """

    are_here = True

    def __init__(self, held):
        self.held = held

    def total(self, part, *given):
        """Return the sum of ``part(share, *given)``, first to last."""
        terms = [part(share, *given) for share in self.held]
        return tuple(sum(of_shares[1:], of_shares[0]) for of_shares in zip(*terms, strict=True))

    def any_of(self, ask, *given):
        """Return ``ask(share, *given)`` of the first."""
        return ask(self.held[0], *given)

    def each(self, make, *given):
        """Return the shares of ``make(share, *given)``."""
        return ManyShares([make(share, *given) for share in self.held])


def misfit_of(operator, observed: Observed) -> Misfit:
    """Return the misfit of all spaxels in one share."""
    return Misfit(one_share(operator, observed))


def random_observed(problem: Problem, rng: np.random.Generator, unit: float = 1.0) -> Observed:
    """Return spectra whose data are anything, with noise and some voxels masked."""
    S, _, _, L = problem.shape
    used = rng.random((S, L)) < 0.8
    used[rng.integers(S), rng.integers(L)] = True
    data = unit * rng.normal(0.5, 1.0, (S, L))
    data[~used] = np.nan
    return Observed.of(data, noise=unit * rng.uniform(0.1, 1.0, (S, L)), voxel_mask=used)


def weighing(inverse_noise: np.ndarray) -> Observed:
    """Return spectra of zeros with these weights (S, L), which may all be zero."""
    return Observed(data=np.zeros(inverse_noise.shape), inverse_noise=inverse_noise, has_noise=True)


def separable_weights(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Return inverse noise that separates, some spaxels and pixels masked."""
    weights = rng.uniform(0.5, 2.0, (shape[0], 1)) * rng.uniform(0.5, 2.0, shape[1])
    weights[:, rng.random(shape[1]) < 0.2] = 0.0
    weights[rng.random(shape[0]) < 0.2] = 0.0
    return weights


def degenerate(problem: Problem, how: str) -> Problem:
    """Return a problem whose columns depend on one another, or are dark."""
    losvd, shifted = problem.losvd.copy(), problem.shifted.copy()
    if how == "twin templates":
        shifted[:, -1] = shifted[:, 0]
    if how == "twin components":
        losvd[:, :, -1] = losvd[:, :, 0]
    if how == "mixed template":
        shifted[:, 0] = shifted.mean(axis=1)
    if how == "dark template":
        shifted[:, 0] = 0.0
    return Problem(losvd, shifted)


def make_data(problem: Problem, how: str, rng: np.random.Generator) -> np.ndarray:
    """Return a cube (S, L) that the model can fit or not."""
    S, C, P, L = problem.shape
    truth = rng.random((C, P)) * (rng.random((C, P)) < 0.5)
    data = np.einsum("scpl,cp->sl", problem.models, truth)
    if how == "exact":
        return data
    if how == "noisy":
        return data * rng.normal(1.0, 0.05, (S, L))
    top = problem.models.max() or 1.0
    if how == "unlike":
        return top * rng.random((S, L))
    return top * (-rng.random((S, L)) if how == "negative" else rng.normal(size=(S, L)))


def make_noise(how: str, scale: float, shape: tuple[int, int], rng: np.random.Generator):
    """Return a noise cube, or None."""
    if how == "none":
        return None
    if how == "general":
        return scale * rng.uniform(0.01, 1.0, shape)
    return scale * rng.uniform(0.01, 1.0, (shape[0], 1)) * rng.uniform(0.1, 1.0, shape[1])


def make_mask(share: float, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Return which voxels count: at least one; where the share is below one, a spaxel has none."""
    used = rng.random(shape) < share
    if share < 1.0:
        used[rng.integers(shape[0])] = False
    if not used.any():
        used[0, 0] = True
    return used


@dataclass(frozen=True, kw_only=True)
class Case:
    """A fit: what `Observed.of` takes, and the strength of its priors."""

    problem: Problem
    data: np.ndarray
    noise: np.ndarray | None
    used: np.ndarray
    ratio: float
    """Strength of the ratio rows."""
    smooth: float
    """Strength of the smoothness."""
    seed: int
    """Of the orbit weights."""

    def brighter(self, factor: float, *, noise_too: bool = True) -> "Case":
        """Return the fit of ``factor`` times the data."""
        noise = self.noise
        if noise is not None and noise_too:
            noise = factor * noise
        return replace(self, data=factor * self.data, noise=noise)

    @cached_property
    def observed(self) -> Observed:
        """Data and weights."""
        return Observed.of(self.data, noise=self.noise, voxel_mask=self.used)

    @cached_property
    def lit(self) -> np.ndarray:
        """Columns with light in a voxel in use, shape (C, P)."""
        return FLOAT64.of(self.problem).rmatvec(self.observed.inverse_noise) > 0

    @cached_property
    def total(self) -> float:
        """About what x sums to: as much light as there is in the data."""
        weight = self.observed.inverse_noise
        light = np.linalg.norm(self.problem.models.sum(axis=(1, 2)) * weight)
        size = np.linalg.norm(self.observed.data * weight)
        return float(size / light * self.lit.size) if light > 0 and size > 0 else 1.0

    @cached_property
    def unit_of_priors(self) -> float:
        """Without noise, the size of the data takes the place of one sigma."""
        if self.noise is not None:
            return 1.0
        return float(np.sqrt((self.observed.data**2).sum() / self.observed.n_voxels)) or 1.0

    @cached_property
    def weights(self) -> np.ndarray:
        """Orbit weights, shape (C,)."""
        return np.random.default_rng(self.seed).uniform(0.1, 1.0, self.lit.shape[0])

    @cached_property
    def priors(self) -> Priors:
        """The prior terms."""
        C, P = self.lit.shape
        priors = Priors.none(C, P)
        lit = self.lit.any(axis=1)
        if self.ratio and lit.any():
            anchor, candidates = ratio_targets(self.weights, "auto", 0.0, lit)
            rows = ratio_matrix(
                self.weights, self.total, self.ratio * self.unit_of_priors, candidates, anchor
            )
            priors = replace(priors, ratio=rows)
        if self.smooth and P >= 3:
            priors = replace(
                priors,
                smooth=smoothness((P,), self.smooth * self.unit_of_priors),
                unit=expected_units(self.weights, self.total, C, P),
            )
        return priors

    def shares(self, kind: Kind, cuts: Sequence[int] = ()) -> Shares[Share]:
        """Return all spaxels, cut before those of the given numbers (ascending, above zero)."""
        if not cuts:
            return one_share(kind.of(self.problem), self.observed)
        edges = [0, *cuts, self.data.shape[0]]
        return ManyShares([self._share(kind, a, b) for a, b in itertools.pairwise(edges)])

    def _share(self, kind: Kind, first: int, end: int) -> Share:
        part = slice(first, end)
        observed = Observed.of(
            self.data[part],
            noise=None if self.noise is None else self.noise[part],
            voxel_mask=self.used[part],
            part_from=first,
        )
        return Share(kind.of(self.problem, part), observed, first)

    def misfit(self, kind: Kind, cuts: Sequence[int] = ()) -> Misfit:
        """Return the misfit, see `shares`."""
        return Misfit(self.shares(kind, cuts))

    def plain(self, kind: Kind) -> Objective:
        """Return the objective without priors."""
        return Objective(self.misfit(kind))

    def objective(self, kind: Kind, cuts: Sequence[int] = ()) -> Objective:
        """Return the objective that is minimised, see `shares`."""
        return Objective(self.misfit(kind, cuts), self.priors)

    @cached_property
    def value_of_zero(self) -> float:
        """The objective at x = 0: the scale of its rounding."""
        return 0.5 * float(np.sum((self.observed.data * self.observed.inverse_noise) ** 2))

    def prior_rows(self) -> np.ndarray:
        """Return the prior terms as rows (R, C*P), written out."""
        C, P = self.lit.shape
        rows = [np.repeat(self.priors.ratio, P, axis=1)]
        if self.priors.is_smooth:
            bends = self.smooth * self.unit_of_priors * second_differences((P,))
            rows += [
                np.kron(e, bends) / u for e, u in zip(np.eye(C), self.priors.unit, strict=True)
            ]
        return np.concatenate(rows)

    def rows(self, kind: Kind) -> tuple[np.ndarray, np.ndarray]:
        """Return matrix and right side of the least squares, columns without light zero."""
        operator = kind.of(self.problem)
        C, P = self.lit.shape
        models = np.array([operator.matvec(e.reshape(C, P)) for e in np.eye(C * P)])
        weighted = (models * self.observed.inverse_noise).reshape(C * P, -1).T
        matrix = np.concatenate([weighted, self.prior_rows()]) * (weighted > 0).any(axis=0)
        right = np.zeros(matrix.shape[0])
        right[: weighted.shape[0]] = (self.observed.data * self.observed.inverse_noise).ravel()
        return matrix, right

    def least(self, kind: Kind) -> float:
        """Return the least objective by SciPy's dense solver."""
        matrix, right = self.rows(kind)
        length = np.linalg.norm(matrix, axis=0)
        length[length == 0] = 1.0
        size = np.linalg.norm(right) or 1.0
        x, _ = nnls(matrix / length, right / size, maxiter=10_000)
        return 0.5 * float(np.sum((matrix @ (x / length * size) - right) ** 2))

    def exact(self, kind: Kind, cuts: Sequence[int] = (), *, batch_bytes: float = 1e6) -> Exact:
        """Return the exact fit, see `shares`."""
        objective = self.objective(kind, cuts)
        return Exact(
            objective=objective,
            certificate=Certificate(objective.misfit),
            model=CompressedModel.of(objective.misfit.shares),
            batch_bytes=batch_bytes,
        )

    def rounding(self, kind: Kind) -> float:
        """Return the error that a value of the objective may have."""
        share = 1e-5 if kind.dtype is np.float32 else 1e-11
        stiffness = (self.ratio**2 + self.smooth**2) * self.unit_of_priors**2
        return share * self.value_of_zero + 1e-14 * self.lit.size * stiffness


def make_case(
    seed: int,
    problem: Problem | None = None,
    *,
    degeneracy: str = "no",
    data: str = "noisy",
    noise: str = "general",
    share_used: float = 1.0,
    ratio: float = 0.0,
    smooth: float = 0.0,
) -> Case:
    """Return a case of a problem; see `cases` for what it may be like."""
    rng = np.random.default_rng(seed)
    problem = degenerate(random_problem(seed) if problem is None else problem, degeneracy)
    cube = make_data(problem, data, rng)
    scale = float(np.abs(cube).max()) or 1.0
    return Case(
        problem=problem,
        data=cube,
        noise=make_noise(noise, scale, cube.shape, rng),
        used=make_mask(share_used, cube.shape, rng),
        ratio=ratio,
        smooth=smooth,
        seed=seed,
    )


@st.composite
def cases(draw, *, ratio=(0.0,), smooth=(0.0,)):
    """Draw a case of any problem without subnormal numbers, of which float32 keeps no digits."""
    problem = draw(problem_strategy())
    problem.losvd[problem.losvd < 1e-30] = 0.0
    return make_case(
        draw(st.integers(0, 2**32 - 1)),
        problem,
        degeneracy=draw(st.sampled_from(DEGENERACIES)),
        data=draw(st.sampled_from(DATA)),
        noise=draw(st.sampled_from(NOISE)),
        share_used=draw(st.sampled_from([1.0, 0.7])),
        ratio=draw(st.sampled_from(ratio)),
        smooth=draw(st.sampled_from(smooth)),
    )


@st.composite
def cuts_of(draw, case):
    """Draw the spaxels before which those of a case are cut into shares, one share at least."""
    inner = range(1, case.data.shape[0])
    if not inner:
        return []
    return sorted(draw(st.sets(st.sampled_from(inner))))


@dataclass(frozen=True)
class ExactKind:
    """The exact solver, with the priors that choose its method."""

    name: str
    ratio: tuple[float, ...]
    smooth: tuple[float, ...]

    def cases(self):
        """Strategy for fits of this kind."""
        return cases(ratio=self.ratio, smooth=self.smooth)

    def iterates(self, case: Case, kind: Kind, start: np.ndarray) -> Iterator[np.ndarray]:
        """Yield x from round to round."""
        for state in case.exact(kind).solve(start, TOLERANCE):
            yield state.x


@dataclass(frozen=True)
class KaczmarzKind:
    """Kaczmarz sweeps."""

    name: str

    def cases(self):
        """Strategy for fits: the sweeps know no noise and no priors."""
        return cases()

    def iterates(self, case: Case, kind: Kind, start: np.ndarray) -> Iterator[np.ndarray]:
        """Yield x after each spaxel of two epochs."""
        operator, config = kind.of(case.problem), SolverCfg(epochs=2)
        for state in sweeps(operator, case.observed, config, KaczmarzState(x=start)):
            yield state.x


EXACT = (
    ExactKind("working sets", (0.0, 0.1, 10.0), (0.0,)),
    ExactKind("interior point", (0.0, 0.1, 10.0), (0.01, 1.0, 30.0)),
)
"""Both methods of the exact solver."""
SOLVERS = (*EXACT, KaczmarzKind("Kaczmarz"))
"""Every solver there is."""
