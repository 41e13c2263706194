import io
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cubefit.errors import ConfigError, GridError, InputError
from cubefit.io.orbits import OrbitLibrary, bundled_orbits, read_orbits, read_orbits_npz


def arrays(n_bins=3, n_velocities=5, n_components=2, n_pixels=8):
    random = np.random.default_rng(1)
    return {
        "losvd": random.random((n_bins, n_velocities, n_components)).astype(np.float32),
        "vel": np.linspace(-200.0, 200.0, n_velocities),
        "xpix": random.normal(size=n_pixels),
        "ypix": random.normal(size=n_pixels),
        "binnum": (np.arange(n_pixels) % n_bins).astype(np.int32),
        "w": np.array([0.25, 0.75]),
        "orb_Rc_kpc": np.array([1.0, 4.0]),
        "meta_json": np.array("{}"),
    }


def save(path, **changes):
    content = {key: value for key, value in (arrays() | changes).items() if value is not None}
    np.savez(path, **content)
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "orbits.npz"


@pytest.mark.parametrize(
    ("size", "shape", "n_pixels"), [("small", (40, 31, 24), 400), ("medium", (293, 45, 120), 3600)]
)
def test_bundled_libraries(size, shape, n_pixels):
    orbits = bundled_orbits(size)
    assert orbits.losvd.shape == shape
    assert orbits.losvd.dtype == np.float32
    assert orbits.vel.shape == shape[1:2]
    assert orbits.weights.sum() == pytest.approx(1.0, rel=1e-6)
    assert orbits.binnum.shape == orbits.x.shape == orbits.y.shape == (n_pixels,)
    assert orbits.binnum.dtype == np.int32
    assert set(orbits.properties) == {"Rc_kpc", "lambdaz", "Rmean_kpc", "zrms_kpc"}
    assert {values.shape for values in orbits.properties.values()} == {shape[2:]}
    # A share of the light: no component can send more than all of it.
    assert orbits.losvd.sum((0, 1), dtype=np.float64).max() < 1.0 + 1e-5


def test_other_sizes_are_refused():
    with pytest.raises(ConfigError, match="small, medium"):
        bundled_orbits("../small")


def test_what_is_written_is_read(path):
    orbits = read_orbits_npz(save(path))
    given_arrays = arrays()
    assert isinstance(orbits, OrbitLibrary)
    np.testing.assert_array_equal(orbits.losvd, given_arrays["losvd"])
    np.testing.assert_array_equal(orbits.vel, given_arrays["vel"])
    np.testing.assert_array_equal(orbits.binnum, given_arrays["binnum"])
    np.testing.assert_array_equal(orbits.x, given_arrays["xpix"])
    np.testing.assert_array_equal(orbits.y, given_arrays["ypix"])
    np.testing.assert_array_equal(orbits.properties["Rc_kpc"], [1.0, 4.0])


def test_other_real_types_are_converted(path):
    whole = {"losvd": np.ones((3, 5, 2), np.float64), "binnum": np.arange(8) % 3, "w": [1, 2]}
    orbits = read_orbits_npz(save(path, **whole, orb_id=np.array([7, 8])))
    assert (orbits.losvd.dtype, orbits.binnum.dtype) == (np.float32, np.int32)
    assert orbits.weights.dtype == np.float64
    assert orbits.properties["id"].tolist() == [7.0, 8.0]


def test_pixels_may_belong_to_no_bin(path):
    binnum = np.array([-1, 0, 1, 2, -1, 0, 1, 2])
    assert read_orbits_npz(save(path, binnum=binnum)).binnum.tolist() == binnum.tolist()


@pytest.mark.parametrize("key", ["losvd", "vel", "xpix", "ypix", "binnum", "w"])
def test_missing_key_is_named(path, key):
    with pytest.raises(InputError, match=f"lacks {key}; it holds"):
        read_orbits_npz(save(path, **{key: None}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"losvd": np.ones((3, 5))}, r"losvd has shape \(3, 5\)"),
        ({"losvd": np.ones((3, 5, 2), complex)}, "real numbers"),
        ({"losvd": np.full((3, 5, 2), -1.0)}, "below 0"),
        ({"losvd": np.full((3, 5, 2), np.nan)}, "losvd holds NaN"),
        ({"losvd": np.ones((0, 5, 2))}, "empty"),
        ({"vel": np.linspace(-1, 1, 6)}, r"vel holds 6 values, but losvd.shape\[1\] is 5"),
        ({"vel": np.linspace(-4e5, 4e5, 5)}, "speed of light"),
        ({"w": np.ones(3)}, r"w holds 3 values, but losvd.shape\[2\] is 2"),
        ({"w": np.array([1.0, -0.1])}, "masses"),
        ({"w": np.zeros(2)}, "masses"),
        ({"w": np.array([np.inf, 1.0])}, "w holds NaN or infinite"),
        ({"xpix": np.ones(7)}, "xpix holds 7 values"),
        ({"ypix": np.ones((8, 1))}, "ypix has shape"),
        ({"ypix": np.array(["a"] * 8)}, "real numbers"),
        ({"binnum": np.zeros(8)}, "one integer a pixel"),
        ({"binnum": np.zeros((2, 4), int)}, "one integer a pixel"),
        ({"binnum": np.arange(8)}, "losvd has 3"),
        ({"binnum": np.zeros(8, int)}, "losvd has 3"),
        ({"binnum": np.full(8, -1)}, "losvd has 3"),
        ({"binnum": np.arange(8) % 3 - 2}, "losvd has 3"),
        ({"orb_Rc_kpc": np.ones(5)}, "orb_Rc_kpc holds 5 values"),
        ({"orb_name": np.array(["a", "b"])}, "orb_name has"),
    ],
)
def test_impossible_arrays_are_refused(path, changes, message):
    with pytest.raises(InputError, match=message):
        read_orbits_npz(save(path, **changes))


@pytest.mark.parametrize("velocity", [np.linspace(200, -200, 5), np.array([0.0, 1, 2, 3, 9])])
def test_velocity_grid_must_be_uniform(path, velocity):
    with pytest.raises(GridError, match="vel"):
        read_orbits_npz(save(path, vel=velocity))


def test_float32_overflow_is_refused(path):
    with pytest.raises(InputError, match="beyond float32"):
        read_orbits_npz(save(path, losvd=np.full((3, 5, 2), 1e60)))


def test_pickles_are_never_loaded(path, tmp_path):
    with pytest.raises(InputError, match="plain arrays"):
        read_orbits_npz(save(path, w=np.array([{"a": 1}, None], object)))
    (tmp_path / "pickle.npz").write_bytes(pickle.dumps([1, 2, 3]))
    with pytest.raises(InputError, match="plain arrays"):
        read_orbits_npz(tmp_path / "pickle.npz")


def test_other_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="is no file"):
        read_orbits_npz(tmp_path / "missing.npz")
    for name, content in (("empty.npz", b""), ("text.npz", b"losvd 1 2 3\n")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match="cannot be read as npz"):
            read_orbits_npz(tmp_path / name)
    np.save(tmp_path / "bare.npy", np.ones(3))
    with pytest.raises(InputError, match="one bare array"):
        read_orbits_npz(tmp_path / "bare.npy")


def test_the_door_recognises_a_library_by_its_keys(path):
    expected = read_orbits_npz(save(path))
    for name in (path, str(path)):
        for format_name in ("auto", "npz"):
            found = read_orbits(name, format_name)
            np.testing.assert_array_equal(found.losvd, expected.losvd)
            assert found.source == str(path)


def test_the_door_refuses_what_it_does_not_know(path, tmp_path):
    with pytest.raises(ConfigError, match="must be one of auto, npz, agama, dynamite"):
        read_orbits(save(path), "hdf5")
    with pytest.raises(ConfigError, match="has no options kinematics"):
        read_orbits(path, kinematics=0)
    with pytest.raises(InputError, match="does not exist"):
        read_orbits(tmp_path / "absent.npz")
    (tmp_path / "library.txt").write_text("1 2 3")
    with pytest.raises(InputError, match="cannot be read as npz"):
        read_orbits(tmp_path / "library.txt")
    with pytest.raises(InputError, match="lacks amplitudes"):
        read_orbits(path, "agama")


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damage_is_refused_or_harmless(tmp_path_factory, data):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays())
    content = bytearray(buffer.getvalue())
    if data.draw(st.booleans(), label="truncate"):
        content = content[: data.draw(st.integers(0, len(content) - 1), label="kept")]
    else:
        where = data.draw(st.integers(0, len(content) - 1), label="where")
        content[where] ^= data.draw(st.integers(1, 255), label="flip")
    path = tmp_path_factory.mktemp("damaged") / "orbits.npz"
    path.write_bytes(content)
    try:
        orbits = read_orbits_npz(path)
    except InputError:
        return
    np.testing.assert_array_equal(orbits.losvd, arrays()["losvd"])
