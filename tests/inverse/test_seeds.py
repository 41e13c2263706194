import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.inverse.cases import misfit_of, random_observed

from cubefit.inverse.observed import Observed
from cubefit.inverse.seeds import jacobi_seed, seen_components

seeds = st.integers(0, 2**32 - 1)
checked = settings(deadline=None, max_examples=60)


@given(data=st.data(), seed=seeds, unit=st.sampled_from([1e-20, 1.0, 1e10]))
@checked
def test_a_seed_is_never_worse_than_nothing_and_never_negative(kind, problems, data, seed, unit):
    problem = data.draw(problems)
    operator = kind.of(problem)
    observed = random_observed(problem, np.random.default_rng(seed), unit)
    x = jacobi_seed(misfit_of(operator, observed), n_spaxels=2, n_pixels=3, seed=seed)
    assert x.shape == operator.shape[1:3]
    assert np.isfinite(x).all()
    assert (x >= 0).all()
    nothing = observed.chi2(np.zeros(observed.data.shape))
    assert observed.chi2(operator.matvec(x)) <= nothing * (1 + 1e-6)


@given(seed=seeds)
@checked
def test_a_seed_is_every_columns_own_best_weight_scaled_to_the_data(kind, small_problem, seed):
    problem, rng = small_problem(seed), np.random.default_rng(seed)
    y, noise = rng.random((3, 7)), rng.uniform(0.1, 1.0, (3, 7))
    columns = np.moveaxis(problem.models, 0, 2) / noise
    best = np.einsum("cpsl,sl->cp", columns, y / noise) / np.einsum("cpsl,cpsl->cp", *[columns] * 2)
    model = np.einsum("cpsl,cp->sl", columns, best)
    expected = best * np.vdot(model, y / noise) / np.vdot(model, model)
    found = jacobi_seed(misfit_of(kind.of(problem), Observed.of(y, noise=noise)))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_masked_spaxels_and_pixels_take_no_place_in_the_sample(kind, small_problem):
    operator = kind.of(small_problem(5, (40, 4, 3, 2, 40)))
    used = np.zeros((40, 40), bool)
    used[17, 23] = True
    observed = Observed.of(np.ones((40, 40)), voxel_mask=used)
    assert jacobi_seed(misfit_of(operator, observed), n_spaxels=1, n_pixels=1).any()


def test_data_that_no_light_explains_give_nothing(kind, small_problem):
    problem = small_problem(1)
    assert not jacobi_seed(misfit_of(kind.of(problem), Observed.of(-np.ones((3, 7))))).any()
    problem.losvd[:] = 0.0
    assert not jacobi_seed(misfit_of(kind.of(problem), Observed.of(np.ones((3, 7))))).any()


@given(seed=seeds, exponent=st.integers(-60, 30))
@checked
def test_brighter_data_give_a_heavier_seed(kind, small_problem, seed, exponent):
    operator, y = kind.of(small_problem(seed)), np.random.default_rng(seed).random((3, 7))
    x, brighter = (
        jacobi_seed(misfit_of(operator, Observed.of(a * y))) for a in (1.0, 2.0**exponent)
    )
    np.testing.assert_allclose(brighter, 2.0**exponent * x, rtol=1e-6)


def test_the_same_seed_gives_the_same_bits(kind, small_problem):
    operator = kind.of(small_problem(5, (9, 4, 3, 2, 30)))
    misfit = misfit_of(operator, Observed.of(np.random.default_rng(1).random((9, 30))))

    def sample(seed):
        return jacobi_seed(misfit, n_spaxels=2, n_pixels=4, seed=seed)

    np.testing.assert_array_equal(sample(1), sample(1))
    assert (sample(1) != sample(2)).any()


def test_masked_voxels_are_not_sampled(kind, small_problem):
    operator = kind.of(small_problem(5))
    rng = np.random.default_rng(1)
    y, used = rng.random((3, 7)), rng.random((3, 7)) < 0.5
    used[2] = False
    one, other = (
        jacobi_seed(misfit_of(operator, Observed.of(cube, voxel_mask=used)))
        for cube in (y, np.where(used, y, np.nan))
    )
    np.testing.assert_array_equal(one, other)
    assert one.any()


def one_component_a_spaxel(small_problem, light):
    """Return a problem in which component c shines in spaxel c, and in the others ``light[c]``."""
    C = len(light)
    problem = small_problem(7, (C, 3, C, 2, 20))
    own = np.eye(C, dtype=bool)[:, None]
    problem.losvd[:] = np.where(own, problem.losvd, problem.losvd * np.asarray(light, np.float32))
    return problem


def only_spaxel(s, n_spaxels):
    """Return a voxel mask that leaves one spaxel to sample from."""
    mask = np.zeros((n_spaxels, 20), bool)
    mask[s] = True
    return mask


def test_components_that_the_sample_does_not_see_get_no_mass(kind, small_problem):
    problem = one_component_a_spaxel(small_problem, [1.0, 0.0, 1.0, 0.0, 1.0])
    observed = Observed.of(np.ones((5, 20)), voxel_mask=only_spaxel(2, 5))
    x = jacobi_seed(misfit_of(kind.of(problem), observed))
    np.testing.assert_array_equal(x.any(axis=1), [True, False, True, False, True])


@pytest.mark.parametrize(
    ("faint", "light"), [(1, 1e-4), (1, 1e-9), (1, 1e-13), (4, 1e-5), (4, 1e-9), (4, 1e-13)]
)
def test_components_that_the_sample_hardly_sees_get_no_runaway_mass(
    kind, small_problem, faint, light
):
    """Alone, a component a million times fainter would need a million times the mass."""
    problem = one_component_a_spaxel(small_problem, [1.0] * (6 - faint) + [light] * faint)
    observed = Observed.of(np.ones((6, 20)), voxel_mask=only_spaxel(0, 6))
    mass = jacobi_seed(misfit_of(kind.of(problem), observed)).sum(axis=1)
    assert (mass[: 6 - faint] > 0).all()
    assert mass[6 - faint :].max() <= 100 * mass[: 6 - faint].max()


def test_seen_is_what_the_sample_holds_of_a_component_not_of_a_template():
    """Old templates are a thousand times fainter per mass: their columns still are seen."""
    energy = np.array([[1.0, 1e-6], [0.5, 0.5e-6], [1e-5, 1e-11]])
    np.testing.assert_array_equal(seen_components(energy), [True, True, False])


def test_one_bright_component_does_not_hide_many_extended_ones():
    """A compact orbit against orbits spread over a thousand spaxels: 1e-6 of its energy each."""
    energy = np.full((10, 2), 1e-6)
    energy[0] = 1.0
    assert seen_components(energy).all()


def test_tails_of_most_components_do_not_set_what_is_usual():
    energy = np.full((10, 2), 1e-20)
    energy[:3] = 1.0
    energy[3] = 1e-4
    np.testing.assert_array_equal(seen_components(energy), [True] * 3 + [False] * 7)


def test_nothing_seen():
    assert not seen_components(np.zeros((3, 2))).any()
