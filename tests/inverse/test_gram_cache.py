import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.inverse.cases import cases, make_case

from cubefit.inverse.gram_cache import GramCache
from cubefit.inverse.misfit import Misfit


def dense(case, kind, chosen):
    """Return the Gram matrix of the chosen columns, priors included."""
    matrix, _ = case.rows(kind)
    part = matrix[:, chosen.ravel()]
    return part.T @ part


def sizes_of(case, kind):
    """Return how large entries of the Gram matrix could be, (C*P, C*P)."""
    norms = np.linalg.norm(case.rows(kind)[0], axis=0)
    return np.outer(norms, norms)


@given(case=cases(ratio=(0.0, 1.0)), data=st.data())
@settings(deadline=None, max_examples=25)
def test_the_cache_gives_the_dense_matrix_whatever_was_asked_before(kind, case, data):
    rng = np.random.default_rng(case.seed)
    cache = GramCache(case.objective(kind), 1e4)
    seen = case.exact(kind).certificate.seen
    for _ in range(4):
        chosen = seen & (rng.random(seen.shape) < rng.random())
        found, expected = cache.of(chosen), dense(case, kind, chosen)
        bound = sizes_of(case, kind)[np.ix_(chosen.ravel(), chosen.ravel())]
        tolerance = 1e-6 if kind.dtype is np.float32 else 1e-12
        assert (np.abs(found - expected) <= tolerance * bound).all()
        np.testing.assert_allclose(found, found.T, rtol=1e-10, atol=0)


def test_the_cache_computes_what_is_new_alone(kind, monkeypatch):
    case, asked = make_case(1), []
    gram = Misfit.gram

    def counted(misfit, one, other, n_bytes):
        asked.append((one.size, other.size))
        return gram(misfit, one, other, n_bytes)

    monkeypatch.setattr(Misfit, "gram", counted)
    cache = GramCache(case.objective(kind), 1e6)
    chosen = np.zeros(case.lit.shape, bool)
    chosen[0] = True
    whole = cache.of(chosen)
    np.testing.assert_array_equal(cache.of(chosen), whole)
    chosen[2, 1] = True
    assert cache.of(chosen)[:2, :2] == pytest.approx(whole)
    chosen[0, 0] = False
    np.testing.assert_array_equal(cache.of(chosen).shape, (2, 2))
    assert asked == [(2, 2), (1, 3)]


def test_no_columns_have_an_empty_matrix(kind):
    case = make_case(1)
    cache = GramCache(case.objective(kind), 1e6)
    assert cache.of(np.zeros(case.lit.shape, bool)).shape == (0, 0)
