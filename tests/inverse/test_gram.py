import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.inverse.cases import cases, make_case

from cubefit.inverse import gram as gram_module
from cubefit.inverse.gram import GramCache, stream_gram
from cubefit.inverse.operators import Members

checked = settings(deadline=None, max_examples=25)
any_case = cases(ratio=(0.0, 1.0))


def dense(case, kind, chosen):
    """Return the Gram matrix of the chosen columns, priors included."""
    matrix, _ = case.rows(kind)
    part = matrix[:, chosen.ravel()]
    return part.T @ part


def sizes_of(case, kind):
    """Return how large entries of the Gram matrix could be, (C*P, C*P)."""
    norms = np.linalg.norm(case.rows(kind)[0], axis=0)
    return np.outer(norms, norms)


@given(case=any_case, n_bytes=st.sampled_from([1.0, 2000.0, 1e9]))
@checked
def test_streaming_in_any_batches_gives_the_dense_matrix(kind, case, n_bytes):
    rng = np.random.default_rng(case.seed)
    operator, (C, P) = kind.of(case.problem), case.lit.shape
    other = Members.where(np.ones((C, P), bool))
    first = int(rng.integers(1, C * P + 1))
    one = Members(other.components[:first], other.populations[:first])
    found = stream_gram(operator, case.plain.inverse_noise, one, other, n_bytes)
    S, L = case.data.shape
    weighted = operator.columns(other)(np.arange(S)) * case.plain.inverse_noise
    flat = weighted.reshape(C * P, S * L)
    # Products of other shapes may round otherwise.
    np.testing.assert_allclose(found, flat[:first] @ flat.T, rtol=10 * kind.rounding)


@given(case=any_case, data=st.data())
@checked
def test_the_cache_gives_the_dense_matrix_whatever_was_asked_before(kind, case, data):
    rng = np.random.default_rng(case.seed)
    cache = GramCache(kind.of(case.problem), case.objective, 1e4)
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

    def counted(operator, inverse_noise, one, other, n_bytes):
        asked.append((one.size, other.size))
        return stream_gram(operator, inverse_noise, one, other, n_bytes)

    monkeypatch.setattr(gram_module, "stream_gram", counted)
    cache = GramCache(kind.of(case.problem), case.objective, 1e6)
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
    cache = GramCache(kind.of(case.problem), case.objective, 1e6)
    assert cache.of(np.zeros(case.lit.shape, bool)).shape == (0, 0)


def test_batches_stay_within_their_memory(kind, monkeypatch):
    case, largest = make_case(2), []
    operator = kind.of(case.problem)
    columns = operator.columns

    def counted(members):
        read = columns(members)

        def measured(spaxels):
            result = read(spaxels)
            largest.append(result.nbytes)
            return result

        return measured

    monkeypatch.setattr(operator, "columns", counted)
    every = Members.where(np.ones(case.lit.shape, bool))
    one_spaxel = 8 * every.size * case.data.shape[1]
    stream_gram(operator, case.plain.inverse_noise, every, every, 2.0 * one_spaxel)
    assert largest == [one_spaxel] * 3
