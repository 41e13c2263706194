import numpy as np
import pytest

from cubefit.errors import ConfigError, GridError, InputError
from cubefit.io.ssp import read_ssp

AGES = np.array([0.5, 1.0, 5.0, 12.0])
METALS = np.array([-1.3, -0.4, 0.2])
ALPHAS = np.array([0.0, 0.4])
LAM = 4000.0 * np.exp(2e-4 * np.arange(500))
RNG = np.random.default_rng(11)


def ppxf_arrays(**changes):
    """What pPXF 9 writes: wavelength, age, metallicity."""
    arrays = {
        "templates": RNG.random((LAM.size, AGES.size, METALS.size)).astype(np.float32),
        "lam": LAM,
        "ages": AGES,
        "metals": METALS,
        "masses": RNG.random((AGES.size, METALS.size)),
        "fwhm": np.linspace(2.0, 3.0, LAM.size),
    }
    return {key: value for key, value in (arrays | changes).items() if value is not None}


def generic_arrays(**changes):
    """Metallicity, age, alpha, wavelength: no order of anybody's."""
    arrays = {
        "templates": RNG.random((METALS.size, AGES.size, ALPHAS.size, LAM.size)),
        "wave": LAM,
        "ages": AGES,
        "metals": METALS,
        "alphas": ALPHAS,
        "masses": RNG.random((METALS.size, AGES.size, ALPHAS.size)),
        "axes": np.array(["metals", "ages", "alphas", "wave"]),
        "medium": np.array("vacuum"),
    }
    return {key: value for key, value in (arrays | changes).items() if value is not None}


@pytest.fixture
def saved(tmp_path):
    def save(arrays):
        np.savez(tmp_path / "ssp.npz", **arrays)
        return tmp_path / "ssp.npz"

    return save


# --- pPXF ------------------------------------------------------------------------------------


def test_ppxf_file_reads_back(saved):
    arrays = ppxf_arrays()
    library = read_ssp(saved(arrays), medium="air")
    assert library.templates.shape == (500, 3, 4, 1)
    np.testing.assert_array_equal(
        library.templates[..., 0], arrays["templates"].transpose(0, 2, 1).astype(np.float64)
    )
    np.testing.assert_array_equal(library.masses[..., 0], arrays["masses"].T)
    for name, key in (("wave", "lam"), ("ages", "ages"), ("metals", "metals"), ("fwhm", "fwhm")):
        np.testing.assert_array_equal(getattr(library, name), arrays[key])
    assert library.alphas.tolist() == [0.0]
    assert library.medium == "air"
    assert "ssp.npz (pPXF npz" in library.source


def test_ppxf_with_one_resolution(saved):
    assert read_ssp(saved(ppxf_arrays(fwhm=2.51)), medium="air").fwhm == 2.51
    assert read_ssp(saved(ppxf_arrays(fwhm=np.array([2.51]))), medium="air").fwhm == 2.51


def test_ppxf_square_in_age_and_metallicity_is_no_guess(saved):
    square = np.arange(LAM.size * 9.0).reshape(-1, 3, 3)
    arrays = ppxf_arrays(templates=square, ages=AGES[:3], masses=np.arange(9.0).reshape(3, 3))
    library = read_ssp(saved(arrays), medium="air")
    np.testing.assert_array_equal(library.templates[:, 2, 0, 0], square[:, 0, 2])
    np.testing.assert_array_equal(library.masses[..., 0], arrays["masses"].T)


def test_only_the_range_is_kept_and_judged(saved):
    arrays = ppxf_arrays()
    arrays["templates"][0] = np.nan
    with pytest.raises(InputError, match=r"templates holds 12 negative, NaN .*from 4000.0 A on"):
        read_ssp(saved(arrays), medium="air")
    library = read_ssp(saved(arrays), medium="air", wave_range=(4100.0, 4200.0))
    start = int(np.searchsorted(LAM, library.wave[0]))
    kept = slice(start, start + library.wave.size)
    np.testing.assert_array_equal(library.wave, LAM[kept])
    np.testing.assert_array_equal(library.fwhm, arrays["fwhm"][kept])
    assert library.wave.size < 180
    assert library.wave_edges[0] < 4100.0
    assert library.wave_edges[-1] > 4200.0


def test_range_beyond_the_file_is_refused(saved):
    with pytest.raises(GridError, match=r"ssp\.npz covers 3999\.6-.* narrow the range"):
        read_ssp(saved(ppxf_arrays()), medium="air", wave_range=(3900.0, 4200.0))


def test_medium_that_is_not_told_is_asked_for(saved):
    with pytest.raises(ConfigError, match=r"air or in vacuum.*E-MILES and MILES are published in"):
        read_ssp(saved(ppxf_arrays()))


@pytest.mark.parametrize("key", ["templates", "lam", "ages", "metals"])
def test_missing_keys_are_named(saved, key):
    path = saved(ppxf_arrays(**{key: None}))
    with pytest.raises(InputError, match=f"lacks {key}"):
        read_ssp(path, medium="air", format="ppxf")
    with pytest.raises(InputError, match="lacks"):
        read_ssp(path, medium="air")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"templates": np.ones((500, 3, 4))}, r"templates has shape \(500, 3, 4\).*transpose"),
        ({"masses": np.ones((3, 4))}, r"masses has shape \(3, 4\).*transpose"),
        ({"templates": np.ones((4, 3, 500))}, "transpose"),
        ({"templates": np.ones((500, 4))}, "templates has shape"),
        ({"fwhm": np.ones(7)}, "fwhm has shape"),
        ({"lam": LAM[::-1]}, "strictly increasing"),
        ({"lam": np.log(LAM)}, "not nm, micron or a logarithm"),
        ({"ages": AGES[::-1]}, "ages must be a strictly increasing"),
        ({"metals": METALS[[0, 2, 1]]}, "metals must be a strictly increasing"),
        ({"ages": 1e3 * AGES}, "in Gyr"),
        ({"ages": np.log10(AGES)}, "in Gyr"),
        ({"ages": np.array(["a", "b", "c", "d"])}, "ages has type"),
        ({"templates": np.full((500, 4, 3), -1.0)}, "negative"),
        ({"masses": np.full((4, 3), np.nan)}, "masses holds 12 negative, NaN"),
        ({"fwhm": np.zeros(500)}, "fwhm is zero"),
    ],
)
def test_files_that_are_mixed_up_are_refused(saved, changes, message):
    with pytest.raises(InputError, match=message):
        read_ssp(saved(ppxf_arrays(**changes)), medium="air")


@pytest.mark.parametrize("kept", [0, 100, 5000, 20_000])
def test_truncated_files_are_refused(saved, kept):
    path = saved(ppxf_arrays())
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InputError, match="cannot be read as npz"):
        read_ssp(path, medium="air")


def like_populations(log_gyr):
    """Spectra (T, nAge, nZ) that redden as those of E-MILES do with the logarithm of age."""
    slope = (LAM / LAM.mean() - 1.0)[:, None, None]
    return 1.0 + (2.5 * log_gyr[None, :, None] + 0.1 * METALS) * slope


def test_logarithms_of_years_are_no_gyr(saved):
    log_yr = np.array([9.0, 9.48, 10.0, 10.1])
    arrays = ppxf_arrays(templates=like_populations(log_yr - 9.0), ages=log_yr)
    with pytest.raises(InputError, match=r"look like log10\(age / yr\). Give Gyr"):
        read_ssp(saved(arrays), medium="air", wave_range=(4100.0, 4200.0))
    old_gyr = np.array([5.0, 7.0, 9.0, 10.0])
    arrays = ppxf_arrays(templates=like_populations(np.log10(old_gyr)), ages=old_gyr)
    assert read_ssp(saved(arrays), medium="air").ages.tolist() == old_gyr.tolist()


def test_mass_fractions_are_no_metallicities_in_dex(saved):
    arrays = ppxf_arrays(metals=np.array([0.004, 0.008, 0.02]))
    with pytest.raises(InputError, match=r"0\.004 to 0\.02, which looks like mass fractions Z"):
        read_ssp(saved(arrays), medium="air")
    dex = np.array([0.0, 0.06, 0.09])
    assert read_ssp(saved(ppxf_arrays(metals=dex)), medium="air").metals.tolist() == dex.tolist()


def test_axes_of_ppxf_are_not_to_be_told(saved):
    with pytest.raises(ConfigError, match="leave axes out"):
        read_ssp(saved(ppxf_arrays()), medium="air", axes=("wave", "metals", "ages"))


# --- named axes ------------------------------------------------------------------------------


def test_named_axes_in_any_order(saved):
    arrays = generic_arrays()
    library = read_ssp(saved(arrays))
    np.testing.assert_array_equal(library.templates, np.moveaxis(arrays["templates"], -1, 0))
    np.testing.assert_array_equal(library.masses, arrays["masses"])
    np.testing.assert_array_equal(library.alphas, ALPHAS)
    assert (library.medium, library.fwhm) == ("vacuum", None)


def test_wavelength_comes_first_where_it_is_not_named(saved):
    templates = RNG.random((LAM.size, ALPHAS.size, AGES.size, METALS.size))
    arrays = generic_arrays(
        templates=templates, axes=np.array(["alpha", "age", "metallicity"]), masses=None
    )
    library = read_ssp(saved(arrays))
    np.testing.assert_array_equal(library.templates, templates.transpose(0, 3, 2, 1))
    assert library.masses is None


def test_axes_may_be_told_in_the_call(saved):
    arrays = generic_arrays(axes=None)
    arrays["metals"] = np.array([-1.3, -0.8, -0.4, 0.2])
    arrays["templates"] = RNG.random((4, 4, 2, LAM.size))
    arrays["masses"] = RNG.random((4, 4, 2))
    path = saved(arrays)
    with pytest.raises(InputError, match="more than one order fits"):
        read_ssp(path)
    library = read_ssp(path, axes=("ages", "metals", "alphas", "wave"))
    np.testing.assert_array_equal(library.templates, arrays["templates"].transpose(3, 1, 0, 2))
    np.testing.assert_array_equal(library.masses, arrays["masses"].transpose(1, 0, 2))


def test_lengths_tell_axes_that_differ(saved):
    arrays = generic_arrays(axes=None)
    np.testing.assert_array_equal(
        read_ssp(saved(arrays)).templates, np.moveaxis(arrays["templates"], -1, 0)
    )


def test_axes_of_one_value_leave_nothing_open(saved):
    arrays = generic_arrays(
        axes=None,
        metals=METALS[:1],
        alphas=ALPHAS[:1],
        templates=RNG.random((LAM.size, 1, AGES.size, 1)),
        masses=None,
    )
    assert read_ssp(saved(arrays)).templates.shape == (LAM.size, 1, AGES.size, 1)


def test_lengths_that_fit_no_order_are_refused(saved):
    arrays = generic_arrays(axes=None, templates=np.ones((LAM.size, 9, 4, 2)))
    with pytest.raises(InputError, match="no order fits"):
        read_ssp(saved(arrays))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"axes": np.array(["metals", "ages", "imf", "wave"])}, "axes names 'imf'"),
        ({"axes": np.array(["metals", "ages", "ages", "wave"])}, "name each axis once"),
        ({"axes": np.array(["metals", "wave"])}, "name each axis once"),
        ({"axes": np.array(["ages", "metals", "alphas", "wave"])}, r"has shape \(3, 4, 2, 500\)"),
        ({"axes": np.array([1, 2, 3, 4])}, "vector of names"),
        ({"alphas": None}, "lacks alphas, which axes names"),
        ({"metals": None}, "lacks metals"),
        ({"lam": LAM}, "holds both wave and lam"),
        ({"masses": np.ones((4, 3, 2))}, "masses has shape"),
    ],
)
def test_named_axes_that_contradict_the_arrays_are_refused(saved, changes, message):
    with pytest.raises(InputError, match=message):
        read_ssp(saved(generic_arrays(**changes)))


def test_several_alphas_without_their_axis_are_refused(saved):
    arrays = generic_arrays(
        templates=np.ones((3, 4, LAM.size)), axes=np.array(["metals", "ages", "wave"]), masses=None
    )
    with pytest.raises(InputError, match="no axis of them"):
        read_ssp(saved(arrays))


def test_medium_told_twice_must_agree(saved):
    path = saved(generic_arrays())
    assert read_ssp(path, medium="vacuum").medium == "vacuum"
    with pytest.raises(ConfigError, match="says medium='vacuum'"):
        read_ssp(path, medium="air")


def test_unknown_medium_in_the_file_is_refused(saved):
    with pytest.raises(ConfigError, match="'air' or 'vacuum'"):
        read_ssp(saved(generic_arrays(medium=np.array("water"))))


def test_one_bare_array_is_refused(tmp_path):
    np.save(tmp_path / "ssp.npy", np.ones(3))
    with pytest.raises(InputError, match="one bare array"):
        read_ssp(tmp_path / "ssp.npy", medium="air")
