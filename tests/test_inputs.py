import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cubefit.errors import GridError, InputError
from cubefit.inputs import check_inputs, checked_solution
from cubefit.spectra.shifted_templates import shifted_templates

S, V, C, P, L, T = 4, 5, 3, 6, 9, 61


def good(**changes):
    """Return keyword arguments of `check_inputs` that fit; no two axes are alike."""
    rng = np.random.default_rng(1)
    inputs = {
        "tem_pix": 8.5 + 1e-4 * np.arange(T),
        "obs_pix": 8.5 + 1e-4 * (16 + 3 * np.arange(L)),
        "vel_pix": np.linspace(-200.0, 200.0, V),
        "losvd": rng.uniform(0.1, 1.0, (S, V, C)),
        "datacube": rng.random((S, L)),
        "templates": rng.uniform(0.5, 1.5, (T, 2, 3)),
    }
    return inputs | changes


OPTIONAL = {
    "mask": np.arange(L) > 0,
    "noise": np.full((S, L), 0.1),
    "voxel_mask": np.ones((S, L), bool),
    "template_axes": {"metallicity": [-1.0, 0.0], "age": [1, 3, 10]},
    "xpix": np.arange(7.0),
    "ypix": np.arange(7),
    "binnum": np.arange(7) % S,
    "template_masses": np.arange(1.0, 7.0).reshape(2, 3),
}


def test_good_inputs_come_back_in_the_files_types():
    inputs = check_inputs(**good(**OPTIONAL))
    assert inputs.dims == {"nSpat": S, "nLSpec": L, "nTSpec": T, "nVel": V, "nComp": C, "nPop": P}
    assert inputs.losvd.dtype == inputs.templates.dtype == np.float32
    assert inputs.datacube.dtype == inputs.noise.dtype == np.float64
    assert inputs.mask.dtype == inputs.voxel_mask.dtype == np.bool_
    assert inputs.xpix.dtype == inputs.ypix.dtype == np.float64
    assert inputs.binnum.dtype == np.int32
    for name in ("losvd", "datacube", "templates", "noise"):
        assert getattr(inputs, name).flags.c_contiguous
    np.testing.assert_array_equal(inputs.datacube, good()["datacube"])
    np.testing.assert_array_equal(inputs.losvd, good()["losvd"].astype(np.float32))
    assert inputs.template_shape == (2, 3)
    assert inputs.template_axes == {"metallicity": [-1.0, 0.0], "age": [1.0, 3.0, 10.0]}
    assert inputs.template_masses.dtype == np.float64
    np.testing.assert_array_equal(inputs.template_masses, np.arange(1.0, 7.0))
    assert inputs.safety_pad_px == 64
    assert inputs.coverage.safe


def test_templates_become_populations_in_c_order():
    given_templates = good()["templates"]
    flat = check_inputs(**good()).templates
    for z in range(2):
        for age in range(3):
            np.testing.assert_array_equal(
                flat[3 * z + age], given_templates[:, z, age].astype(np.float32)
            )
    one_axis = check_inputs(**good(templates=given_templates.reshape(T, P)))
    np.testing.assert_array_equal(one_axis.templates, flat)
    assert one_axis.template_shape == (P,)


def test_optional_inputs_are_optional():
    inputs = check_inputs(**good())
    for name in ("mask", "noise", "voxel_mask", "xpix", "ypix", "binnum"):
        assert getattr(inputs, name) is None
    assert inputs.template_axes == {}


@pytest.mark.parametrize("order", [None, "LS"])
def test_transposed_cubes_are_turned(order):
    arrays = good(**OPTIONAL)
    turned = {k: np.transpose(arrays[k]) for k in ("datacube", "noise", "voxel_mask")}
    straight = check_inputs(**arrays)
    inputs = check_inputs(**(arrays | turned), datacube_order=order)
    for name in turned:
        np.testing.assert_array_equal(getattr(inputs, name), getattr(straight, name))


def test_noise_may_be_one_spectrum():
    noise = np.linspace(0.1, 0.2, L)
    np.testing.assert_array_equal(check_inputs(**good(noise=noise)).noise, noise)


@pytest.mark.parametrize("order", ["SL", "LS"])
def test_a_square_cube_is_taken_with_its_order(order):
    rng = np.random.default_rng(2)
    cube, losvd = rng.random((L, L)), rng.uniform(0.1, 1.0, (L, V, C))
    inputs = check_inputs(**good(losvd=losvd, datacube=cube), datacube_order=order)
    np.testing.assert_array_equal(inputs.datacube, cube if order == "SL" else cube.T)


@pytest.mark.parametrize(
    "convert",
    [
        np.ndarray.tolist,
        lambda array: array.astype(np.float32),
        lambda array: array.astype(">f4"),
        np.asfortranarray,
        np.ma.array,
    ],
    ids=["lists", "float32", "FITS", "Fortran", "unmasked"],
)
def test_real_numbers_in_any_form_are_taken(convert):
    names = ("losvd", "datacube", "templates", "tem_pix", "obs_pix", "vel_pix")
    inputs = check_inputs(**good(**{name: convert(good()[name]) for name in names}))
    np.testing.assert_allclose(inputs.datacube, good()["datacube"], rtol=1e-6)
    np.testing.assert_allclose(inputs.losvd, good()["losvd"], rtol=1e-6)
    np.testing.assert_allclose(inputs.grids.obs_pix, good()["obs_pix"], rtol=1e-6)
    assert inputs.datacube.dtype.isnative
    assert inputs.losvd.dtype == np.float32


def test_whole_numbers_are_taken():
    cube = np.arange(S * L).reshape(S, L)
    losvd = np.ones((S, V, C), np.uint8)
    inputs = check_inputs(**good(datacube=cube, losvd=losvd, mask=[1] * (L - 1) + [0]))
    np.testing.assert_array_equal(inputs.datacube, cube)
    np.testing.assert_array_equal(inputs.losvd, losvd)
    np.testing.assert_array_equal(inputs.mask, [True] * (L - 1) + [False])


@given(junk=st.sampled_from([np.nan, np.inf, -np.inf, 1e300]), seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=20)
def test_masked_voxels_may_hold_anything(junk, seed):
    used = np.random.default_rng(seed).random((S, L)) < 0.5
    used[0, 0] = True
    cube, noise = np.where(used, 1.0, junk), np.where(used, 1.0, junk)
    inputs = check_inputs(**good(datacube=cube, noise=noise, voxel_mask=used))
    np.testing.assert_array_equal(inputs.datacube, cube)


def changed(name, index, value, dtype=float):
    """Return the good array of that name with one element changed."""
    array = np.array((good() | OPTIONAL)[name], dtype)
    array[index] = value
    return array


def ragged(name):
    rows = np.asarray(good()[name]).tolist()
    rows[0] = rows[0][:-1]
    return rows


BAD_GRIDS = {
    "Angstrom in tem_pix": (
        {"tem_pix": np.exp(good()["tem_pix"])},
        r"tem_pix.*looks like Angstrom.*np\.log",
    ),
    "Angstrom in obs_pix": (
        {"obs_pix": np.exp(good()["obs_pix"])},
        r"obs_pix.*looks like Angstrom.*np\.log",
    ),
    "log10 in tem_pix": (
        {"tem_pix": good()["tem_pix"] / np.log(10)},
        r"tem_pix.*log10.*np\.log\(10\)",
    ),
    "log10 in obs_pix": ({"obs_pix": good()["obs_pix"] / np.log(10)}, r"obs_pix.*log10"),
    "uneven tem_pix": ({"tem_pix": changed("tem_pix", 7, 8.50073)}, "tem_pix.*element 7.*Rebin"),
    "uneven obs_pix": ({"obs_pix": changed("obs_pix", 3, 8.50252)}, "obs_pix.*element 3.*Rebin"),
    "uneven vel_pix": ({"vel_pix": [-200, -100, 10, 100, 200]}, "VelPix.*element 2.*km/s"),
    "decreasing tem_pix": ({"tem_pix": good()["tem_pix"][::-1]}, "tem_pix.*does not increase"),
    "decreasing obs_pix": ({"obs_pix": good()["obs_pix"][::-1]}, "obs_pix.*does not increase"),
    "decreasing vel_pix": ({"vel_pix": good()["vel_pix"][::-1]}, "VelPix.*does not increase"),
    "m/s in vel_pix": ({"vel_pix": 1000 * good()["vel_pix"]}, "VelPix.*looks like m/s"),
    "NaN in obs_pix": ({"obs_pix": changed("obs_pix", 3, np.nan)}, "obs_pix.*NaN"),
    "NaN in vel_pix": ({"vel_pix": changed("vel_pix", 3, np.nan)}, "VelPix.*NaN"),
    "one velocity bin": ({"vel_pix": [0.0], "losvd": np.ones((S, 1, C))}, "VelPix.*2 or more"),
    "two-dimensional tem_pix": ({"tem_pix": [good()["tem_pix"]]}, "tem_pix.*one vector"),
    "short templates, blue": (
        {"tem_pix": good()["tem_pix"][9:], "templates": good()["templates"][9:]},
        r"Templates cover 49\d\d\.\d-.*LOSVD's support.*Give wider",
    ),
    "short templates, red": (
        {"tem_pix": good()["tem_pix"][:-20], "templates": good()["templates"][:-20]},
        "Templates cover.*Give wider",
    ),
    "LOSVD too wide": ({"vel_pix": 5 * good()["vel_pix"]}, "Templates cover.*empty velocity bins"),
}

BAD_VALUES = {
    "losvd (V, S, C)": (
        {"losvd": good()["losvd"].transpose(1, 0, 2)},
        r"losvd has shape \(5, 4, 3\).*axis 0 has that length: reorder to \(S, V, C\)",
    ),
    "losvd (S, C, V)": (
        {"losvd": good()["losvd"].transpose(0, 2, 1)},
        r"losvd has shape \(4, 3, 5\).*axis 2 has that length: reorder to \(S, V, C\)",
    ),
    "losvd of other velocities": (
        {"losvd": np.ones((S, V + 2, C))},
        r"\(4, 7, 3\).*no axis has it",
    ),
    "losvd of one component": ({"losvd": np.ones((S, V))}, r"losvd has shape \(4, 5\): give"),
    "losvd without components": ({"losvd": np.ones((S, V, 0))}, r"losvd has shape \(4, 5, 0\)"),
    "NaN in losvd": (
        {"losvd": changed("losvd", (2, 1, 0), np.nan)},
        r"losvd is not finite, first at \(s, v, c\) = \(2, 1, 0\): set empty bins to 0",
    ),
    "negative losvd": (
        {"losvd": changed("losvd", (3, 4, 2), -1e-9)},
        r"losvd is negative, first at \(s, v, c\) = \(3, 4, 2\) \(-1e-09\)",
    ),
    "dark losvd": ({"losvd": np.zeros((S, V, C))}, "losvd holds no light"),
    "losvd below float32": ({"losvd": 1e-60 * good()["losvd"]}, "losvd values reach.*rescale"),
    "losvd above float32": ({"losvd": 1e60 * good()["losvd"]}, "losvd values reach.*rescale"),
    "models below float32": (
        {"losvd": 1e-20 * good()["losvd"], "templates": 1e-20 * good()["templates"]},
        "models .* reach.*rescale",
    ),
    "templates above float32": ({"templates": 1e40 * good()["templates"]}, "templates reach.*resc"),
    "spaxels disagree": (
        {"datacube": np.ones((S + 1, L))},
        r"datacube.*\(5, 9\).*4 spaxels in losvd",
    ),
    "pixels disagree": (
        {"datacube": np.ones((S, L + 1))},
        r"datacube.*\(4, 10\).*9 pixels in /ObsPix.*\(4, 9\) or \(9, 4\)",
    ),
    "cube in x, y, l": ({"datacube": np.ones((2, 2, L))}, r"datacube has shape \(2, 2, 9\)"),
    "cube against its order": ({"datacube_order": "LS"}, r"datacube.*must be \(9, 4\)\."),
    "unknown order": ({"datacube_order": "XY"}, "datacube_order='XY': give 'SL', 'LS' or None"),
    "square cube": (
        {"losvd": np.ones((L, V, C)), "datacube": np.ones((L, L))},
        "datacube is square.*datacube_order='SL' or 'LS'",
    ),
    "NaN in datacube": (
        {"datacube": changed("datacube", (2, 5), np.nan)},
        r"/DataCube is not finite.*spaxel 2, pixel 5.*mask=",
    ),
    "template axis last": (
        {"templates": np.moveaxis(good()["templates"], 0, -1)},
        r"templates has shape \(2, 3, 61\): give \(T, nZ.*T = 61",
    ),
    "one template": ({"templates": np.ones(T)}, r"templates has shape \(61,\)"),
    "no template": ({"templates": np.ones((T, 0))}, r"templates has shape \(61, 0\)"),
    "NaN in templates": (
        {"templates": changed("templates", (5, 1, 2), np.nan)},
        r"templates \[5\] hold NaN.*drop them",
    ),
    "zero template": (
        {"templates": changed("templates", (slice(None), 0, 1), 0.0)},
        r"templates \[1\] are zero everywhere: drop",
    ),
    "template below float32": (
        {"templates": changed("templates", (slice(None), 0, 1), 1e-60)},
        "faintest template reach.*rescale",
    ),
    "axes of wrong lengths": (
        {"template_axes": {"metallicity": [0.0, 1.0, 2.0], "age": [1.0, 2.0]}},
        r"template_axes have lengths .*'metallicity': 3.*axes \(2, 3\)",
    ),
    "too few axes": ({"template_axes": {"age": range(6)}}, r"template_axes have lengths"),
    "axes without names": (
        {"template_axes": [[0, 1], [1, 2, 3]]},
        "template_axes is a list: give a dict",
    ),
    "NaN in an axis": (
        {"template_axes": {"metallicity": [0.0, np.nan], "age": [1, 2, 3]}},
        r"template_axes\['metallicity'\] must be a vector of finite",
    ),
    "mask of the masked length": (
        {"mask": np.ones(L - 1, bool)},
        r"Row L mismatch \(8 vs 9\): mask",
    ),
    "mask of pixel numbers": ({"mask": np.arange(L)}, "mask holds values other than 0 and 1"),
    "mask per voxel": ({"mask": np.ones((S, L), bool)}, r"mask has shape \(4, 9\), the data need"),
    "mask that leaves nothing": ({"mask": np.zeros(L, bool)}, "leave no voxel.*invert"),
    "masks that leave nothing": (
        {"mask": np.arange(L) == 0, "voxel_mask": np.ones((S, 1)) * (np.arange(L) > 0)},
        "leave no voxel.*invert",
    ),
    "voxel_mask of other spaxels": ({"voxel_mask": np.ones((S + 1, L))}, r"voxel_mask.*\(5, 9\)"),
    "NaN in voxel_mask": ({"voxel_mask": np.full((S, L), np.nan)}, "voxel_mask holds values other"),
    "zero noise": (
        {"noise": changed("noise", (1, 2), 0.0)},
        r"/Noise is not a positive.*spaxel 1, pixel 2",
    ),
    "zero noise spectrum": (
        {"noise": np.arange(L)},
        r"/Noise is not a positive.*4 unmasked voxels.*spaxel 0, pixel 0",
    ),
    "negative noise": ({"noise": changed("noise", (1, 2), -0.1)}, "/Noise is not a positive"),
    "NaN in noise": ({"noise": changed("noise", (1, 2), np.nan)}, "/Noise is not a positive"),
    "one noise a spaxel": ({"noise": np.ones(S)}, r"noise has shape \(4,\)"),
    "binnum from one": (
        {"binnum": np.arange(S) + 1},
        "binnum holds 1 to 4.*0 to 3.*count from zero",
    ),
    "binnum -1": ({"binnum": np.arange(S) - 1}, "binnum holds -1 to 2.*leave unbinned pixels out"),
    "fractional binnum": ({"binnum": np.arange(S) + 0.5}, "binnum holds fractions"),
    "NaN in binnum": ({"binnum": [0.0, np.nan]}, "binnum holds fractions"),
    "no binnum": ({"binnum": np.zeros(0, int)}, "binnum holds nothing"),
    "image as binnum": ({"binnum": np.zeros((2, 2), int)}, r"vectors of one length.*\(2, 2\)"),
    "maps of other lengths": (
        {"xpix": np.arange(7), "ypix": np.arange(6)},
        r"xpix, ypix and binnum must be vectors of one length.*\(7,\).*\(6,\)",
    ),
    "NaN in xpix": ({"xpix": [0.0, np.nan]}, "xpix holds NaN"),
    "infinite ypix": ({"ypix": [0.0, np.inf]}, "ypix holds NaN or infinite"),
    "negative pad": ({"safety_pad_px": -1}, "safety_pad_px=-1: give a whole number"),
    "fractional pad": ({"safety_pad_px": 1.5}, "safety_pad_px=1.5"),
    "pad by name": ({"safety_pad_px": "wide"}, "safety_pad_px='wide'"),
}

NAMES = ("tem_pix", "obs_pix", "vel_pix", "losvd", "datacube", "templates")
BAD_TYPES = {
    **{
        f"{name} of {what}": ({name: convert(good()[name])}, words.format(name=name))
        for name in NAMES
        for what, convert, words in (
            ("objects", lambda a: np.asarray(a, object), "{name}: Object dtype has no native HDF5"),
            ("complex numbers", lambda a: a + 0j, "{name} has dtype complex128: give real numbers"),
            ("words", lambda a: np.asarray(a, str), "{name} has dtype <U.*give real numbers"),
            (
                "masked numbers",
                lambda a: np.ma.array(a, mask=a > a.min()),
                "{name} has masked elem",
            ),
            ("nothing", lambda _: None, "{name}: Object dtype"),
        )
    },
    **{f"ragged {name}": ({name: ragged(name)}, f"{name} is ragged") for name in NAMES[3:]},
    "list of arrays": ({"losvd": [{"s": 1}, {"s": 2}]}, "losvd: Object dtype"),
    "ragged template_axes": (
        {"template_axes": {"metallicity": [[0.0], [1.0, 2.0]], "age": [1, 2, 3]}},
        r"template_axes\['metallicity'\] is ragged",
    ),
    "complex noise": ({"noise": np.ones((S, L)) + 1j}, "noise has dtype complex128"),
    "words in binnum": ({"binnum": ["a", "b"]}, "binnum has dtype"),
}


def refused(error, changes, words):
    with pytest.raises(error, match=words) as caught:
        check_inputs(**good(**changes))
    assert type(caught.value) is error
    message = str(caught.value)
    assert "\n" not in message
    assert message.rstrip().endswith((".", '"'))


@pytest.mark.parametrize(("changes", "words"), BAD_GRIDS.values(), ids=BAD_GRIDS)
def test_bad_grids_are_refused(changes, words):
    refused(GridError, changes, words)


@pytest.mark.parametrize(("changes", "words"), BAD_VALUES.values(), ids=BAD_VALUES)
def test_bad_values_are_refused(changes, words):
    refused(InputError, changes, words)


@pytest.mark.parametrize(("changes", "words"), BAD_TYPES.values(), ids=BAD_TYPES)
def test_bad_types_are_refused(changes, words):
    refused(InputError, changes, words)


def test_a_mask_at_muse_size_names_both_lengths():
    dln, n_pixels = 1.6e-4, 724
    obs_pix = 8.5 + dln * np.arange(n_pixels)
    tem_pix = 8.5 + dln * np.arange(-9, n_pixels + 9)
    changes = good(
        obs_pix=obs_pix,
        tem_pix=tem_pix,
        datacube=np.ones((S, n_pixels)),
        templates=np.ones((tem_pix.size, 2)),
        mask=np.ones(680, bool),
    )
    with pytest.raises(InputError, match=r"Row L mismatch \(680 vs 724\)"):
        check_inputs(**changes)


def test_empty_velocity_bins_need_no_templates():
    losvd = np.zeros((S, 21, C))
    losvd[:, 8:13] = good()["losvd"]
    velocities = 100.0 * np.arange(-10, 11)
    inputs = check_inputs(**good(losvd=losvd, vel_pix=velocities))
    assert inputs.coverage == check_inputs(**good()).coverage
    used = inputs.losvd.any(axis=(0, 2))
    shifted = shifted_templates(
        inputs.templates, inputs.grids.tem_pix, inputs.grids.obs_pix, velocities, used=used
    )
    assert np.isfinite(shifted).all()


def test_what_is_given_is_not_changed():
    arrays = good(**OPTIONAL)
    copies = {k: v.copy() for k, v in arrays.items()}
    check_inputs(**arrays)
    for name, copy in copies.items():
        np.testing.assert_array_equal(arrays[name], copy)


@pytest.mark.parametrize("unit", [1e-20, 1e20])
def test_units_are_free(unit):
    inputs = check_inputs(
        **good(
            templates=unit * good()["templates"],
            datacube=unit * good()["datacube"],
            noise=np.full(L, unit),
        )
    )
    np.testing.assert_allclose(inputs.templates.max() / unit, good()["templates"].max())


@pytest.mark.parametrize("shape", [(6,), (2, 3)])
def test_solution_comes_flat_or_as_components_by_populations(shape):
    x = np.arange(6.0).reshape(shape)
    assert np.array_equal(checked_solution(x, 2, 3), np.arange(6.0).reshape(2, 3))


def test_transposed_solution_is_refused():
    with pytest.raises(InputError, match=r"\(P, C\), transpose it"):
        checked_solution(np.zeros((3, 2)), 2, 3)


@pytest.mark.parametrize("bad", [np.zeros(5), np.zeros((1, 6)), [0, 0, 0, 0, 0, np.nan]])
def test_solution_of_another_length_or_with_nan_is_refused(bad):
    with pytest.raises(InputError, match="x h"):
        checked_solution(bad, 2, 3)


@pytest.mark.parametrize("values", [range(1, 7), np.arange(1, 7, dtype=np.float32)])
def test_template_masses_come_flat_or_along_the_axes(values):
    for shape in ((2, 3), (6,)):
        masses = np.asarray(values).reshape(shape)
        found = check_inputs(**good(template_masses=masses)).template_masses
        np.testing.assert_array_equal(found, np.arange(1.0, 7.0))
    assert check_inputs(**good()).template_masses is None


@pytest.mark.parametrize(
    ("masses", "words"),
    [
        (np.ones((3, 2)), r"template_masses has shape \(3, 2\): .* need \(2, 3\) or \(6,\)"),
        (1.0, r"shape \(\).*np\.ones"),
        (np.ones(5), r"shape \(5,\)"),
        ([[1, 2, 3], [4, 0, -1]], r"has 2 values .* first 0 at \(1, 1\)"),
        ([1, 2, 3, np.nan, 5, 6], r"has 1 values .* first nan at \(3,\)"),
        ([1, 2, 3, np.inf, 5, 6], "first inf"),
        (["a"] * 6, "template_masses has dtype"),
    ],
)
def test_wrong_template_masses_are_refused(masses, words):
    with pytest.raises(InputError, match=words):
        check_inputs(**good(template_masses=masses))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([1.0, 2.0], "component_properties is a list: give a dict"),
        ({"": [1.0, 2.0]}, "name '' is empty or longer than 64 bytes"),
        ({"λ" * 33: [1.0, 2.0]}, "longer than 64 bytes"),
        ({"r": [1.0, 2.0]}, r"\['r'\] has shape \(2,\).* 3 components"),
        ({"r": [1.0, 2.0, np.inf]}, r"\['r'\] has infinite values"),
        ({"r": ["a", "b", "c"]}, "give real numbers"),
    ],
)
def test_wrong_component_properties_are_refused(given, words):
    with pytest.raises(InputError, match=words):
        check_inputs(**good(component_properties=given))


def test_component_properties_may_be_unknown_in_part():
    found = check_inputs(
        **good(component_properties={"r [kpc]": [np.nan, 2, 3]}, orbit_weights=[0, 1, 2])
    )
    np.testing.assert_array_equal(found.component_properties["r [kpc]"], [np.nan, 2.0, 3.0])
    np.testing.assert_array_equal(found.orbit_weights, [0.0, 1.0, 2.0])
    with pytest.raises(InputError, match="one weight per component"):
        check_inputs(**good(orbit_weights=[1, 2]))


@pytest.mark.parametrize("name", ["", "  "])
def test_an_axis_of_the_templates_needs_a_name(name):
    with pytest.raises(InputError, match="give each axis a name"):
        check_inputs(**good(template_axes={"age": [1, 2], name: [1, 2, 3]}))
