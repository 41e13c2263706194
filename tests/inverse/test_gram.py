import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.inverse.cases import cases, make_case

from cubefit.inverse.gram import stream_gram
from cubefit.inverse.operators import Members


@given(case=cases(), n_bytes=st.sampled_from([1.0, 2000.0, 1e9]))
@settings(deadline=None, max_examples=25)
def test_streaming_in_any_batches_gives_the_dense_matrix(kind, case, n_bytes):
    rng = np.random.default_rng(case.seed)
    operator, (C, P) = kind.of(case.problem), case.lit.shape
    other = Members.where(np.ones((C, P), bool))
    first = int(rng.integers(1, C * P + 1))
    one = Members(other.components[:first], other.populations[:first])
    found = stream_gram(operator, case.observed.inverse_noise, one, other, n_bytes)
    S, L = case.data.shape
    weighted = operator.columns(other)(np.arange(S)) * case.observed.inverse_noise
    flat = weighted.reshape(C * P, S * L)
    # Products of other shapes may round otherwise.
    np.testing.assert_allclose(found, flat[:first] @ flat.T, rtol=10 * kind.rounding)


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
    stream_gram(operator, case.observed.inverse_noise, every, every, 2.0 * one_spaxel)
    assert largest == [one_spaxel] * 3
