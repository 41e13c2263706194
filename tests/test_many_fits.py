"""Variations of a fit: each is the fit that a file of its own would give."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cubefit.errors import ConfigError, InputError, MissingDataError
from cubefit.inverse.observed import Observed
from cubefit.inverse.shares import Share, cut_evenly
from cubefit.inverse.variations import Variation, jackknife, noise_realisations, strengths, varied
from cubefit.many_fits import fit_variations
from cubefit.pipeline_runner import PipelineRunner

EXACT = {"method": "exact", "verbose": False, "gap_tolerance": 1e-9}


def observed_of(make_problem, S=12, L=60):
    """Return a problem, spectra with noise, and which voxels count."""
    rng = np.random.default_rng(8)
    problem = make_problem(S=S, L=L)
    sigma = 0.02 * problem.datacube * rng.uniform(0.5, 2.0, problem.datacube.shape)
    cube = problem.datacube + sigma * rng.standard_normal(problem.datacube.shape)
    used = rng.random(cube.shape) < 0.95
    used[3] = False
    return problem, {"datacube": cube, "noise": sigma, "voxel_mask": used}


@pytest.fixture(scope="module")
def fitted_once(make_problem, tmp_path_factory):
    problem, arrays = observed_of(make_problem)
    path = problem.populate(tmp_path_factory.mktemp("many") / "cube.h5", **arrays)
    fit = {"regularization": 0.3, "orbit_weights": np.arange(1.0, 6.0)}
    PipelineRunner(path).solve_all(**EXACT, **fit)
    return path


@pytest.fixture
def fitted(fitted_once, tmp_path):
    """A file with an exact fit with ratios and smoothness."""
    copy = tmp_path / "cube.h5"
    copy.write_bytes(fitted_once.read_bytes())
    return copy


def only(path, variation, **given):
    """Return the one fit of a variation."""
    (found,) = fit_variations(path, [variation], gap_tolerance=1e-9, verbose=False, **given)
    assert found.variation == variation
    return found


def objective_within_gap(one, other):
    apart = abs(one["objective"] - other["objective"])
    return apart <= one["gap_abs"] + other["gap_abs"] + 1e-9 * one["objective"]


def test_nothing_varied_is_the_fit_itself(fitted):
    _, stats = PipelineRunner(fitted).solve_all(
        **EXACT, regularization=0.3, orbit_weights=np.arange(1.0, 6.0)
    )
    found = only(fitted, Variation(name="itself"))
    assert found.x.shape == (5, 12)
    assert found.stats["total_weight"] == stats["total_weight"]
    assert objective_within_gap(found.stats, stats)


def test_spaxels_left_out_are_spaxels_masked(fitted, make_problem, tmp_path):
    problem, arrays = observed_of(make_problem)
    plain, masked = (problem.populate(tmp_path / f"{n}.h5", **arrays) for n in ("plain", "masked"))
    fit = {"regularization": 0.3, "orbit_weights": np.arange(1.0, 6.0), "total_weight": 7.0}
    PipelineRunner(plain).solve_all(**EXACT, **fit)
    found = only(plain, Variation(name="out", left_out=(4, 8)))
    arrays["voxel_mask"][4:8] = False
    problem.populate(masked, **arrays)
    _, stats = PipelineRunner(masked).solve_all(**EXACT, **fit)
    assert found.stats["n_voxels"] == stats["n_voxels"]
    assert objective_within_gap(found.stats, stats)


def test_a_component_that_no_spaxel_is_left_to_show_is_not_expected(make_problem, tmp_path):
    problem, arrays = observed_of(make_problem)
    losvd = problem.losvd.copy()
    losvd[:8, :, 4] = 0.0
    path = problem.populate(tmp_path / "cube.h5", losvd=losvd, **arrays)
    weights = np.arange(1.0, 6.0)
    PipelineRunner(path).solve_all(**EXACT, orbit_weights=weights)
    found = only(path, Variation(name="out", left_out=(8, 12)))
    sums = found.x.sum(axis=1)
    assert sums[4] == 0.0
    assert (sums[:4] / weights[:4]).std() < 0.1 * (sums[:4] / weights[:4]).mean()


def test_another_strength_is_that_of_another_fit(fitted):
    fit = {**EXACT, "orbit_weights": np.arange(1.0, 6.0), "total_weight": 7.0}
    PipelineRunner(fitted).solve_all(**fit, regularization=0.3)
    found = only(fitted, strengths([0.1])[0])
    assert found.stats["regularization"] == 0.1
    _, stats = PipelineRunner(fitted).solve_all(**fit, regularization=0.1)
    assert objective_within_gap(found.stats, stats)


def test_noise_scatters_the_answer_about_the_fit(fitted):
    x, _ = PipelineRunner(fitted).solve_all(
        **EXACT, regularization=0.3, orbit_weights=np.arange(1.0, 6.0)
    )
    fits = list(fit_variations(fitted, noise_realisations(24), verbose=False))
    assert len({f.variation.noise_seed for f in fits}) == 24
    chi2 = np.array([f.stats["chi2_per_voxel"] for f in fits])
    n_voxels = fits[0].stats["n_voxels"]
    # Noise of one sigma, of which the fit takes up to one voxel per weight.
    assert 1 - 60 / n_voxels - 0.1 < chi2.mean() < 1 + 0.1
    totals = np.array([f.x.sum() for f in fits])
    error = totals.std(ddof=1)
    assert 0 < error < 0.1 * x.sum()
    assert abs(totals.mean() - x.sum()) < 6 * error


@pytest.mark.parametrize("at_once", [1, 3])
def test_a_cluster_gives_what_one_machine_gives(fitted, client, at_once):
    wanted = [*noise_realisations(2), *jackknife(12, 2), *strengths([0.0])]
    given = {"gap_tolerance": 1e-9, "verbose": False}
    alone = {f.variation: f for f in fit_variations(fitted, wanted, **given)}
    given |= {"client": client, "n_shares": 3, "at_once": at_once}
    together = {f.variation: f for f in fit_variations(fitted, wanted, **given)}
    assert set(alone) == set(together) == set(wanted)
    for variation in wanted:
        assert objective_within_gap(alone[variation].stats, together[variation].stats)


def test_answers_come_as_they_end_and_one_may_stop(fitted):
    before = fitted.read_bytes()
    fits = fit_variations(fitted, noise_realisations(50), verbose=False)
    assert next(fits).stats["converged"]
    fits.close()
    assert fitted.read_bytes() == before


def test_without_a_fit_to_vary_it_is_refused(make_problem, tmp_path):
    problem, arrays = observed_of(make_problem)
    path = problem.populate(tmp_path / "new.h5", **arrays)
    with pytest.raises(MissingDataError, match="fit first"):
        only(path, Variation(name="any"))
    PipelineRunner(path).solve_all(verbose=False)
    with pytest.raises(ConfigError, match="method='exact'"):
        only(path, Variation(name="any"))


def test_impossible_variations_are_refused(fitted):
    for wrong in (
        {"noise_seed": -1},
        {"noise_seed": 1.5},
        {"regularization": -1.0},
        {"regularization": "auto"},
        {"regularization": float("nan")},
        {"left_out": (3, 3)},
        {"left_out": (-1, 3)},
    ):
        with pytest.raises(ConfigError):
            Variation(name="wrong", **wrong)
    for n_spaxels, n_blocks in ((3, 4), (3, 1)):
        with pytest.raises(ConfigError, match="n_blocks"):
            jackknife(n_spaxels, n_blocks)
    for wrong in (["noise"], 5, None):
        with pytest.raises(InputError, match="no Variation"):
            list(fit_variations(fitted, wrong, verbose=False))
    with pytest.raises(InputError, match="has 12: give jackknife"):
        list(fit_variations(fitted, jackknife(13, 2), verbose=False))
    with pytest.raises(InputError, match="leave no voxel"):
        only(fitted, Variation(name="all", left_out=(0, 12)))


class Whole:
    """An operator of which only ``A x`` is asked."""

    def __init__(self, model):
        self._model = model

    def matvec(self, x):  # noqa: ARG002
        return self._model


@given(
    n=st.integers(1, 9),
    count=st.integers(1, 9),
    seed=st.integers(0, 2**32 - 1),
    has_noise=st.booleans(),
)
@settings(max_examples=50)
def test_the_data_do_not_depend_on_how_spaxels_are_shared(n, count, seed, has_noise):
    rng = np.random.default_rng(seed)
    model, used = rng.random((n, 5)), rng.random((n, 5)) < 0.8
    noise = rng.uniform(0.1, 1.0, (n, 5)) if has_noise else None
    variation = Variation(name="both", noise_seed=seed, left_out=(n // 2, n))

    def part(first, stop):
        rows = slice(first, stop)
        observed = Observed.of(
            model[rows],
            noise=None if noise is None else noise[rows],
            voxel_mask=used[rows],
            part_from=first,
        )
        return varied(Share(Whole(model[rows]), observed, first), variation, None, 2.0).observed

    whole = part(0, n)
    parts = [part(a, b) for a, b in cut_evenly(n, min(count, n))]
    for name in ("data", "inverse_noise"):
        np.testing.assert_array_equal(
            np.concatenate([getattr(p, name) for p in parts]), getattr(whole, name)
        )
    assert not whole.data[~used].any()
    assert not whole.used[n // 2 :].any()
    np.testing.assert_array_equal(whole.used[: n // 2], used[: n // 2])
