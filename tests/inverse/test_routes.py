"""Both orders of the products give the same; the cheaper one is taken."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.inverse.problems import FLOAT64, KINDS, problem_strategy, random_problem

from cubefit.inverse import lit_blocks, routes
from cubefit.inverse.routes import ThroughComponents, ThroughPopulations

MATRIX_FREE = [kind for kind in KINDS if kind.name == "matrix-free"]


@pytest.mark.parametrize("kind", MATRIX_FREE, ids=lambda kind: kind.dtype.__name__)
@given(
    problem=problem_strategy(),
    seed=st.integers(0, 2**32 - 1),
    batch=st.integers(1, 4000),
    chunk=st.integers(1, 4000),
)
def test_both_routes_give_the_models(kind, problem, seed, batch, chunk):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(routes, "BATCH_BYTES", batch)
        patch.setattr(lit_blocks, "CHUNK_BYTES", chunk)
        operator = kind.of(problem)
        S, C, P, L = operator.shape
        rng = np.random.default_rng(seed)
        x, r = (rng.random(shape).astype(kind.dtype) for shape in ((C, P), (S, L)))
        one, other = (
            (route.spectra(x, S), route.gradient(r, C))
            for route in (
                kind_of_route(operator._kernels, operator._shifted)
                for kind_of_route in (ThroughComponents, ThroughPopulations)
            )
        )
    for a, b in zip(one, other, strict=True):
        assert a.dtype == b.dtype == np.dtype(np.float64)
        np.testing.assert_allclose(a, b, rtol=30 * kind.rounding, atol=1e-30)
    uncertainty = np.einsum("cp,scpl->sl", x, problem.uncertainty(kind))
    expected = np.einsum("cp,scpl->sl", x, problem.models)
    apart = np.abs(one[0] * operator.scale - expected)
    assert (apart <= 30 * uncertainty + 1e-30).all()


@given(problem=problem_strategy(), chunk=st.integers(1, 2000))
def test_dark_pairs_are_not_held_and_lit_ones_are(problem, chunk):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lit_blocks, "CHUNK_BYTES", chunk)
        operator = FLOAT64.of(problem)
    dense = operator.kernels(slice(None))
    kernels = operator._kernels
    lit = dense.any(axis=0)
    assert kernels.n_rows == lit.sum()
    for block in kernels.blocks:
        assert block.n_values == block.spaxels.size * dense[block.spaxels].any(axis=0).sum()
        assert block.n_bytes == 8 * block.n_values
    held = [(b.number, c) for chunk in kernels.chunks for b in chunk.bins for c in b.components]
    assert held == [(v, c) for v, c in zip(*np.nonzero(lit.T), strict=True)]


@pytest.mark.parametrize(
    ("sizes", "route"),
    [((60, 5, 3, 4, 9), ThroughComponents), ((2, 5, 30, 20, 9), ThroughPopulations)],
)
def test_many_spaxels_go_through_components_and_few_through_populations(sizes, route):
    assert isinstance(FLOAT64.of(random_problem(1, sizes))._route, route)


def test_a_model_in_the_dark_is_dark(small_problem):
    problem = small_problem(1)
    problem.losvd[:] = 0.0
    operator = FLOAT64.of(problem)
    S, C, P, L = operator.shape
    assert not operator.matvec(np.ones((C, P))).any()
    assert not operator.rmatvec(np.ones((S, L))).any()
