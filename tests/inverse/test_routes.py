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
def test_lit_pairs_are_held_once_and_no_more_than_lie_between_them(problem, chunk):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lit_blocks, "CHUNK_BYTES", chunk)
        operator = FLOAT64.of(problem)
    kernels = operator._kernels
    dense = operator.kernels(slice(None))
    lit = dense.any(axis=0)[kernels.order].T
    held = np.zeros(lit.shape, int)
    for part in kernels.chunks:
        for number, rows, components in part.bins:
            held[number, components] += 1
            assert rows.stop - rows.start == components.stop - components.start
            assert lit[number, components.start]
            assert lit[number, components.stop - 1]
    assert held.max(initial=0) <= 1
    assert (held[lit] == 1).all()
    assert kernels.n_rows == held.sum()
    assert sorted(kernels.order) == list(range(lit.shape[1]))
    for block in kernels.blocks:
        assert block.n_bytes == 8 * block.n_values
        assert (dense[block.spaxels] != 0).sum() <= block.n_values
        assert block.n_values <= block.spaxels.size * kernels.n_rows


def test_components_of_nested_reach_leave_no_dark_pair(small_problem):
    problem = small_problem(1, (3, 9, 4, 2, 7))
    for c, reach in enumerate((1, 3, 0, 2)):
        dark = np.abs(np.arange(9) - 4) > reach
        problem.losvd[:, dark, c] = 0.0
    kernels = FLOAT64.of(problem)._kernels
    assert kernels.order.tolist() == [1, 3, 0, 2]
    assert kernels.n_rows == problem.losvd.any(axis=0).sum()


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
