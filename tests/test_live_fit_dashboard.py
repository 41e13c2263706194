"""The still picture of a build or a fit."""

import subprocess
import sys

import numpy as np
import pytest
from matplotlib.image import imread

from cubefit.errors import InputError, StoreError
from cubefit.hypercube_builder import build_hypercube
from cubefit.live import LiveFile
from cubefit.live_fit_dashboard import draw_look, render_dashboard, watch_dashboard
from cubefit.observation import Observation
from cubefit.pipeline_runner import PipelineRunner


@pytest.fixture
def galaxy(problem, tmp_path):
    """A file with all that the picture can show, but for a fit."""
    return problem.populate(
        tmp_path / "cube.h5",
        noise=np.full(40, 0.01 * problem.datacube.mean()),
        mask=np.arange(40) != 5,
        xpix=np.arange(7.0),
        ypix=np.zeros(7),
        binnum=np.arange(7),
        template_axes={"metallicity": [0, -1], "age": [1, 3, 10], "alpha": [0.0, 0.4]},
        orbit_weights=np.arange(1.0, 6.0),
    )


def panels(path):
    """Return the panels of the picture by their place, without the colour bars."""
    live = LiveFile(path)
    live.refresh()
    figure = draw_look(live.now)
    named = ("map", "spectrum", "course 0", "course 1", "course 2", "masses", "plane", "tiles")
    found = {axes.get_label(): axes for axes in figure.axes}
    return figure, {name: found[name] for name in named}


def words(axes):
    return [text.get_text() for text in axes.texts]


def test_before_a_fit_it_says_what_is_missing(galaxy):
    figure, found = panels(galaxy)
    assert "cube.h5: The file is populated, nothing is fitted yet" in figure.get_suptitle()
    assert "60 weights, none negative" in figure.get_suptitle()
    assert words(found["masses"]) == ["no weights yet"]
    assert words(found["course 0"]) == ["no figures of merit yet"]
    assert words(found["tiles"]) == ["no HyperCube: the fit does without"]
    assert found["spectrum"].get_title(loc="left").endswith("the brightest; no weights yet")
    assert len(found["spectrum"].lines) == 1


def test_after_a_fit_it_shows_all_of_it(galaxy, problem):
    build_hypercube(galaxy, S_chunk=3, C_chunk=2, P_chunk=5, verbose=False)
    x, stats = PipelineRunner(galaxy).solve_all(
        method="exact", orbit_weights="stored", verbose=False
    )
    figure, found = panels(galaxy)
    assert f"chi2 per voxel {stats['chi2_per_voxel']:.4g}" in figure.get_suptitle()
    data, model = found["spectrum"].lines
    brightest = int(np.argmax(problem.datacube.mean(axis=1)))
    np.testing.assert_allclose(data.get_ydata(), problem.datacube[brightest])
    expected = np.einsum("cpl,cp->l", problem.models[brightest], x.reshape(5, 12))
    np.testing.assert_allclose(model.get_ydata(), expected, rtol=1e-5)
    assert found["masses"].get_xlabel() == "Orbit weight / sum"
    assert found["plane"].get_xlabel() == "Age [Gyr]"
    assert found["tiles"].get_title(loc="left") == "HyperCube: 100 % of its tiles"
    assert found["course 0"].get_ylabel() == "Duality gap / objective"
    (_, image) = render_and_read(galaxy)
    assert image.std() > 0.05


@pytest.mark.parametrize(
    "axes",
    [
        {"metallicity": [0, 0], "age": [1, 3, 10], "alpha": [0.0, 0.4]},
        {"metallicity": [0, -1], "age": [5, 5, 5], "alpha": [0.0, 0.4]},
        {"metallicity": [0, -1], "age": [0, 1, 2], "alpha": [0.0, 0.4]},
        {"$x_$": [0, -1], "age": [1, 3, 10], "alpha": [0.0, 0.4]},
    ],
)
def test_axes_that_make_no_plane_are_no_end_of_the_picture(galaxy, problem, axes):
    problem.populate(galaxy, template_axes=axes, overwrite=True)
    PipelineRunner(galaxy).solve_all(method="exact", verbose=False)
    _, found = panels(galaxy)
    assert words(found["plane"]) == ["no ages and metallicities to show"]
    render_and_read(galaxy)


def render_and_read(path):
    out = render_dashboard(path, path.with_name("still.png"))
    return out, imread(out)


@pytest.mark.parametrize("missing", ["binnum", "template_axes", "orbit_weights", "noise"])
def test_it_does_without_what_a_file_does_not_have(galaxy, problem, missing, tmp_path):
    path = problem.populate(
        tmp_path / "less.h5",
        **{
            "noise": np.full(40, 0.01),
            "binnum": np.arange(7),
            "xpix": np.arange(7.0),
            "ypix": np.zeros(7),
            "template_axes": {"metallicity": [0, -1], "age": [1, 3, 10], "alpha": [0.0, 0.4]},
            "orbit_weights": np.arange(1.0, 6.0),
        }
        | {missing: None},
    )
    PipelineRunner(path).solve_all(method="exact", verbose=False)
    _, found = panels(path)
    label = "Component" if missing == "orbit_weights" else "Orbit weight / sum"
    assert found["masses"].get_xlabel() == label
    assert found["map"].get_xlabel() == (
        "Spaxels in order" if missing == "binnum" else "x [as given]"
    )
    assert bool(words(found["plane"])) == (missing == "template_axes")


def test_the_still_picture_has_the_units_of_the_file(problem, tmp_path):
    seen = Observation(flux_unit="1e-20 erg/s/cm^2/AA", pixel_unit="arcsec")
    place = {"binnum": np.arange(7), "xpix": np.arange(7.0), "ypix": np.zeros(7)}
    _, found = panels(problem.populate(tmp_path / "cube.h5", observation=seen, **place))
    assert found["map"].get_xlabel() == "x [arcsec]"
    assert found["spectrum"].get_ylabel() == "Flux density [10⁻²⁰ erg s⁻¹ cm⁻² Å⁻¹]"


def test_a_missing_file_or_an_unknown_format_is_refused(galaxy, tmp_path):
    with pytest.raises(StoreError, match="does not exist yet"):
        render_dashboard(tmp_path / "none.h5", tmp_path / "still.png")
    with pytest.raises(InputError, match=r"\.png, \.pdf, \.svg"):
        render_dashboard(galaxy, tmp_path / "still.jpg")
    with pytest.raises(InputError, match=r"\.png, \.pdf, \.svg"):
        next(watch_dashboard(galaxy, tmp_path / "still.jpg"))
    assert not list(tmp_path.glob("*still*"))


def test_a_watch_waits_for_the_file_and_draws_it_when_it_changes(galaxy, tmp_path):
    path, out = tmp_path / "later.h5", tmp_path / "still.png"
    watch = watch_dashboard(path, out, every_s=0.01)
    assert "does not exist yet" in next(watch)
    galaxy.rename(path)
    assert "nothing is fitted yet" in next(watch)
    before = out.read_bytes()
    PipelineRunner(path).solve_all(method="exact", verbose=False)
    assert "Fitted" in next(watch)
    assert out.read_bytes() != before


def test_the_verb_draws_once(galaxy):
    out = galaxy.with_name("verb.pdf")
    command = [sys.executable, "-m", "cubefit", "snapshot", str(galaxy), "-o", str(out)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "drawn as" in done.stdout
    assert out.read_bytes().startswith(b"%PDF")


def test_a_watch_tries_again_what_could_not_be_drawn_and_says_so_once(galaxy, monkeypatch):
    failures = [StoreError("gone for a moment")] * 3
    drawn = draw_look

    def draw(look):
        if failures:
            raise failures.pop()
        return drawn(look)

    monkeypatch.setattr("cubefit.live_fit_dashboard.draw_look", draw)
    watch = watch_dashboard(galaxy, galaxy.with_name("still.png"), every_s=0.01)
    assert next(watch) == "gone for a moment"
    assert "nothing is fitted yet" in next(watch)
    assert not failures
