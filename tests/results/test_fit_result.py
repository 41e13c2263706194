"""A result against sums over every spaxel, component and population."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import cubefit
from cubefit.errors import (
    ConfigError,
    InputError,
    MissingDataError,
    StaleError,
    StoreError,
)
from cubefit.hypercube_builder import build_hypercube
from cubefit.pipeline_runner import PipelineRunner
from cubefit.results import FitResult
from cubefit.results.axes import axes_of
from cubefit.results.stars import stars_of
from cubefit.spectra.rebin import spline_rebin_matrix
from cubefit.store.digests import digest_of_fit

METALS, AGES, ALPHAS = [-1.0, 0.2], [1.0, 3.0, 10.0], [0.0, 0.4]
AXES = {"metallicity": METALS, "age": AGES, "alpha": ALPHAS}
MASK = np.arange(40) % 5 != 0


@pytest.fixture(scope="module")
def rich(make_problem):
    """A problem with all that results can tell."""
    rng = np.random.default_rng(8)
    y, x = np.indices((3, 4)).reshape(2, -1)
    return make_problem(
        mask=MASK,
        noise=np.full(40, 0.1),
        xpix=0.5 * x - 1.0,
        ypix=0.5 * y,
        binnum=np.concatenate([np.arange(7), [0, 1, 1, 6, 6]]),
        template_axes=AXES,
        template_masses=rng.uniform(0.5, 3.0, (2, 3, 2)),
    )


@pytest.fixture(scope="module")
def fitted(rich, tmp_path_factory):
    path = rich.populate(tmp_path_factory.mktemp("fitted") / "cube.h5")
    PipelineRunner(path).solve_all(epochs=2, verbose=False)
    return path


@pytest.fixture
def plain(problem, populated):
    """A result of a file without axes, masses and pixels."""
    return FitResult.from_file(populated, problem.x_true)


@pytest.fixture
def result(fitted):
    return FitResult.from_file(fitted)


def with_x(result, seed, zeros=0.5):
    rng = np.random.default_rng(seed)
    x = rng.random((5, 12)) * (rng.random((5, 12)) > zeros)
    x[2] = 0.0
    return FitResult.from_file(result.path, x)


def grids():
    return np.meshgrid(METALS, np.log10(AGES), ALPHAS, indexing="ij")


def test_it_is_public(fitted):
    assert isinstance(cubefit.FitResult.from_file(str(fitted)), FitResult)


def test_weights_are_those_of_the_fit(result, fitted):
    with h5py.File(fitted) as file:
        x, attributes = file["X_global"][()], dict(file["X_global"].attrs)
    weights = result.weights
    assert weights.dims == ("component", "metal", "age", "alpha")
    np.testing.assert_array_equal(weights.values.ravel(), x)
    np.testing.assert_array_equal(weights["age"], AGES)
    assert weights["age"].attrs["units"] == "Gyr"
    assert weights.attrs["units"] == "template units"
    assert (
        weights.sel(metal=0.2, age=3.0, alpha=0.4, component=3) == x.reshape(5, 2, 3, 2)[3, 1, 1, 1]
    )
    assert result.facts["chi2"] == attributes["chi2"]
    assert result.facts["solution"] == "/X_global"
    assert result.run["method"] == result.facts["method"] == "kaczmarz"


def test_labelled_weights_are_copies(result):
    result.weights[:] = 7.0
    assert (result.weights != 7.0).all()


def test_light_is_the_mean_flux_density_of_the_pixels_in_use(result, rich):
    rebin = spline_rebin_matrix(rich.tem_pix, rich.obs_pix)
    flat = rich.templates.reshape(rich.tem_pix.size, -1).T.astype(np.float32)
    light = (flat @ rebin)[:, MASK].mean(axis=1)
    np.testing.assert_allclose(result.template_light, light, rtol=1e-10)
    weights = result.weights_of("light")
    np.testing.assert_allclose(weights.values.reshape(5, 12), result.x * light)
    assert result.total("light") == pytest.approx(float((result.x * light).sum()))


def test_mass_is_weight_times_mass_per_unit(result, rich):
    masses = rich.optional["template_masses"].ravel()
    np.testing.assert_array_equal(result.template_masses, masses)
    np.testing.assert_allclose(result.weights_of("mass").values.reshape(5, 12), result.x * masses)


def moments(weights, values):
    """Mean and scatter by numpy; NaN without weight."""
    if not weights.sum() > 0:
        return np.nan, np.nan
    mean = np.average(values, weights=weights)
    return mean, np.sqrt(np.average((values - mean) ** 2, weights=weights))


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1), zeros=st.floats(0.0, 1.0))
def test_components_and_spaxels_against_brute_force(result, rich, seed, zeros):
    drawn = with_x(result, seed, zeros)
    losvd = rich.losvd.astype(np.float32).astype(np.float64)
    share = losvd.sum(axis=1)
    units = {"light": result.template_light, "mass": result.template_masses}
    components, spaxels = drawn.components(), drawn.spaxels()
    for kind, per_unit in units.items():
        full = share[:, :, None] * (per_unit * drawn.x)
        np.testing.assert_allclose(spaxels[kind], full.sum(axis=(1, 2)), rtol=1e-6)
        np.testing.assert_allclose(components[kind], (per_unit * drawn.x).sum(axis=1))
        if components[kind].sum() > 0:
            assert components[f"{kind}_share"].sum() == pytest.approx(1.0)
        for name, grid in zip(("metal", "log_age", "alpha"), grids(), strict=True):
            values = grid.ravel()
            everywhere = np.broadcast_to(values, full.shape[1:])
            for table, wanted in (
                (components, [moments(row * per_unit, values) for row in drawn.x]),
                (spaxels, [moments(plane, everywhere) for plane in full]),
            ):
                mean, scatter = np.transpose(wanted)
                np.testing.assert_allclose(table[f"{name}_by_{kind}"], mean, atol=1e-6)
                np.testing.assert_allclose(table[f"{name}_scatter_by_{kind}"], scatter, atol=1e-6)
            overall = moments(drawn.x * per_unit, everywhere)[0]
            assert drawn.mean(name, kind) == pytest.approx(overall, nan_ok=True, abs=1e-9)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1))
@pytest.mark.parametrize("normalization", ["losvd", "unit"])
def test_velocities_against_brute_force(result, rich, normalization, seed):
    """Bins have broadened what they hold by a twelfth of their squared width."""
    x = with_x(result, seed).x
    drawn = FitResult.from_file(result.path, x, normalization=normalization)
    losvd = rich.losvd.astype(np.float32).astype(np.float64)
    if normalization == "unit":
        losvd /= losvd.sum(axis=1, keepdims=True)
    vel = rich.vel_pix
    width = (vel[1] - vel[0]) / np.sqrt(12.0)
    spaxels = drawn.spaxels()
    for kind, per_unit in (("light", result.template_light), ("mass", result.template_masses)):
        wanted = np.transpose([moments(row, vel) for row in losvd @ (x @ per_unit)])
        np.testing.assert_allclose(spaxels[f"velocity_by_{kind}"], wanted[0], atol=1e-3)
        found = np.hypot(spaxels[f"dispersion_by_{kind}"], width)
        np.testing.assert_allclose(found, wanted[1], rtol=1e-5)


def test_chosen_stars_and_the_others_make_up_all(result):
    whole = result.weights.values
    young, old = result.selected(ages=(0.0, 3.0)), result.selected(ages=(3.1, 20.0))
    np.testing.assert_array_equal(young.weights.values + old.weights.values, whole)
    assert (young.weights.sel(age=10.0) == 0).all()
    assert (old.weights.sel(age=[1.0, 3.0]) == 0).all()
    rich_in_metals = result.selected([3, 1], metals=(0.0, 1.0)).weights.values
    expected = np.zeros_like(whole)
    expected[[1, 3], 1] = whole[[1, 3], 1]
    np.testing.assert_array_equal(rich_in_metals, expected)
    assert result.selected() is result


def test_selections_tell_themselves_wherever_they_go(result, tmp_path):
    chosen = result.selected([0, 1, 3], ages=(0.0, 3.0)).selected(metals=(0.0, 1.0))
    told = "components 0-1, 3, ages 0 to 3 Gyr, [M/H] 0 to 1"
    assert chosen.facts["selected"] == chosen.spaxels().attrs["selected"] == told
    assert told in repr(chosen)
    assert "selected" not in result.facts
    with fits.open(chosen.to_fits(tmp_path / "chosen.fits")) as file:
        assert {hdu.header["SELECTED"] for hdu in file if hdu.name} == {told}
    assert Table.read(chosen.to_ecsv(tmp_path / "chosen.ecsv")).meta["selected"] == told


@pytest.mark.parametrize(
    "choice",
    [
        {"components": []},
        {"components": [1.0]},
        {"components": [1, 1]},
        {"components": 3},
        {"ages": (1.0,)},
        {"ages": (1.0, 2.0, 3.0)},
        {"ages": 3.0},
        {"ages": (3.0, 1.0)},
        {"ages": (np.nan, 1.0)},
        {"metals": "01"},
    ],
)
def test_what_is_no_choice_of_stars_is_refused(result, choice):
    with pytest.raises(ConfigError, match="give "):
        result.selected(**choice)


def test_components_may_come_one_by_one(result):
    one_by_one = result.selected(c for c in (1, 2)).weights.values
    np.testing.assert_array_equal(one_by_one, result.selected([1, 2]).weights.values)
    assert one_by_one.any()


def test_ends_of_ranges_belong_to_them_up_to_rounding():
    axes = axes_of({"metal": np.float32([-0.4, 0.4]), "age": [1.0, 2.51188643]})
    x = np.ones((1, 4))
    chosen = stars_of(metals=(-0.4, 0.4), ages=(2.51189, 3.0)).weights_of(x, axes, Path("a.h5"))
    assert chosen.tolist() == [[0.0, 1.0, 0.0, 1.0]]


def test_stars_that_are_not_there_are_refused(result, plain):
    with pytest.raises(ConfigError, match=r"components 5, -1 are not in .*: it has 0 to 4"):
        result.selected([0, 5, -1])
    with pytest.raises(ConfigError, match=r"age 4 to 9 Gyr holds no template .* from 1 to 10"):
        result.selected(ages=(4.0, 9.0))
    with pytest.raises(MissingDataError, match="does not know the metal of its templates"):
        plain.selected(metals=(-1.0, 1.0))


def test_means_are_columns_of_the_tables(result):
    for over, table in (("components", result.components()), ("spaxels", result.spaxels())):
        found = result.means("log_age", "mass", over)
        for name in ("log_age_by_mass", "log_age_scatter_by_mass"):
            np.testing.assert_array_equal(found[name], table[name])


def test_an_axis_of_one_value_is_constant(make_problem, tmp_path):
    problem = make_problem(
        axes=(2, 3, 1), template_axes={"metals": METALS, "ages": AGES, "alphas": [0.1]}
    )
    path = problem.populate(tmp_path / "cube.h5")
    table = FitResult.from_file(path, problem.x_true + 0.1).components()
    np.testing.assert_allclose(table["alpha_by_light"], 0.1)
    np.testing.assert_allclose(table["alpha_scatter_by_light"], 0.0, atol=1e-9)


def test_every_variable_says_its_unit(result):
    for table in (result.components(), result.spaxels(), result.maps(), result.images()):
        assert table.attrs["method"] == "kaczmarz"
        for name in table.data_vars:
            assert table[name].attrs["units"]
            assert table[name].attrs["long_name"]
    assert result.components()["log_age_by_mass"].attrs["units"] == "dex"
    assert result.components()["light_share"].attrs["units"] == "1"


def test_maps_conserve_light_and_repeat_means(result, rich):
    maps, spaxels, bins = result.maps(), result.spaxels(), rich.optional["binnum"]
    np.testing.assert_array_equal(maps["spaxel"], bins)
    np.testing.assert_array_equal(maps["x"], rich.optional["xpix"])
    for kind in ("light", "mass"):
        assert maps[kind].sum() == pytest.approx(float(spaxels[kind].sum()))
    np.testing.assert_array_equal(maps["metal_by_light"], spaxels["metal_by_light"][bins])


def test_images_are_the_maps(result):
    maps, images = result.maps(), result.images()
    assert images["light"].dims == ("y", "x")
    assert images["light"].shape == (3, 4)
    for x, y, light, spaxel in zip(
        maps["x"].values, maps["y"].values, maps["light"].values, maps["spaxel"].values, strict=True
    ):
        there = images.sel(x=x, y=y, method="nearest")
        assert there["light"] == light
        assert there["spaxel"] == spaxel


def test_pixels_in_no_spaxel_are_nan(fitted, tmp_path):
    path = tmp_path / "cube.h5"
    path.write_bytes(fitted.read_bytes())
    with h5py.File(path, "r+") as file:
        file["BinNum"][3] = -1
    result = FitResult.from_file(path)
    np.testing.assert_array_equal(np.isnan(result.maps()["light"]), np.arange(12) == 3)
    assert np.isnan(result.images()["light"]).sum() == 1


def test_bins_that_do_not_exist_are_refused(fitted, tmp_path):
    path = tmp_path / "cube.h5"
    path.write_bytes(fitted.read_bytes())
    with h5py.File(path, "r+") as file:
        file["BinNum"][3] = 7
    with pytest.raises(StoreError, match=r"/BinNum of .* reaches 7, but there are 7 spaxels"):
        FitResult.from_file(path)


def test_unit_normalization_gives_every_lit_pair_its_whole_light(rich, tmp_path):
    losvd = rich.losvd.copy()
    losvd[0, :, 1] = 0.0
    path = rich.populate(tmp_path / "cube.h5", losvd=losvd)
    build_hypercube(path, normalization="unit", verbose=False)
    lit = np.ones((7, 5))
    lit[0, 1] = 0.0
    # The HyperCube tells it of a given x, and of a fit the fit itself.
    np.testing.assert_array_equal(FitResult.from_file(path, rich.x_true).share, lit)
    PipelineRunner(path).solve_all(verbose=False)
    assert FitResult.from_file(path).facts["normalization"] == "unit"
    np.testing.assert_array_equal(FitResult.from_file(path).share, lit)
    told = FitResult.from_file(path, rich.x_true, normalization="losvd").share
    np.testing.assert_allclose(told, losvd.sum(axis=1), rtol=1e-6)


@pytest.mark.parametrize("shape", [(60,), (5, 12)])
def test_a_given_solution(problem, populated, shape):
    found = FitResult.from_file(populated, problem.x_true.reshape(shape))
    np.testing.assert_array_equal(found.x, problem.x_true)
    assert found.facts["solution"] == "given"
    assert "chi2" not in found.facts


def test_without_axes_populations_are_numbered(plain, problem):
    weights = plain.weights
    assert weights.dims == ("component", "population")
    np.testing.assert_array_equal(weights, problem.x_true)
    assert set(plain.components().data_vars) == {"weight", "light", "light_share"}
    velocities = {"velocity_by_light", "dispersion_by_light"}
    assert set(plain.spaxels().data_vars) == {"light"} | velocities


def test_what_the_file_does_not_know_is_an_error_with_the_mend(plain):
    for call in (plain.mean, plain.means):
        with pytest.raises(MissingDataError, match=r"no 'log_age' .*template_axes="):
            call("log_age")
    with pytest.raises(MissingDataError, match=r"pass template_masses= .*np.ones"):
        plain.weights_of("mass")
    with pytest.raises(MissingDataError, match=r"no /BinNum.*binnum"):
        plain.maps()
    with pytest.raises(ConfigError, match=r"kind='number'"):
        plain.weights_of("number")


def test_images_need_coordinates(rich, tmp_path):
    path = rich.populate(tmp_path / "cube.h5", xpix=None)
    found = FitResult.from_file(path, rich.x_true)
    assert "x" not in found.maps().coords
    with pytest.raises(MissingDataError, match="no coordinates of its image pixels"):
        found.images()


def test_masses_may_be_given_later(problem, populated, rich):
    masses = rich.optional["template_masses"]
    for given_masses in (masses, masses.ravel()):
        found = FitResult.from_file(populated, problem.x_true, template_masses=masses)
        np.testing.assert_array_equal(found.template_masses, given_masses.ravel())
    with pytest.raises(InputError, match="template_masses has shape"):
        FitResult.from_file(populated, problem.x_true, template_masses=masses[:1])


def test_no_solution_yet(populated):
    with pytest.raises(MissingDataError, match=r"Missing /X_global in .*: fit first, or pass x"):
        FitResult.from_file(populated)


@pytest.mark.parametrize("name", ["DataCube", "LOSVD", "Templates"])
def test_a_stale_solution_is_refused(fitted, tmp_path, rich, name):
    path = tmp_path / "cube.h5"
    path.write_bytes(fitted.read_bytes())
    with h5py.File(path, "r+") as file:
        file[name][...] *= 1.5
    with pytest.raises(StaleError, match=r"/X_global in .* other inputs .*warm_start='zeros'"):
        FitResult.from_file(path)
    FitResult.from_file(path, rich.x_true)


def test_a_solution_of_another_shape_is_refused(populated):
    with pytest.raises(InputError, match=r"yours is \(P, C\), transpose"):
        FitResult.from_file(populated, np.ones((12, 5)))


def test_the_normalization_of_a_fit_cannot_be_chosen(fitted):
    with pytest.raises(ConfigError, match="that of a given x"):
        FitResult.from_file(fitted, normalization="unit")


@pytest.mark.parametrize(
    "meta",
    [
        "{",
        '{"shape": [12]}',
        '{"shape": [11], "axes": {}}',
        '{"shape": [2, 6], "axes": {"age": [1]}}',
    ],
)
def test_damaged_axes_are_refused(problem, populated, meta):
    with h5py.File(populated, "r+") as file:
        file.attrs["template_meta_json"] = meta
    with pytest.raises(StoreError, match=r"template_meta_json.*not the axes of the templates"):
        FitResult.from_file(populated, problem.x_true)


def test_at_a_glance(result, plain):
    text = repr(result)
    assert text.startswith("FitResult(cube.h5: 5 components x 12 populations, 7 spaxels; ")
    for part in ("method kaczmarz", "chi2/N", "weights above zero", "total light", "total mass",
                 "mean age by mass", "mean [M/H] by light"):  # fmt: skip
        assert part in text
        assert part.removesuffix(" kaczmarz") in result._repr_html_()
    assert "\n" not in text
    assert "mass" not in repr(plain)
    assert "solution given" in repr(plain)


def test_a_gap_is_told(fitted, tmp_path):
    path = tmp_path / "a<b>.h5"
    path.write_bytes(fitted.read_bytes())
    with h5py.File(path, "r+") as file:
        file["X_global"].attrs["gap_rel"] = 1.25e-7
        del file["Noise"]
        file["X_global"].attrs["inputs_digest"] = "?"
    with pytest.raises(StaleError):
        FitResult.from_file(path)
    with h5py.File(path, "r+") as file:
        file["X_global"].attrs["inputs_digest"] = digest_of_fit(file)
    found = FitResult.from_file(path)
    assert "relative gap 1.2e-07" in repr(found)
    assert "mean square residual" in repr(found)
    assert "a&lt;b&gt;.h5" in found._repr_html_()


def test_nothing_at_all_has_no_mean(result):
    empty = FitResult.from_file(result.path, np.zeros(60))
    assert np.isnan(empty.mean("metal"))
    assert "nan" not in repr(empty)
    assert np.isnan(empty.components()["light_share"]).all()
