"""The fixed sample of a running fit, and what the metrics say of an x."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubefit.errors import InputError
from cubefit.inverse.observed import Observed
from cubefit.inverse.validation import (
    choose_sample,
    observed_sample,
    rms_misfit,
    solution_figures,
)

seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 12)


@st.composite
def masks(draw):
    """Voxels in use of a cube, at least one."""
    shape = draw(sizes), draw(sizes)
    used = np.random.default_rng(draw(seeds)).random(shape) < draw(st.floats(0.0, 1.0))
    used[draw(st.integers(0, shape[0] - 1)), draw(st.integers(0, shape[1] - 1))] = True
    return used


def sample_of(used, n_spaxels, n_pixels, seed):
    """Return the sample of a cube whose voxels in use are known."""
    return choose_sample(used.any(axis=1), used.__getitem__, n_spaxels, n_pixels, seed)


@given(used=masks(), n_spaxels=sizes, n_pixels=sizes, seed=seeds)
def test_a_sample_is_of_voxels_in_use(used, n_spaxels, n_pixels, seed):
    spaxels, pixels = sample_of(used, n_spaxels, n_pixels, seed)
    assert spaxels.dtype == pixels.dtype == np.int32
    assert (np.diff(spaxels) > 0).all()
    assert (np.diff(pixels) > 0).all()
    assert spaxels.size == min(n_spaxels, np.count_nonzero(used.any(axis=1)))
    assert used[spaxels].any(axis=1).all()
    assert pixels.size == min(n_pixels, np.count_nonzero(used[spaxels].any(axis=0)))
    assert used[np.ix_(spaxels, pixels)].any(axis=0).all()


@given(used=masks(), n_spaxels=sizes, n_pixels=sizes, seed=seeds)
def test_the_sample_is_drawn_from_the_seed_spaxels_first(used, n_spaxels, n_pixels, seed):
    """Whoever goes on with a fit compares with the sample that it began with."""
    rng = np.random.default_rng(seed)
    lit = np.flatnonzero(used.any(axis=1))
    spaxels = np.sort(rng.choice(lit, min(n_spaxels, lit.size), replace=False))
    lit = np.flatnonzero(used[spaxels].any(axis=0))
    pixels = np.sort(rng.choice(lit, min(n_pixels, lit.size), replace=False))
    for _ in range(2):
        sample = sample_of(used, n_spaxels, n_pixels, seed)
        np.testing.assert_array_equal(sample.spaxels, spaxels)
        np.testing.assert_array_equal(sample.pixels, pixels)


def test_another_seed_gives_another_sample():
    used = np.ones((100, 100), bool)
    samples = {sample_of(used, 16, 32, seed).spaxels.tobytes() for seed in range(10)}
    assert len(samples) == 10


def test_no_voxel_in_use_is_no_sample():
    with pytest.raises(InputError, match="leave no voxel to fit"):
        sample_of(np.zeros((3, 4), bool), 2, 2, 1)


@given(used=masks(), seed=seeds, with_noise=st.booleans(), n_together=st.integers(1, 5))
def test_the_misfit_of_a_sample_is_that_of_its_voxels(used, seed, with_noise, n_together):
    rng = np.random.default_rng(seed)
    data = np.where(used, rng.standard_normal(used.shape), np.nan)
    noise = rng.uniform(0.5, 2.0, used.shape) if with_noise else None
    spaxels, pixels = sample_of(used, 5, 5, seed)
    spectra = (
        Observed.of(
            data[some],
            noise=None if noise is None else noise[some],
            voxel_mask=used[some],
            part_from=int(some[0]),
        )
        for some in (spaxels[i : i + n_together] for i in range(0, spaxels.size, n_together))
    )
    part = np.ix_(spaxels, pixels)
    model = rng.standard_normal(data[part].shape)
    observed = observed_sample(spectra, pixels)
    inside = used[part]
    scaled = ((model - data[part]) / (1.0 if noise is None else noise[part]))[inside]
    assert observed.n_voxels == inside.sum() > 0
    assert observed.has_noise == with_noise
    assert rms_misfit(observed, model) == pytest.approx(np.sqrt(np.mean(scaled**2)))


solutions = st.builds(
    lambda seed, C, P, share: np.where(
        (rng := np.random.default_rng(seed)).random((C, P)) < share, rng.random((C, P)), 0.0
    ),
    seeds,
    st.integers(1, 5),
    st.integers(1, 5),
    st.floats(0.0, 1.0),
)


@given(x=solutions, seed=seeds)
def test_figures_are_those_of_plain_numpy(x, seed):
    rng = np.random.default_rng(seed)
    before, weights = rng.random(x.shape), rng.uniform(0.1, 1.0, x.shape[0])
    figures = solution_figures(x, before, weights)
    assert figures["nnz"] == (x != 0).sum()
    assert figures["l1_norm"] == pytest.approx(np.abs(x).sum())
    assert figures["l2_norm"] == pytest.approx(np.sqrt((x**2).sum()))
    if x.any():
        change = np.sqrt(((x - before) ** 2).sum() / (x**2).sum())
        errors = np.abs(x.sum(axis=1) / x.sum() - weights / weights.sum())
        assert figures["delta_x_rel"] == pytest.approx(change)
        assert figures["mass_err_L1"] == pytest.approx(errors.sum())
        assert figures["mass_err_Linf"] == pytest.approx(errors.max())
    else:
        assert all(map(math.isnan, list(figures.values())[3:]))


@given(x=solutions, scale=st.floats(1e-3, 1e3))
def test_shares_do_not_depend_on_scales(x, scale):
    weights = np.arange(1.0, x.shape[0] + 1.0)
    one, other = (solution_figures(a * x, None, b * weights) for a, b in ((1, 1), (scale, 7.0)))
    for name in ("mass_err_L1", "mass_err_Linf"):
        assert other[name] == pytest.approx(one[name], abs=1e-12, nan_ok=True)


def test_a_solution_of_the_wished_shares_has_no_mass_error():
    weights = np.array([1.0, 0.0, 3.0])
    x = weights[:, None] * np.array([0.25, 0.75])
    figures = solution_figures(x, x, weights)
    assert figures["mass_err_L1"] == figures["delta_x_rel"] == pytest.approx(0.0)


def test_what_cannot_be_compared_is_nan():
    figures = solution_figures(np.ones((2, 3)), None, None)
    assert [name for name, value in figures.items() if math.isnan(value)] == [
        "delta_x_rel", "mass_err_L1", "mass_err_Linf",
    ]  # fmt: skip
    signed = np.array([[1.0, -2.0]])
    figures = solution_figures(signed, None, None)
    assert (figures["nnz"], figures["l1_norm"]) == (2, 3.0)
