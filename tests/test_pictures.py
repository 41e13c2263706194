"""Pictures of a file against what its result says."""

import shutil

import h5py
import numpy as np
import pytest
from astropy.wcs import WCS

from cubefit.config import TrackerConfig
from cubefit.errors import (
    ConfigError,
    CubeFitError,
    InputError,
    MissingDataError,
    StaleError,
    StoreError,
)
from cubefit.observation import ImagePlane, Observation
from cubefit.pictures import KINDS, draw, draw_all
from cubefit.pictures import source as sources
from cubefit.pictures.of_fits import courses_of, three_digits
from cubefit.pictures.of_stars import LEAST_SHARE, property_label
from cubefit.pictures.source import Choices, Source
from cubefit.pipeline_runner import PipelineRunner
from cubefit.reconstruction import reconstruct_model_cube_single
from cubefit.report import save_figure
from cubefit.report.style import COLUMN_WIDTH_INCH
from cubefit.results import FitResult
from cubefit.results.stars import as_ranges
from cubefit.store.history import read_history

AXES = {"metallicity": [-1.0, 0.2], "age": [1.0, 3.0, 10.0], "alpha": [0.0, 0.4]}
MASK = np.arange(40) % 5 != 0
RADIUS = np.array([0.3, 1.0, 3.0, 9.0, 27.0])
FULL_RESULT_KINDS = set(KINDS) - {"prefit", "convergence"}


@pytest.fixture(scope="module")
def rich(make_problem):
    """A problem with all that pictures can show."""
    rng = np.random.default_rng(8)
    y, x = np.indices((3, 4)).reshape(2, -1)
    return make_problem(
        mask=MASK,
        noise=np.full(40, 0.1),
        xpix=(0.5 * x - 1.0)[:10],
        ypix=(0.5 * y)[:10],
        binnum=np.array([*range(7), 0, 1, 1]),
        template_axes=AXES,
        template_masses=rng.uniform(0.5, 3.0, (2, 3, 2)),
        orbit_weights=rng.uniform(0.5, 2.0, 5),
        component_properties={"radius [kpc]": RADIUS, "circularity": np.linspace(-1.0, 1.0, 5)},
    )


@pytest.fixture(scope="module")
def fitted(rich, tmp_path_factory):
    noisy = rich.datacube + 0.1 * np.random.default_rng(9).normal(size=rich.datacube.shape)
    path = rich.populate(tmp_path_factory.mktemp("fitted") / "cube.h5", datacube=noisy)
    tracker = TrackerConfig(metrics_interval_sec=0)
    PipelineRunner(path).solve_all(method="exact", tracker=tracker, verbose=False)
    return path


@pytest.fixture(scope="module")
def result(fitted):
    return FitResult.from_file(fitted)


@pytest.fixture
def copy(fitted, tmp_path):
    return shutil.copy(fitted, tmp_path / "copy.h5")


@pytest.fixture(scope="module")
def poor(make_problem, tmp_path_factory):
    """A fit of a file without axes, masses, pixels, noise and orbits."""
    path = make_problem().populate(tmp_path_factory.mktemp("poor") / "cube.h5")
    PipelineRunner(path).solve_all(epochs=1, verbose=False)
    return path


def image_of(figure, place=0):
    return figure.axes[place].images[0].get_array()


def titles(figure):
    return [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]


@pytest.mark.parametrize(
    ("kind", "name", "label"),
    [
        ("age-map", "log_age_by_light", "Geometric mean age [Gyr]"),
        ("metallicity-map", "metal_by_light", "Mean [M/H] [dex]"),
        ("alpha-map", "alpha_by_light", r"Mean [$\alpha$/Fe] [dex]"),
        ("velocity-map", "velocity_by_light", "Mean velocity [km/s]"),
        ("dispersion-map", "dispersion_by_light", "Velocity dispersion [km/s]"),
        ("light-map", "light", "Light per pixel [data unit]"),
        ("mass-map", "mass", "Mass per pixel [mass unit]"),
    ],
)
def test_a_map_is_the_image_of_the_result(fitted, result, kind, name, label):
    figure = draw(kind, fitted)
    expected = result.images()[name].values
    assert np.isnan(expected).sum() == 2
    np.testing.assert_array_equal(image_of(figure).filled(np.nan), expected)
    assert figure.axes[1].get_ylabel() == label
    assert figure.axes[0].get_xlabel() == "x [as given]"
    assert figure.get_size_inches()[0] == COLUMN_WIDTH_INCH


def test_axes_have_the_units_of_the_file(rich, fitted, tmp_path):
    path = shutil.copy(fitted, tmp_path / "cube.h5")
    with h5py.File(path) as file:
        data = file["DataCube"][()]
    seen = Observation(flux_unit="1e-20 erg/s/cm^2/AA", pixel_unit="arcsec")
    rich.populate(path, datacube=data, observation=seen)
    figure = draw("light-map", path)
    assert figure.axes[0].get_xlabel() == "x [arcsec]"
    assert figure.axes[1].get_ylabel() == "Light per pixel\n[10⁻²⁰ erg s⁻¹ cm⁻² Å⁻¹]"
    upper = draw("spectra", path).axes[0]
    assert upper.get_ylabel() == "Flux density\n[10⁻²⁰ erg s⁻¹ cm⁻² Å⁻¹]"


@pytest.mark.parametrize("ctype", ["RA---TAN", "GLON-TAN", ""])
def test_maps_of_a_known_place_on_the_sky_tell_north_and_east(rich, fitted, tmp_path, ctype):
    path = shutil.copy(fitted, tmp_path / "cube.h5")
    with h5py.File(path) as file:
        data = file["DataCube"][()]
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ctype, {"R": "DEC--TAN", "G": "GLAT-TAN"}.get(ctype[:1], "")
    wcs.wcs.crval, wcs.wcs.cdelt = (150.0, 2.0), (-1e-4, 1e-4)
    header = wcs.to_header_string() if ctype else ""
    plane = ImagePlane(shape=(3, 4), x=(-1.0, 0.5), y=(0.0, 0.5), wcs=header)
    rich.populate(path, datacube=data, observation=Observation(image=plane))
    first, *others = draw("maps", path).axes
    assert [text.get_text() for text in first.texts] == (["N", "E"] if "RA" in ctype else [])
    assert not any(axes.texts for axes in others)


def test_maps_can_be_weighted_by_mass(fitted, result):
    figure = draw("age-map", fitted, by="mass", pixel_unit="kpc")
    expected = result.images()["log_age_by_mass"].values
    np.testing.assert_array_equal(image_of(figure).filled(np.nan), expected)
    assert titles(figure) == ["Weighted by mass"]
    assert figure.axes[0].get_ylabel() == "y [kpc]"


def test_all_maps_stand_on_one_page(fitted):
    figure = draw("maps", fitted)
    assert sum(bool(axes.images) for axes in figure.axes) == 7


def test_trends_tell_whose_they_are(fitted):
    figure = draw("trends", fitted, ages=[0.5, 4.0], properties=["radius"])
    assert titles(figure)[0].endswith("\nAges 0.5 to 4 Gyr")


def test_long_titles_stand_in_lines(fitted):
    figure = draw("light-map", fitted, components=[0, 2, 4], ages=[0.5, 4.0], metals=[-1.5, 0.5])
    (title,) = titles(figure)
    assert title == "Components 0, 2, 4, ages 0.5 to 4 Gyr,\n[M/H] -1.5 to 0.5"
    figure.draw_without_rendering()
    assert figure.get_tightbbox().x1 <= figure.get_figwidth()


def test_colours_of_velocities_are_even_about_zero(fitted):
    low, high = draw("velocity-map", fitted).axes[0].images[0].get_clim()
    assert low == -high < 0


def test_maps_can_be_of_some_populations(fitted, result):
    figure = draw("velocity-map", fitted, components=[1, 2], ages=[0.5, 4.0], metals=[-1.5, 0.0])
    young = result.selected([1, 2], ages=(0.5, 4.0), metals=(-1.5, 0.0))
    expected = young.images()["velocity_by_light"].values
    np.testing.assert_array_equal(image_of(figure).filled(np.nan), expected)
    told = "Weighted by light; components 1-2,\nages 0.5 to 4 Gyr, [M/H] -1.5 to 0"
    assert titles(figure) == [told]
    assert titles(draw("light-map", fitted, ages=[0.5, 4.0])) == ["Ages 0.5 to 4 Gyr"]
    assert titles(draw("age-metallicity", fitted, metals=[-1.0, 0.0])) == [
        "[M/H] -1 to 0 (dot: mean)"
    ]


def test_maps_can_be_of_some_components(fitted, result):
    chosen = [0, 2, 3]
    figure = draw("light-map", fitted, components=chosen)
    light = result.share[:, chosen] @ (result.x * result.template_light)[chosen].sum(axis=1)
    counts = np.bincount(result.pixels.bins)
    expected = (light / counts)[result.pixels.bins]
    np.testing.assert_allclose(image_of(figure).compressed(), expected)
    assert titles(figure) == ["Components 0, 2-3"]


def test_components_of_hardly_any_light_have_no_mean(fitted, monkeypatch):
    figure = draw("age-map", fitted, components=[0])
    assert titles(figure) == ["Weighted by light; component 0"]
    monkeypatch.setattr("cubefit.pictures.of_stars.LEAST_SHARE", 2.0)
    figure = draw("age-map", fitted, components=[0])
    assert np.ma.getmaskarray(image_of(figure)).all()
    assert "No mean below" in titles(figure)[0]
    assert LEAST_SHARE < 0.01


def test_pixels_on_no_grid_are_drawn_where_they_are(rich, tmp_path, result):
    random = np.random.default_rng(1).uniform(0.0, 5.0, (2, 10))
    path = rich.populate(tmp_path / "cube.h5", xpix=random[0], ypix=random[1])
    with h5py.File(path, "r+") as file, h5py.File(result.path) as other:
        other.copy("X_global", file)
        file["X_global"].attrs["inputs_digest"] = digest(file)
    figure = draw("metallicity-map", path)
    drawn = figure.axes[0].collections[0]
    expected = FitResult.from_file(path).maps()["metal_by_light"].values
    np.testing.assert_array_equal(drawn.get_array(), expected)


def digest(file):
    from cubefit.store.digests import digest_of_fit  # noqa: PLC0415

    return digest_of_fit(file)


def test_the_plane_sums_over_alpha_and_components(fitted, result):
    axes = draw("age-metallicity", fitted, by="mass").axes[0]
    masses = result.weights_of("mass").values.sum(axis=(0, 3))
    drawn = axes.collections[0].get_array().reshape(2, 3).filled(0.0)
    np.testing.assert_allclose(drawn, 100.0 * masses / masses.sum(), atol=0.1)
    assert titles(axes.figure) == ["All components (dot: mean)"]
    assert titles(draw("age-metallicity", fitted, components=[1])) == ["Component 1 (dot: mean)"]


def test_single_components_have_their_planes(fitted, result):
    figure = draw("age-metallicity-components", fitted, components=[4, 1])
    light = result.components()["light_share"].values
    assert titles(figure) == [
        "All (dot: mean)",
        *(f"c={c}: {100 * light[c]:.3g} % of light" for c in (4, 1)),
    ]
    lit = int((light > 0).sum())
    assert len(titles(draw("age-metallicity-components", fitted))) == 1 + lit


def test_trends_run_along_the_orbits(fitted, result):
    figure = draw("trends", fitted)
    grid = np.reshape(figure.axes, (3, 2))
    assert [axes.get_xlabel() for axes in grid[-1]] == ["Radius [kpc]", "Circularity"]
    labels = [axes.get_ylabel() for axes in grid[:, 0]]
    assert labels == ["Geometric mean age [Gyr]", "Mean [M/H] [dex]", r"Mean [$\alpha$/Fe] [dex]"]
    means = result.components()["metal_by_light"].values
    known = np.isfinite(means)
    points = grid[1, 0].collections[-1].get_offsets()
    np.testing.assert_allclose(points, np.column_stack([RADIUS, means])[known])


@pytest.mark.parametrize("name", ["circularity", "Circularity", "radius", "radius [kpc]"])
def test_a_property_is_found_by_its_name(fitted, name):
    figure = draw("trends", fitted, properties=[name])
    assert len(figure.axes) == 3
    label = figure.axes[-1].get_xlabel()
    assert label.lower().startswith(name.lower())


def test_masses_are_compared_as_shares(fitted, result):
    left, right = draw("component-masses", fitted).axes
    orbits = result.orbit_weights / result.orbit_weights.sum()
    fitted_share = result.x.sum(axis=1) / result.x.sum()
    points = next(line for line in left.lines if line.get_marker() == "o")
    lit = fitted_share > 0
    np.testing.assert_allclose(points.get_xdata(), orbits[lit])
    np.testing.assert_allclose(points.get_ydata(), fitted_share[lit])
    assert left.get_xlabel() == "Orbit weight [share of all]"
    assert right.get_xlabel() == "Radius [kpc]"


def test_spectra_are_those_of_the_chosen_spaxels(fitted, result):
    figure = draw("spectra", fitted, spaxels=[3, 1])
    assert [title.split(":")[0] for title in titles(figure)] == ["Spaxel 3", "Spaxel 1"]
    with h5py.File(fitted) as file:
        data = file["DataCube"][3]
    # What the mask of all spaxels leaves out, such as emission lines, is drawn too.
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_ydata(), data)
    model = Source(fitted, Choices()).model
    np.testing.assert_array_equal(figure.axes[0].lines[1].get_ydata(), model[3])
    assert len(figure.axes[0].patches) == (~MASK).sum()


def test_best_and_worst_spaxels_have_the_extreme_chi2(fitted):
    misfit = Source(fitted, Choices()).misfit
    assert misfit @ np.full(7, MASK.sum()) == pytest.approx(
        FitResult.from_file(fitted).facts["chi2"], rel=1e-6
    )
    best, worst = titles(draw("spectra", fitted))
    told = rf"$\chi^2$ per pixel {three_digits(misfit.min())}"
    assert best.startswith(f"Best spaxel ({misfit.argmin()}): {told}")
    assert worst.startswith(f"Worst spaxel ({misfit.argmax()})")


def test_a_model_cube_of_this_solution_is_read_and_of_another_is_not(copy, result, monkeypatch):
    made = Source(copy, Choices()).model
    reconstruct_model_cube_single(copy, result.x, verbose=False)
    with monkeypatch.context() as patch:
        patch.setattr(sources, "reconstruct_matrix_free", None)
        np.testing.assert_allclose(Source(copy, Choices()).model, made, rtol=1e-5)
    reconstruct_model_cube_single(copy, 2.0 * result.x, verbose=False)
    np.testing.assert_array_equal(Source(copy, Choices()).model, made)


def test_residual_maps_are_those_of_the_spaxels(fitted, result):
    figure = draw("residual-map", fitted)
    source = Source(fitted, Choices())
    residual, unit = source.residual
    mean = np.nanmean(residual, axis=1)
    bins = result.pixels.bins
    np.testing.assert_allclose(image_of(figure, 0).compressed(), source.misfit[bins])
    np.testing.assert_allclose(image_of(figure, 1).compressed(), mean[bins])
    assert [axes.get_ylabel() for axes in figure.axes[2:]] == [
        r"$\chi^2$ per pixel",
        f"Mean data - model [{unit}]",
    ]


def test_residuals_along_wavelength_leave_out_what_is_masked(fitted):
    figure = draw("residual-spectrum", fitted)
    drawn = image_of(figure)
    assert drawn.shape == (7, 40)
    assert np.ma.getmaskarray(drawn)[:, ~MASK].all()
    assert "noise" in [line.get_label() for line in figure.axes[1].lines]
    assert figure.axes[2].get_xlabel() == r"Data - model [$\sigma$]"


def test_convergence_is_the_history_of_the_fit(fitted):
    figure = draw("convergence", fitted)
    columns = read_history(fitted).columns
    axes = {axes.get_ylabel(): axes for axes in figure.axes}
    gap = axes["Duality gap\n/ objective"].lines[0]
    known = columns["gap_rel"] > 0
    np.testing.assert_array_equal(gap.get_ydata(), columns["gap_rel"][known])
    np.testing.assert_array_equal(gap.get_xdata(), columns["epoch"][known])
    assert figure.axes[-1].get_xlabel() == "Round"
    assert titles(figure) == ["Exact fit"]


def test_sweeps_converge_along_time(poor):
    figure = draw("convergence", poor)
    assert figure.axes[-1].get_xlabel() == "Time [s]"
    assert any(axes.get_ylabel() == "RMSE [data unit]" for axes in figure.axes)


def test_prefit_shows_the_inputs(fitted):
    assert "Observed spectra" in titles(draw("prefit", fitted))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "width_inch" in KINDS[kind].heeds])
def test_every_picture_fits_into_one_column(fitted, kind):
    figure = draw(kind, fitted, width_inch=COLUMN_WIDTH_INCH)
    assert figure.get_size_inches()[0] == COLUMN_WIDTH_INCH


def test_all_that_a_file_can_carry(fitted, poor):
    assert not [name for name, picture in draw_all(fitted) if isinstance(picture, CubeFitError)]
    found = dict(draw_all(poor))
    assert list(found) == list(KINDS)
    drawn = {name for name, picture in found.items() if not isinstance(picture, CubeFitError)}
    assert drawn == {"spectra", "residual-spectrum", "convergence", "prefit"}
    assert "/BinNum" in str(found["light-map"])
    assert "template_axes" in str(found["age-map"])
    assert "orbit_weights" in str(found["component-masses"])
    assert "component_properties" in str(found["trends"])


@pytest.mark.parametrize("kind", sorted(FULL_RESULT_KINDS))
def test_without_a_fit_there_is_no_answer(rich, populated, kind):
    with pytest.raises(MissingDataError, match="fit first"):
        draw(kind, populated)


def test_what_a_fit_has_not_written_is_missing(populated):
    with pytest.raises(MissingDataError, match="no metrics"):
        draw("convergence", populated)


def test_a_stale_solution_is_refused(copy):
    with h5py.File(copy, "r+") as file:
        file["DataCube"][0, 0] += 1.0
    with pytest.raises(StaleError):
        draw("age-map", copy)


def test_templates_of_one_alpha_have_no_map_of_it(make_problem, tmp_path):
    path = make_problem(axes=(2, 3, 1), template_axes=AXES | {"alpha": [0.0]}).populate(
        tmp_path / "cube.h5"
    )
    PipelineRunner(path).solve_all(epochs=1, verbose=False)
    with pytest.raises(MissingDataError, match="do not differ in alpha"):
        draw("alpha-map", path)


@pytest.mark.parametrize(
    ("kind", "choices", "message"),
    [
        ("nonsense", {}, "choose one of maps, age-map"),
        ("maps", {"spaxels": [3]}, "does not heed spaxels"),
        ("prefit", {"by": "mass"}, "it heeds width_inch"),
        ("age-map", {"by": "number"}, "by='number'"),
        ("age-map", {"components": [5]}, "components 5 are not in .*: it has 0 to 4"),
        ("age-map", {"components": []}, "at least one"),
        ("age-map", {"components": [1, 1]}, "each once"),
        ("age-map", {"ages": [4.0, 1.0]}, "give the lower end of a range, and the upper"),
        ("age-map", {"ages": [1.0]}, "give the lower end of a range, and the upper"),
        ("age-map", {"ages": [11.0, 12.0]}, "age 11 to 12 Gyr holds no template"),
        ("prefit", {"metals": [0.0, 1.0]}, "does not heed metals"),
        ("spectra", {"spaxels": [7]}, "spaxels 7 are not in .*: it has 0 to 6"),
    ],
)
def test_choices_that_a_file_has_not_are_refused(fitted, kind, choices, message):
    with pytest.raises(ConfigError, match=message):
        draw(kind, fitted, **choices)


def test_a_property_that_is_not_there_is_refused_with_the_others(fitted):
    with pytest.raises(ConfigError, match=r"choose one of 'radius \[kpc\]', 'circularity'"):
        draw("trends", fitted, properties=["energy"])


def test_all_of_nothing_is_one_error(tmp_path, fitted):
    with pytest.raises(StoreError, match="does not exist"):
        list(draw_all(tmp_path / "none.h5"))
    with pytest.raises(ConfigError, match="components 9"):
        list(draw_all(fitted, components=[9]))
    with pytest.raises(InputError, match="wide"):
        list(draw_all(fitted, width_inch=0.1))


@pytest.mark.parametrize(
    ("numbers", "text"), [([0], "0"), ([3, 1, 2], "1-3"), ([5, 0, 3, 4], "0, 3-5")]
)
def test_numbers_are_told_as_ranges(numbers, text):
    assert as_ranges(numbers) == text


@pytest.mark.parametrize("kind", ["age-metallicity", "age-metallicity-components"])
@pytest.mark.parametrize("ages", [[0.0, 1.0, 2.0], [-1.0, 0.0, 1.0]])
def test_a_plane_needs_ages_above_zero(rich, tmp_path, kind, ages):
    path = rich.populate(tmp_path / "cube.h5", template_axes=AXES | {"age": ages})
    PipelineRunner(path).solve_all(epochs=1, verbose=False)
    with pytest.raises(InputError, match="the plane needs ages above zero in Gyr"):
        draw(kind, path)


def test_a_unit_that_is_no_math_is_refused(fitted):
    with pytest.raises(InputError, match="is no math that can be drawn"):
        draw("light-map", fitted, pixel_unit="$x_$")


def test_dollars_in_names_are_no_end_of_a_picture(make_problem, tmp_path):
    problem = make_problem(
        template_axes={"metallicity": [-1, 0], "age": [1, 3, 10], "$x_$": [0.0, 0.4]},
        orbit_weights=np.arange(1.0, 6.0),
        component_properties={"$r_$ and $": np.arange(5.0), r"$\lambda_z$": np.arange(5.0)},
    )
    path = problem.populate(tmp_path / "$x_$.h5")
    PipelineRunner(path).solve_all(method="exact", orbit_weights="stored", verbose=False)
    for kind in ("prefit", "trends", "component-masses"):
        save_figure(draw(kind, path), tmp_path / f"{kind}.png")
    labels = [axes.get_xlabel() for axes in draw("trends", path).axes]
    assert r"\$r_\$ and \$" in labels
    assert r"$\lambda_z$" in labels


def test_voxels_that_are_masked_are_gaps_in_a_spectrum(rich, tmp_path):
    voxels, data = np.ones((7, 40), bool), rich.datacube.copy()
    voxels[3, [12, 20]] = False
    data[3, 12] = 0.0
    path = rich.populate(tmp_path / "cube.h5", datacube=data, voxel_mask=voxels)
    PipelineRunner(path).solve_all(epochs=1, verbose=False)
    axes = draw("spectra", path, spaxels=[3]).axes[0]
    drawn = axes.lines[0].get_ydata()
    np.testing.assert_array_equal(np.isnan(drawn), ~voxels[3])
    assert np.isfinite(drawn[~MASK & voxels[3]]).all()
    assert axes.get_ylim()[0] > 0


@pytest.mark.parametrize(
    ("value", "text"), [(1.0, "1.00"), (0.72249, "0.722"), (123.4, "123"), (12345.0, "1.23e+04")]
)
def test_numbers_have_three_digits(value, text):
    assert three_digits(value) == text


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("Rc_kpc", "Circular radius [kpc]"),
        ("Rmean_kpc", "Mean radius [kpc]"),
        ("lambdaz", r"Circularity $\lambda_z$"),
        ("Rc [arcsec]", "Circular radius [arcsec]"),
        ("sigma_km_s", "Sigma [km/s]"),
        ("Lz_kpc_km_s", "Lz [kpc km/s]"),
        ("radius [kpc]", "Radius [kpc]"),
        ("eccentricity", "Eccentricity"),
        ("$r_[a]$", "$r_[a]$"),
        ("$r_$ [$k$pc_]", r"\$r_\$ [$k$pc_]"),
    ],
)
def test_properties_are_told_in_words_with_their_unit(name, label):
    assert property_label(name) == label


def test_chi2_has_its_own_course_where_there_are_penalties(fitted):
    history = read_history(fitted)

    def course():
        found = courses_of(history, has_noise=True)
        return next(course for course in found if course.label == r"$\chi^2$")

    chi2, objective = history.columns["chi2"], history.columns["objective"]
    objective[:] = 0.5 * chi2
    assert not course().curves
    objective[:] = 0.6 * chi2
    np.testing.assert_array_equal(course().curves[""], chi2)


def test_properties_of_the_same_meaning_keep_their_names(rich, tmp_path):
    same = {"Rc_kpc": RADIUS, "rc [kpc]": 2.0 * RADIUS}
    path = rich.populate(tmp_path / "cube.h5", component_properties=same)
    PipelineRunner(path).solve_all(epochs=1, verbose=False)
    labels = [axes.get_xlabel() for axes in draw("trends", path).axes if axes.get_xlabel()]
    assert labels == ["Rc_kpc", "Rc [kpc]"]
