from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.inverse.cases import make_case

from cubefit.errors import InputError
from cubefit.inverse.objective import Objective
from cubefit.inverse.priors import Priors

seeds = st.integers(0, 2**32 - 1)
anything = st.sampled_from([np.nan, np.inf, -np.inf, 0.0, -1.0, 1e300])


def make_cube(seed, shape=(4, 6)):
    """Return data, noise, mask and voxel mask that leave something."""
    rng = np.random.default_rng(seed)
    mask, voxel_mask = rng.random(shape[1]) < 0.7, rng.random(shape) < 0.7
    mask[0] = voxel_mask[:, 0] = True
    return rng.normal(size=shape), rng.uniform(0.1, 2.0, shape), mask, voxel_mask


@given(seed=seeds, junk_data=anything, junk_noise=anything, per_pixel=st.booleans())
@settings(deadline=None)
def test_masked_voxels_may_hold_anything(seed, junk_data, junk_noise, per_pixel):
    data, noise, mask, voxel_mask = make_cube(seed)
    noise = noise[0] if per_pixel else noise
    model = np.random.default_rng(seed + 1).normal(size=data.shape)
    clean = Objective.of(data, noise=noise, mask=mask, voxel_mask=voxel_mask)
    used = mask & voxel_mask
    dirty_data = np.where(used, data, junk_data)
    dirty_noise = np.where(used.any(axis=0) if per_pixel else used, noise, junk_noise)
    dirty = Objective.of(dirty_data, noise=dirty_noise, mask=mask, voxel_mask=voxel_mask)
    for name in ("data", "inverse_noise", "used"):
        np.testing.assert_array_equal(getattr(dirty, name), getattr(clean, name))
    assert dirty.chi2(model) == clean.chi2(model)
    assert np.isfinite(dirty.chi2(model))


@given(seed=seeds)
@settings(deadline=None)
def test_chi2_is_the_plain_sum_over_voxels_in_use(seed):
    data, noise, mask, voxel_mask = make_cube(seed)
    model = np.random.default_rng(seed + 1).normal(size=data.shape)
    for sigma in (None, noise, noise[0]):
        spread = np.broadcast_to(1.0 if sigma is None else sigma, data.shape)
        for m, v in ((None, None), (mask, None), (None, voxel_mask), (mask, voxel_mask)):
            used = np.ones(data.shape, bool)
            used &= True if m is None else m
            used &= True if v is None else v
            objective = Objective.of(data, noise=sigma, mask=m, voxel_mask=v)
            plain = [
                sum(
                    ((model[s, i] - data[s, i]) / spread[s, i]) ** 2
                    for i in np.flatnonzero(used[s])
                )
                for s in range(4)
            ]
            np.testing.assert_allclose(objective.chi2_per_spaxel(model), plain, rtol=1e-12)
            assert objective.chi2(model) == pytest.approx(sum(plain), rel=1e-12)
            assert objective.n_voxels == used.sum()
            np.testing.assert_array_equal(objective.used, used)
            assert objective.has_noise is (sigma is not None)


def test_noise_per_pixel_is_noise_of_every_spaxel():
    data, noise, *_ = make_cube(1)
    per_pixel = Objective.of(data, noise=noise[0])
    per_voxel = Objective.of(data, noise=np.tile(noise[0], (4, 1)))
    np.testing.assert_array_equal(per_pixel.inverse_noise, per_voxel.inverse_noise)


@pytest.mark.parametrize("dtype", [np.float32, np.int32, ">f4"])
def test_data_of_any_type_become_float64(dtype):
    data = np.arange(6).reshape(2, 3).astype(dtype)
    objective = Objective.of(data, noise=np.ones(3, dtype))
    assert objective.data.dtype == objective.inverse_noise.dtype == np.dtype(np.float64)
    assert objective.chi2(np.zeros((2, 3))) == 55.0


def test_what_is_given_is_not_changed():
    data, noise, mask, voxel_mask = make_cube(2)
    copies = [a.copy() for a in (data, noise, mask, voxel_mask)]
    Objective.of(data, noise=noise, mask=mask, voxel_mask=voxel_mask)
    for given_array, copy in zip((data, noise, mask, voxel_mask), copies, strict=True):
        np.testing.assert_array_equal(given_array, copy)


@pytest.mark.parametrize(
    "masks",
    [
        {"mask": np.zeros(3, bool)},
        {"voxel_mask": np.zeros((2, 3), bool)},
        {"mask": np.array([1, 0, 0], bool), "voxel_mask": np.array([[0, 1, 1]] * 2, bool)},
    ],
)
def test_masks_that_leave_nothing_are_refused(masks):
    with pytest.raises(InputError, match=r"leave no voxel.*invert"):
        Objective.of(np.ones((2, 3)), **masks)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_data_in_use_must_be_finite(value):
    data = np.ones((3, 5))
    data[2, 4] = data[1, 3] = value
    with pytest.raises(
        InputError, match=r"/DataCube is not finite in 2 .* spaxel 1, pixel 3: .*mask="
    ):
        Objective.of(data)


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf, 1e-310])
def test_noise_in_use_must_be_positive_and_finite(value):
    noise = np.ones((3, 5))
    noise[1, 3] = value
    with pytest.raises(InputError, match=r"/Noise is not a positive .* 1 .* spaxel 1, pixel 3"):
        Objective.of(np.ones((3, 5)), noise=noise)
    with pytest.raises(InputError, match=r"/Noise is not a positive .* 2 .* spaxel 0, pixel 3"):
        Objective.of(np.ones((2, 5)), noise=noise[1])


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"data": np.ones(3)}, "DataCube has shape"),
        ({"noise": np.ones(2)}, "noise has shape"),
        ({"noise": np.ones((2, 1))}, "noise has shape"),
        ({"noise": np.ones((3, 2))}, "noise has shape"),
        ({"noise": np.array(1.0)}, "noise has shape"),
        ({"mask": np.ones(1, bool)}, "mask has shape"),
        ({"mask": np.ones((2, 3), bool)}, "mask has shape"),
        ({"mask": np.ones(3, int)}, "mask has dtype int64: give booleans"),
        ({"voxel_mask": np.ones((2, 1), bool)}, "voxel_mask has shape"),
        ({"voxel_mask": np.ones((2, 3))}, "voxel_mask has dtype float64: give booleans"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_not_broadcast(arrays, words):
    with pytest.raises(InputError, match=words):
        Objective.of(**{"data": np.ones((2, 3)), **arrays})


@pytest.mark.parametrize("shape", [(3,), (1, 3), (2, 1), (3, 2)])
def test_a_model_of_another_shape_is_refused_not_broadcast(shape):
    with pytest.raises(InputError, match="model has shape"):
        Objective.of(np.ones((2, 3))).chi2(np.ones(shape))


def quadratic(seed, kind):
    """Return an operator, an objective with priors, and a point."""
    case = make_case(seed, share_used=0.7, ratio=1.0)
    rng = np.random.default_rng(seed)
    priors = Priors(ratio=case.priors.ratio, smooth=np.diag([1.0, 2.0]), unit=np.arange(1.0, 4.0))
    return kind.of(case.problem), replace(case.plain, priors=priors), rng.random((3, 2)), rng


@pytest.mark.parametrize("seed", range(3))
def test_the_gradient_is_the_finite_difference_of_the_value(kind, seed):
    operator, objective, x, rng = quadratic(seed, kind)
    here, step = objective.at(operator, x), rng.normal(size=x.shape)
    ahead, behind = (objective.at(operator, x + h * step).value for h in (0.1, -0.1))
    tolerance = 1e-4 if kind.dtype is np.float32 else 1e-10
    # Exact for a quadratic, whatever the step.
    assert (ahead - behind) / 0.2 == pytest.approx(
        np.vdot(here.gradient, step), rel=tolerance, abs=tolerance * here.value
    )
    bend = np.vdot(step, objective.curvature(operator, step))
    assert (ahead + behind - 2 * here.value) / 0.01 == pytest.approx(
        bend, rel=tolerance, abs=1e2 * tolerance * here.value
    )


def test_value_is_half_of_chi2_and_the_priors(kind):
    operator, objective, x, _ = quadratic(1, kind)
    here = objective.at(operator, x)
    assert here.chi2 == pytest.approx(objective.chi2(operator.matvec(x)), rel=100 * kind.rounding)
    assert here.value == pytest.approx(0.5 * here.chi2 + objective.priors.value(x), rel=1e-12)
    assert not here.residual[~objective.used].any()
    plain = replace(objective, priors=None).at(operator, x)
    assert plain.value == 0.5 * plain.chi2
    np.testing.assert_allclose(
        here.gradient - plain.gradient, objective.priors.gradient(x), rtol=1e-3, atol=1e-6
    )
