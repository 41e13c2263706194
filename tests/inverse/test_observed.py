import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cubefit.errors import InputError
from cubefit.inverse.observed import Observed

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
    clean = Observed.of(data, noise=noise, mask=mask, voxel_mask=voxel_mask)
    used = mask & voxel_mask
    dirty_data = np.where(used, data, junk_data)
    dirty_noise = np.where(used.any(axis=0) if per_pixel else used, noise, junk_noise)
    dirty = Observed.of(dirty_data, noise=dirty_noise, mask=mask, voxel_mask=voxel_mask)
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
            observed = Observed.of(data, noise=sigma, mask=m, voxel_mask=v)
            plain = [
                sum(
                    ((model[s, i] - data[s, i]) / spread[s, i]) ** 2
                    for i in np.flatnonzero(used[s])
                )
                for s in range(4)
            ]
            np.testing.assert_allclose(observed.chi2_per_spaxel(model), plain, rtol=1e-12)
            assert observed.chi2(model) == pytest.approx(sum(plain), rel=1e-12)
            assert observed.n_voxels == used.sum()
            np.testing.assert_array_equal(observed.used, used)
            assert observed.has_noise is (sigma is not None)


def test_noise_per_pixel_is_noise_of_every_spaxel():
    data, noise, *_ = make_cube(1)
    per_pixel = Observed.of(data, noise=noise[0])
    per_voxel = Observed.of(data, noise=np.tile(noise[0], (4, 1)))
    np.testing.assert_array_equal(per_pixel.inverse_noise, per_voxel.inverse_noise)


@pytest.mark.parametrize("dtype", [np.float32, np.int32, ">f4"])
def test_data_of_any_type_become_float64(dtype):
    data = np.arange(6).reshape(2, 3).astype(dtype)
    observed = Observed.of(data, noise=np.ones(3, dtype))
    assert observed.data.dtype == observed.inverse_noise.dtype == np.dtype(np.float64)
    assert observed.chi2(np.zeros((2, 3))) == 55.0


def test_what_is_given_is_not_changed():
    data, noise, mask, voxel_mask = make_cube(2)
    copies = [a.copy() for a in (data, noise, mask, voxel_mask)]
    Observed.of(data, noise=noise, mask=mask, voxel_mask=voxel_mask)
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
        Observed.of(np.ones((2, 3)), **masks)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_data_in_use_must_be_finite(value):
    data = np.ones((3, 5))
    data[2, 4] = data[1, 3] = value
    with pytest.raises(
        InputError, match=r"/DataCube is not finite in 2 .* spaxel 1, pixel 3: .*mask="
    ):
        Observed.of(data)


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf, 1e-310])
def test_noise_in_use_must_be_positive_and_finite(value):
    noise = np.ones((3, 5))
    noise[1, 3] = value
    with pytest.raises(InputError, match=r"/Noise is not a positive .* 1 .* spaxel 1, pixel 3"):
        Observed.of(np.ones((3, 5)), noise=noise)
    with pytest.raises(InputError, match=r"/Noise is not a positive .* 2 .* spaxel 0, pixel 3"):
        Observed.of(np.ones((2, 5)), noise=noise[1])


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
        Observed.of(**{"data": np.ones((2, 3)), **arrays})


@pytest.mark.parametrize("shape", [(3,), (1, 3), (2, 1), (3, 2)])
def test_a_model_of_another_shape_is_refused_not_broadcast(shape):
    with pytest.raises(InputError, match="model has shape"):
        Observed.of(np.ones((2, 3))).chi2(np.ones(shape))


def test_some_spaxels_may_all_be_masked_but_the_cube_may_not():
    nothing = np.zeros((2, 3), bool)
    part = Observed.of(np.full((2, 3), np.nan), voxel_mask=nothing, part_from=5)
    assert part.n_voxels == 0
    assert not part.data.any()
    with pytest.raises(InputError, match="leave no voxel"):
        Observed.of(np.ones((2, 3)), voxel_mask=nothing)


@pytest.mark.parametrize("first", [0, 40])
def test_errors_name_the_spaxel_of_the_cube(first):
    data, noise = np.ones((2, 3)), np.ones((2, 3))
    data[1, 2], noise[0, 1] = np.nan, 0.0
    with pytest.raises(InputError, match=f"/DataCube .* spaxel {first + 1}, pixel 2"):
        Observed.of(data, part_from=first)
    with pytest.raises(InputError, match=f"/Noise .* spaxel {first}, pixel 1"):
        Observed.of(np.ones((2, 3)), noise=noise, part_from=first)


@given(seed=seeds, cut=st.integers(1, 3), per_pixel=st.booleans())
@settings(deadline=None)
def test_parts_of_a_cube_are_its_parts(seed, cut, per_pixel):
    data, noise, mask, voxel_mask = make_cube(seed)
    whole = Observed.of(
        data, noise=noise[0] if per_pixel else noise, mask=mask, voxel_mask=voxel_mask
    )
    for part in (slice(0, cut), slice(cut, 4)):
        found = Observed.of(
            data[part],
            noise=noise[0] if per_pixel else noise[part],
            mask=mask,
            voxel_mask=voxel_mask[part],
            part_from=part.start,
        )
        np.testing.assert_array_equal(found.data, whole.data[part])
        np.testing.assert_array_equal(found.inverse_noise, whole.inverse_noise[part])
        assert found.has_noise is whole.has_noise
