import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from PIL import Image

from cubefit.errors import InputError
from cubefit.report import MapPanel, map_panels, save_figure
from cubefit.report.maps import columns_of, spacing
from cubefit.report.style import COLUMN_WIDTH_INCH, PAGE_WIDTH_INCH

X, Y = 0.5 * np.arange(6.0), 1.0 + 0.5 * np.arange(4.0)
IMAGE = np.random.default_rng(3).uniform(0.0, 1.0, (4, 6))
POINTS = np.random.default_rng(4).uniform(0.0, 3.0, (2, 24))


def draw(panels=None, **changes):
    panels = panels or [MapPanel(values=IMAGE, label="Mean [M/H] [dex]")]
    return map_panels(**{"panels": panels, "x": X, "y": Y, "pixel_unit": "arcsec"} | changes)


def test_an_image_stands_on_its_pixels():
    figure = draw(title="All components")
    axes, bar = figure.axes
    drawn = axes.images[0]
    np.testing.assert_array_equal(drawn.get_array(), IMAGE)
    assert drawn.get_extent() == [-0.25, 2.75, 0.75, 2.75]
    assert (axes.get_xlim(), axes.get_ylim()) == ((-0.25, 2.75), (0.75, 2.75))
    assert drawn.origin == "lower"
    assert axes.get_aspect() == 1.0
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("x [arcsec]", "y [arcsec]")
    assert bar.get_ylabel() == "Mean [M/H] [dex]"
    assert axes.get_title(loc="left") == "All components"
    assert figure.get_size_inches()[0] == COLUMN_WIDTH_INCH


def test_empty_pixels_are_drawn_as_such():
    image = IMAGE.copy()
    image[1, 2] = np.nan
    drawn = draw([MapPanel(values=image, label="age")]).axes[0].images[0]
    assert np.ma.getmaskarray(drawn.get_array())[1, 2]
    assert drawn.norm.vmin == np.nanmin(image)
    assert drawn.norm.vmax == np.nanmax(image)


def test_pixels_on_no_grid_are_squares_of_their_size():
    x, y = POINTS
    values = np.arange(24.0)
    values[5] = np.nan
    axes = draw([MapPanel(values=values, label="age")], x=x, y=y).axes[0]
    (drawn,) = (c for c in axes.collections if isinstance(c, PolyCollection))
    np.testing.assert_array_equal(drawn.get_array().compressed(), np.delete(values, 5))
    corners = np.array([path.vertices[:4] for path in drawn.get_paths()])
    np.testing.assert_allclose(corners.mean(axis=1), POINTS.T)
    sides = np.ptp(corners[:, :, 0], axis=1)
    np.testing.assert_allclose(sides, spacing(x, y))
    assert axes.get_xlim()[0] == pytest.approx(x.min() - 0.5 * spacing(x, y))


def test_spacing_is_that_of_the_grid_and_forgives_doubles():
    x, y = (v.ravel() for v in np.meshgrid(X, Y))
    assert spacing(x, y) == pytest.approx(0.5)
    assert spacing(np.append(x, x[0]), np.append(y, y[0])) == pytest.approx(0.5)
    assert spacing(np.zeros(1), np.zeros(1)) == 1.0


def test_ages_are_told_in_gyr():
    log_age = np.log10(np.linspace(2.0, 12.0, 24)).reshape(4, 6)
    figure = draw([MapPanel(values=log_age, label="Mean age [Gyr]", scale="log_age")])
    bar = figure.axes[1]
    assert [text.get_text() for text in bar.get_yticklabels()] == ["2", "5", "10"]
    np.testing.assert_allclose(bar.get_yticks(), np.log10([2.0, 5.0, 10.0]))


def test_residuals_have_their_own_colours_even_about_zero():
    signed = draw([MapPanel(values=IMAGE - 0.2, label="residual", scale="signed")])
    drawn = signed.axes[0].images[0]
    assert drawn.norm.vmin == -drawn.norm.vmax
    assert drawn.get_cmap().name != draw().axes[0].images[0].get_cmap().name


def test_many_maps_share_labels_and_each_has_its_bar(tmp_path):
    panels = [MapPanel(values=(k + 1) * IMAGE, label=f"quantity {k}") for k in range(5)]
    figure = draw(panels)
    assert figure.get_size_inches()[0] == PAGE_WIDTH_INCH
    maps = [axes for axes in figure.axes if axes.images]
    assert len(maps) == 5
    assert [axes.get_ylabel() for axes in maps] == ["y [arcsec]", "", "", "y [arcsec]", ""]
    assert [axes.get_xlabel() for axes in maps] == ["", "", *["x [arcsec]"] * 3]
    labels = [axes.get_ylabel() for axes in figure.axes[6:]]
    assert labels == [f"quantity {k}" for k in range(5)]
    with Image.open(save_figure(figure, tmp_path / "maps.png")) as image:
        image.load()


def test_units_of_long_labels_stand_in_a_line_of_their_own():
    long = "Light per pixel [erg per second and more]"
    panels = [MapPanel(values=IMAGE.T, label=long)] * 6
    many = draw(panels, x=Y, y=X, width_inch=PAGE_WIDTH_INCH)
    told = {axes.get_ylabel() for axes in many.axes}
    assert "Light per pixel\n[erg per second and more]" in told
    assert long not in told
    short = draw([MapPanel(values=IMAGE.T, label="Mean [M/H] [dex]")], x=Y, y=X)
    assert short.axes[1].get_ylabel() == "Mean [M/H] [dex]"


def test_nothing_is_cut_off_at_the_edges(tmp_path):
    panels = [MapPanel(values=1e-3 * IMAGE, label="Light per pixel [data unit]")] * 3
    strips = [MapPanel(values=1e-3 * IMAGE[:2], label="Light per pixel [data unit]")] * 3
    for found, y in ((panels, Y), (strips, Y[:2])):
        for width in (COLUMN_WIDTH_INCH, PAGE_WIDTH_INCH):
            path = save_figure(draw(found, y=y, width_inch=width), tmp_path / "maps.png")
            require_white_edges(path)


def require_white_edges(path):
    with Image.open(path) as image:
        seen = np.asarray(image.convert("L"))
    for edge in (seen[0], seen[-1], seen[:, 0], seen[:, -1]):
        assert edge.min() == 255


def test_one_row_of_pixels_is_a_row_of_squares():
    figure = draw([MapPanel(values=IMAGE[:1], label="age")], y=Y[:1], title="All")
    axes, bar = figure.axes
    assert figure.get_suptitle() == "All"
    assert axes.get_ylim() == (0.75, 1.25)
    assert bar.get_xlabel() == "age"  # above the map, for there is no room beside it


@pytest.mark.parametrize(("n", "columns"), [(1, 1), (2, 2), (3, 3), (4, 2), (5, 3), (6, 3)])
def test_maps_stand_side_by_side_on_a_page_alone(n, columns):
    assert columns_of(n, PAGE_WIDTH_INCH) == columns
    assert columns_of(n, COLUMN_WIDTH_INCH) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": X[:3]}, "age has shape"),
        ({"x": np.full(6, np.nan)}, "not finite"),
        ({"width_inch": 1.0}, "1 inch wide"),
    ],
)
def test_impossible_maps_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        draw([MapPanel(values=IMAGE, label="age")], **changes)


def test_no_map_is_refused():
    with pytest.raises(InputError, match="no panel"):
        map_panels(panels=[], x=X, y=Y, pixel_unit="arcsec")


@pytest.mark.parametrize("n", [1, 4])
def test_no_page_is_left_blank_above_and_below_maps(n, tmp_path):
    values = np.random.default_rng(3).uniform(0.0, 1.0, (30, 30))
    panels = [MapPanel(values=values, label="Mean age [Gyr]")] * n
    axis = np.arange(30.0) - 14.5
    figure = draw(panels, x=axis, y=axis, width_inch=COLUMN_WIDTH_INCH)
    with Image.open(save_figure(figure, tmp_path / "maps.png")) as image:
        seen = np.asarray(image.convert("L"))
    rows = np.flatnonzero(seen.min(axis=1) < 250)
    assert 0 < rows[0] < 30
    assert 0 < len(seen) - 1 - rows[-1] < 30
