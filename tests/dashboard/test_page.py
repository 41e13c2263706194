"""The page without a browser: what its panels hold, and when they change."""

from dataclasses import replace

import numpy as np
import pytest
from bokeh.core.validation.check import ValidationIssues, check_integrity
from bokeh.document import Document
from bokeh.events import Tap

from cubefit.dashboard import Page
from cubefit.dashboard.curves import MOST_POINTS, in_good_unit, points
from cubefit.dashboard.style import SIGNED_PALETTE, TONES
from cubefit.errors import StoreError
from cubefit.fit_tracker import FitTracker
from cubefit.hypercube_builder import build_hypercube
from cubefit.live import LiveFile
from cubefit.observation import Observation
from cubefit.pipeline_runner import PipelineRunner
from cubefit.reconstruction import reconstruct_matrix_free
from cubefit.results import FitResult
from cubefit.store.history import read_history


def opened(path):
    live = LiveFile(path)
    live.refresh()
    page = Page(live)
    page.attach(Document())
    return live, page


def refreshed(live, page):
    live.refresh()
    page._next = 0.0
    page.tick()


@pytest.fixture
def fitted(galaxy_file):
    x, _ = PipelineRunner(galaxy_file).solve_all(
        method="exact", orbit_weights="stored", verbose=False
    )
    return galaxy_file, x.reshape(5, 12)


def test_a_page_without_a_file_waits_and_then_shows_it(galaxy_problem, tmp_path):
    live, page = opened(tmp_path / "cube.h5")
    assert "does not exist yet" in page.header.view.text
    assert not page.body.children
    galaxy_problem.populate(live.path)
    refreshed(live, page)
    assert "nothing is fitted yet" in page.header.view.text
    assert page.body.children
    assert np.isnan(page.spectrum.lines.data["model"]).all()
    parts = (page.masses, page.populations, page.curves, page.tiles)
    assert not any(part.view.visible for part in parts)
    PipelineRunner(live.path).solve_all(method="exact", verbose=False)
    refreshed(live, page)
    assert [part.view.visible for part in parts] == [True, True, True, False]


def test_a_page_without_a_file_has_no_empty_column(galaxy_problem, tmp_path):
    live, page = opened(tmp_path / "cube.h5")
    assert check_integrity(page.view.references()) == ValidationIssues([], [])
    galaxy_problem.populate(live.path)
    refreshed(live, page)
    assert check_integrity(page.view.references()) == ValidationIssues([], [])
    assert page.body in page.view.children


def test_what_is_not_there_is_neither_in_the_legend_nor_missing_on_the_axis(galaxy_file):
    live, page = opened(galaxy_file)
    spectrum = page.spectrum
    model = next(i for i in spectrum._above.legend[0].items if i.label.value == "model")
    assert not model.visible
    assert spectrum._above.xaxis.axis_label == "Wavelength [\u212b]"
    PipelineRunner(galaxy_file).solve_all(method="exact", verbose=False)
    refreshed(live, page)
    assert model.visible
    assert spectrum._above.xaxis.axis_label == ""
    assert spectrum._below.xaxis.axis_label == "Wavelength [\u212b]"


def test_voxels_that_are_masked_are_not_drawn_but_masked_pixels_are(galaxy_problem, tmp_path):
    cube = galaxy_problem.optional["datacube"].copy()
    good = np.ones(cube.shape, bool)
    good[:, 30:32] = False
    cube[~good] = 0.0
    path = galaxy_problem.populate(tmp_path / "cube.h5", datacube=cube, voxel_mask=good)
    _, page = opened(path)
    page.pick(3)
    expected = np.where(good[3], cube[3], np.nan)
    np.testing.assert_allclose(page.spectrum.lines.data["data"], expected)
    assert len(page.spectrum.unused.data["left"]) == 3


def test_axes_have_the_units_of_the_file(galaxy_problem, tmp_path):
    seen = Observation(flux_unit="1e-20 erg/s/cm^2/AA", pixel_unit="arcsec")
    _, page = opened(galaxy_problem.populate(tmp_path / "cube.h5", observation=seen))
    assert page.map._figure.xaxis.axis_label == "x [arcsec]"
    assert page.spectrum._above.yaxis.axis_label == "Flux density [10⁻²⁰ erg s⁻¹ cm⁻² Å⁻¹]"


def test_names_in_the_page_are_text_and_no_markup(galaxy_problem, tmp_path):
    (tmp_path / "<b>").mkdir()
    _, page = opened(tmp_path / "<b>" / "cube.h5")
    assert "<b>/cube.h5" not in page.header.view.text
    assert "&lt;b&gt;/cube.h5" in page.header.view.text


def test_the_spectrum_is_data_and_model_of_the_picked_spaxel(fitted, galaxy_problem):
    path, x = fitted
    _, page = opened(path)
    model = reconstruct_matrix_free(path, x, "losvd")
    data, sigma = galaxy_problem.optional["datacube"], galaxy_problem.optional["noise"]
    mask = galaxy_problem.optional["mask"]
    for spaxel in (page.spaxel, 3, 7):
        page.pick(spaxel)
        lines = page.spectrum.lines.data
        np.testing.assert_allclose(lines["data"], data[spaxel])
        np.testing.assert_allclose(lines["model"], model[spaxel], rtol=1e-6)
        residual = page.spectrum.dots.data["residual"]
        expected = ((data - model) / sigma)[spaxel]
        np.testing.assert_allclose(residual[mask], expected[mask], rtol=1e-4, atol=1e-4)
        assert np.isnan(residual[~mask]).all()
    strips = page.spectrum.unused.data
    assert len(strips["left"]) == 2
    assert strips["right"][0] < strips["left"][1]
    wave = lines["wave"]
    assert wave[19] < strips["left"][0] < wave[20] < wave[22] < strips["right"][0] < wave[23]


def test_the_first_spaxel_is_the_brightest_per_pixel_and_a_tap_picks_another(fitted):
    _, page = opened(fitted[0])
    light = page.map.light
    assert page.spaxel == page.map.sky.spaxel[np.nanargmax(light)]
    page.map._tapped(Tap(None, x=3.4, y=2.3))  # column 7, row 5
    assert page.spaxel == 11
    page.map._tapped(Tap(None, x=50.0, y=50.0))
    assert page.spaxel == 11


def test_the_map_is_light_or_what_the_fit_makes_of_it(fitted, galaxy_problem):
    path, _ = fitted
    _, page = opened(path)
    (image,) = page.map.pixels.data["value"]
    flux = np.mean(galaxy_problem.optional["datacube"][:, galaxy_problem.optional["mask"]], axis=1)
    bins = galaxy_problem.optional["binnum"].reshape(6, 8)
    np.testing.assert_allclose(image, flux[bins] / 4.0, rtol=1e-6)
    np.testing.assert_array_equal(page.map.pixels.data["spaxel"][0], bins)
    spaxels = FitResult.from_file(path).spaxels()
    for label, expected in {
        "geometric mean age, by light (fit) [Gyr]": 10.0 ** spaxels["log_age_by_light"].values,
        "mean [M/H], by light (fit) [dex]": spaxels["metal_by_light"].values,
    }.items():
        page.map.select.value = label
        (image,) = page.map.pixels.data["value"]
        np.testing.assert_allclose(image, expected[bins], rtol=1e-5)


@pytest.mark.parametrize(("scale", "tone"), [(1.0, "done"), (0.25, "doubtful")])
def test_only_a_fit_within_the_noise_is_green(galaxy_problem, tmp_path, scale, tone):
    noise = scale * galaxy_problem.optional["noise"]
    path = galaxy_problem.populate(tmp_path / "cube.h5", noise=noise)
    PipelineRunner(path).solve_all(method="exact", verbose=False)
    _, page = opened(path)
    assert f"solid {TONES[tone]}" in page.header.view.text
    assert TONES["done"] != TONES["doubtful"]


def test_the_map_offers_what_can_be_known_and_names_it(galaxy_problem, tmp_path):
    seen = Observation(flux_unit="mJy", pixel_unit="arcsec")
    masses = np.linspace(1.0, 2.0, 12).reshape(2, 3, 2)
    path = galaxy_problem.populate(tmp_path / "cube.h5", observation=seen, template_masses=masses)
    PipelineRunner(path).solve_all(method="exact", verbose=False)
    _, page = opened(path)
    result = FitResult.from_file(path)
    images, spaxels = result.images(), result.spaxels()
    bins = galaxy_problem.optional["binnum"].reshape(6, 8)
    expected = {
        "light per spatial pixel (data)": ("Mean flux density [mJy]", None),
        "geometric mean age, by light (fit) [Gyr]": ("Geometric mean age [Gyr]", None),
        "mean [M/H], by light (fit) [dex]": ("Mean [M/H] [dex]", None),
        "mean [alpha/Fe], by light (fit) [dex]": (
            "Mean [alpha/Fe] [dex]",
            spaxels["alpha_by_light"].values[bins],
        ),
        "mean velocity, by light (fit) [km/s]": (
            "Mean velocity [km/s]",
            spaxels["velocity_by_light"].values[bins],
        ),
        "velocity dispersion, by light (fit) [km/s]": (
            "Velocity dispersion [km/s]",
            spaxels["dispersion_by_light"].values[bins],
        ),
        "light per spatial pixel (fit)": ("Mean flux density [mJy]", images["light"].values),
        "mass per spatial pixel (fit)": ("Mass [unit of template_masses]", images["mass"].values),
    }
    assert page.map.select.options == list(expected)
    for label, (name, values) in expected.items():
        page.map.select.value = label
        assert page.map._name.text == name
        assert page.map._hover.tooltips == [("Spaxel", "@spaxel"), (name, "@value")]
        if values is not None:
            np.testing.assert_allclose(page.map.pixels.data["value"][0], values, rtol=1e-5)


def test_the_map_offers_nothing_that_is_not_known_or_the_same_everywhere(galaxy_problem, tmp_path):
    axes = {"metallicity": [-1.0, 0.0], "age": [1.0, 3.0, 10.0], "alpha": [0.2, 0.2]}
    path = galaxy_problem.populate(tmp_path / "cube.h5", template_axes=axes)
    _, page = opened(path)
    assert page.map.select.options == [
        "light per spatial pixel (data)",
        "geometric mean age, by light (fit) [Gyr]",
        "mean [M/H], by light (fit) [dex]",
        "mean velocity, by light (fit) [km/s]",
        "velocity dispersion, by light (fit) [km/s]",
        "light per spatial pixel (fit)",
    ]


def test_colours_of_velocities_are_even_about_zero(fitted):
    _, page = opened(fitted[0])
    page.map.select.value = "mean velocity, by light (fit) [km/s]"
    shown = [mapper for mapper, (drawn, bar) in page.map._layers.items() if drawn.visible]
    assert [bar.visible for _, bar in page.map._layers.values()].count(True) == 1
    (mapper,) = shown
    reach = np.nanmax(np.abs(page.map.pixels.data["value"][0]))
    assert (mapper.low, mapper.high) == pytest.approx((-reach, reach), rel=1e-5)
    assert tuple(mapper.palette) == tuple(SIGNED_PALETTE)
    page.map.select.value = "velocity dispersion, by light (fit) [km/s]"
    assert not page.map._layers[mapper][0].visible


def test_the_masses_stand_against_what_is_chosen(fitted):
    path, x = fitted
    _, page = opened(path)
    shares = x.sum(axis=1) / x.sum()
    data = page.masses.points.data
    np.testing.assert_allclose(data["fitted"], shares)
    np.testing.assert_allclose(data["x"], np.arange(1, 6) / 15.0)
    page.masses.select.value = "radius [kpc]"
    np.testing.assert_allclose(page.masses.points.data["x"], np.geomspace(0.1, 10, 5))
    page.masses.select.value = "component number"
    np.testing.assert_allclose(page.masses.points.data["x"], np.arange(5))
    means = FitResult.from_file(path).components()["log_age_by_light"].values
    np.testing.assert_allclose(page.masses.points.data["age"], means)
    colours, gyr = page.masses._colours, 10.0**means
    assert (colours.low, colours.high) == pytest.approx((gyr.min(), gyr.max()), rel=1e-5)
    fill = page.masses._by_weight.renderers[0].glyph.fill_color
    assert (fill.field, fill.transform) == ("gyr", colours)


def test_the_plane_is_of_the_picked_component(fitted):
    path, x = fitted
    _, page = opened(path)
    light = FitResult.from_file(path).weights_of("light")
    cells = page.populations.cells.data
    summed = light.sum(("component", "alpha")).values
    np.testing.assert_allclose(cells["share"], summed.ravel() / summed.sum())
    np.testing.assert_allclose(cells["age"][:3], [1.0, 3.0, 10.0])
    component = int(np.argmax(x.sum(axis=1)))
    points = page.masses.points.data
    page.masses._tapped(Tap(None, x=points["x"][component], y=points["y"][component]))
    assert page.populations.select.value == str(component)
    one = light[component].sum("alpha").values
    np.testing.assert_allclose(page.populations.cells.data["share"], one.ravel() / one.sum())


def test_the_curves_are_the_metrics(fitted):
    path, _ = fitted
    _, page = opened(path)
    columns = read_history(path).columns
    n_voxels = 12 * 56
    curves = page.curves.sources
    np.testing.assert_allclose(curves["chi2"].data["y"], columns["chi2"] / n_voxels)
    np.testing.assert_allclose(curves["objective"].data["y"], 2 * columns["objective"] / n_voxels)
    np.testing.assert_allclose(curves["nnz"].data["y"], columns["nnz"])
    np.testing.assert_allclose(curves["nnz"].data["x"], columns["time_sec"])
    page.curves.choice.active = 1
    np.testing.assert_allclose(curves["nnz"].data["x"], columns["epoch"])


def test_curves_without_any_value_are_hidden_until_there_is_one(galaxy_file):
    PipelineRunner(galaxy_file).solve_all(epochs=2, verbose=False)
    live, page = opened(galaxy_file)
    parts = dict(zip(page.curves.titles, page.curves._figures, strict=True))
    assert parts["Rms residual [sigma]"].visible
    assert not parts["Gap to the optimum, at most"].visible
    PipelineRunner(galaxy_file).solve_all(method="exact", verbose=False)
    refreshed(live, page)
    assert all(part.visible for part in parts.values())


def test_legends_of_the_curves_lie_below_them(galaxy_file):
    _, page = opened(galaxy_file)
    legends = [part.legend[0] for part in page.curves._figures if part.legend]
    below = [model for part in page.curves._figures for model in part.below]
    assert len(legends) == 2
    assert all(legend in below for legend in legends)


def test_the_tiles_show_while_there_are_some_to_build(galaxy_file):
    live, page = opened(galaxy_file)
    assert not page.tiles.view.visible
    build_hypercube(galaxy_file, S_chunk=4, C_chunk=2, P_chunk=5, verbose=False)
    refreshed(live, page)
    assert not page.tiles.view.visible
    done = live.now.done.copy()
    done[2] = False
    page.tiles.update(replace(live.now, done=done))
    assert page.tiles.view.visible
    (share,) = page.tiles.image.data["share"]
    assert share.shape == (3, 3)
    np.testing.assert_array_equal(share, [[1] * 3, [1] * 3, [0] * 3])
    assert page.tiles.view.title.text == "HyperCube: 18 of 27 tiles"


def test_the_page_changes_only_with_the_file_and_not_too_often(fitted):
    live, page = opened(fitted[0])
    before = page.spectrum.lines.data
    page._next = 0.0
    page.tick()
    assert page.spectrum.lines.data is before
    live.path.touch()
    live.refresh()
    page._next = np.inf
    page.tick()
    assert page.spectrum.lines.data is before
    page._next = 0.0
    page.tick()
    assert page.spectrum.lines.data is not before


def test_a_replaced_galaxy_gets_new_panels(galaxy_problem, galaxy_file):
    live, page = opened(galaxy_file)
    before = page.map
    galaxy_problem.populate(
        galaxy_file, datacube=3.0 * galaxy_problem.optional["datacube"], overwrite=True
    )
    refreshed(live, page)
    assert page.map is not before


def test_a_spaxel_that_cannot_be_read_now_is_no_end_of_the_page(fitted, monkeypatch):
    _, page = opened(fitted[0])

    def fail(*_):
        raise StoreError("gone for a moment")

    monkeypatch.setattr("cubefit.live.galaxy.read_spectrum", fail)
    page.pick(2)
    assert "Spaxel 2 cannot be read now: gone for a moment" in page.spectrum.title


@pytest.mark.parametrize(
    "missing", ["template_axes", "binnum", "orbit_weights", "component_properties", "noise"]
)
def test_the_page_does_without_what_a_file_does_not_have(galaxy_problem, tmp_path, missing):
    path = galaxy_problem.populate(tmp_path / "cube.h5", **{missing: None})
    PipelineRunner(path).solve_all(method="exact", verbose=False)
    _, page = opened(path)
    assert np.isfinite(page.spectrum.lines.data["model"]).all()
    assert len(page.masses.points.data["x"]) == 5
    assert np.sum(page.populations.cells.data["share"]) == pytest.approx(1.0)
    if missing == "noise":
        assert "%" in page.spectrum.title


def test_ages_without_a_logarithm_are_no_end_of_the_page(galaxy_problem, tmp_path):
    axes = {"metallicity": [-1.0, 0.0], "age": [-1.0, 0.0, 1.0], "alpha": [0.0, 0.4]}
    path = galaxy_problem.populate(tmp_path / "cube.h5", template_axes=axes)
    PipelineRunner(path).solve_all(method="exact", verbose=False)
    _, page = opened(path)
    assert np.isnan(page.masses.points.data["age"]).all()
    assert np.sum(page.populations.cells.data["share"]) == pytest.approx(1.0)


def test_the_plane_sums_over_other_axes_in_any_order(galaxy_problem, tmp_path):
    values = np.random.default_rng(0).random(12)
    cube = values.reshape(2, 3, 2)
    for axes, expected in {
        ("metallicity", "age", "alpha"): cube.sum(axis=2),
        ("age", "metallicity", "alpha"): cube.sum(axis=2).T,
        ("alpha", "age", "metallicity"): cube.sum(axis=0).T,
    }.items():
        named = {name: np.arange(1.0, n + 1) for name, n in zip(axes, (2, 3, 2), strict=True)}
        path = galaxy_problem.populate(tmp_path / f"{axes[0]}.h5", template_axes=named)
        live = LiveFile(path)
        live.refresh()
        found = live.now.galaxy.plane(values, ("metal", "age"))
        np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize(
    ("longest", "expected"), [(90, "s"), (500, "min"), (9000, "h"), (1e6, "d"), (0, "s")]
)
def test_times_have_a_unit_that_fits(longest, expected):
    times, unit = in_good_unit(np.array([0.0, longest]))
    assert unit == expected
    assert times[-1] <= max(200, longest)
    assert in_good_unit(np.empty(0))[1] == "s"


def test_long_curves_are_thinned_to_their_end():
    x = np.arange(10_000.0)
    found = points(x, np.where(x % 2 == 0, x, np.nan), positive=True)
    assert found["x"].size <= MOST_POINTS
    assert found["x"][-1] == 9998.0
    assert np.isfinite(found["y"]).all()
    assert (found["y"] > 0).all()


def test_pixels_wider_than_high_are_drawn_where_they_are(galaxy_problem, tmp_path):
    x = 4.0 * galaxy_problem.optional["xpix"]
    _, page = opened(galaxy_problem.populate(tmp_path / "cube.h5", xpix=x))
    image = next(
        r.glyph for r in page.map._figure.renderers if r.glyph.__class__.__name__ == "Image"
    )
    assert (image.x, image.dw) == (-1.0, 16.0)
    assert (image.y, image.dh) == (-0.25, 3.0)


def test_a_pick_just_after_the_file_was_replaced_says_so_and_shows_nothing_old(
    galaxy_problem, fitted
):
    live, page = opened(fitted[0])
    cube = 3.0 * galaxy_problem.optional["datacube"]
    galaxy_problem.populate(live.path, datacube=cube, overwrite=True)
    page.pick(2)
    assert "holds other inputs now" in page.spectrum.title
    assert page.spectrum.lines.data["data"] == []
    live.refresh()  # what the watcher sees before the page is told
    page.pick(3)
    assert "holds other inputs now" in page.spectrum.title
    page._next = 0.0
    page.tick()
    np.testing.assert_allclose(page.spectrum.lines.data["data"], cube[page.spaxel])


def test_a_spaxel_that_could_not_be_read_is_read_at_the_next_tick(fitted, monkeypatch):
    live, page = opened(fitted[0])

    def fail(*_):
        raise StoreError("gone for a moment")

    live.path.touch()
    live.refresh()
    page._next = 0.0
    with monkeypatch.context() as patched:
        patched.setattr("cubefit.live.galaxy.read_losvd", fail)
        page.tick()
        assert "gone for a moment" in page.spectrum.title
    page._next = 0.0
    page.tick()
    assert "residual rms" in page.spectrum.title


def test_a_map_that_cannot_be_read_leaves_the_other_panels_alone(fitted, monkeypatch):
    live, page = opened(fitted[0])

    def fail(*_):
        raise StoreError("gone for a moment")

    monkeypatch.setattr("cubefit.live.galaxy.read_moments", fail)
    page.map.select.value = "mean [M/H], by light (fit) [dex]"
    assert "gone for a moment" in page.map.title
    before = page.curves.sources["nnz"].data
    live.path.touch()
    refreshed(live, page)
    assert page.curves.sources["nnz"].data is not before


def test_a_map_of_the_fit_is_empty_before_there_are_weights(galaxy_file):
    _, page = opened(galaxy_file)
    page.map.select.value = "mean [M/H], by light (fit) [dex]"
    assert np.isnan(page.map.pixels.data["value"][0]).all()
    assert page.map.title == "No weights yet, so nothing to show"
    page.map.select.value = "light per spatial pixel (data)"
    assert page.map.title == ""


def test_a_component_is_picked_where_others_are_unknown(galaxy_problem, tmp_path):
    known = {"radius [kpc]": [0.1, np.nan, 1.0, 3.0, 10.0]}
    path = galaxy_problem.populate(tmp_path / "cube.h5", component_properties=known)
    PipelineRunner(path).solve_all(method="exact", verbose=False)
    _, page = opened(path)
    page.masses.select.value = "radius [kpc]"
    points = page.masses.points.data
    page.masses._tapped(Tap(None, x=3.0, y=points["y"][3]))
    assert page.populations.select.value == "3"


def test_missing_orbit_weights_are_said_only_while_they_are_missing(galaxy_problem, tmp_path):
    path = galaxy_problem.populate(tmp_path / "cube.h5", orbit_weights=None)
    PipelineRunner(path).solve_all(method="exact", verbose=False)
    live, page = opened(path)
    assert page.masses.select.title.startswith("No orbit weights given")
    weights = np.arange(1.0, 6.0)
    PipelineRunner(path).solve_all(method="exact", orbit_weights=weights, verbose=False)
    refreshed(live, page)
    assert page.masses.select.title == "Component masses against"


def test_a_solution_of_nothing_is_compared_with_nothing(galaxy_problem, tmp_path):
    path = galaxy_problem.populate(tmp_path / "cube.h5", noise=None)
    with FitTracker(path) as tracker:
        tracker.begin(run={"method": "exact"}, fresh=True)
        tracker.finish(np.zeros(60), 1, state={"round": 1.0})
    _, page = opened(path)
    assert "nothing to compare" in page.spectrum.title


@pytest.mark.parametrize(("noise", "unit"), [(True, "sigma"), (False, "data unit")])
def test_the_curves_have_the_unit_of_their_misfit(galaxy_problem, tmp_path, noise, unit):
    changes = {} if noise else {"noise": None}
    _, page = opened(galaxy_problem.populate(tmp_path / "cube.h5", **changes))
    assert page.curves.titles[:2] == [
        "Misfit per voxel" if noise else "Misfit [data unit squared] per voxel",
        f"Rms residual [{unit}]",
    ]
    assert page.curves.titles[3] == "Step size (change of weights)"
