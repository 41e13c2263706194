import numpy as np
import pytest

from cubefit.errors import InputError
from cubefit.report import population_planes, save_figure
from cubefit.report.populations import cell_edges

LOG_AGE = np.log10([0.1, 1.0, 3.0, 10.0])
METAL = np.array([-1.0, -0.3, 0.2])


def weights(n=1):
    found = np.random.default_rng(6).random((n, 3, 4))
    found[:, 0, 1] = 0.0
    return found


def draw(n=1, **changes):
    return population_planes(
        **{
            "weights": weights(n),
            "log_age": LOG_AGE,
            "metal": METAL,
            "titles": [f"c={k}" for k in range(n)],
            "weight_label": "light",
        }
        | changes
    )


def cells(axes):
    return axes.collections[0].get_array()


def planes(figure):
    return [axes for axes in figure.axes if axes.collections and axes.get_title(loc="left")]


def test_cells_hold_percent_of_their_panel():
    figure = draw()
    axes = figure.axes[0]
    expected = 100.0 * weights()[0] / weights().sum()
    drawn = cells(axes).reshape(3, 4)
    np.testing.assert_allclose(drawn.filled(0.0), expected)
    assert drawn.mask[0, 1]
    assert drawn.mask.sum() == 1
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Age [Gyr]", "[M/H] [dex]")
    least = f"{1e-3 * expected.max():.2g}"
    assert figure.axes[1].get_ylabel() == f"Share of light per cell [%]\nwhite: below {least} %"
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0.1", "1", "10"]
    assert axes.get_title(loc="left") == "c=0 (dot: mean)"


def test_the_order_of_the_templates_does_not_matter():
    plain = draw()
    turned = draw(weights=weights()[:, ::-1, ::-1], log_age=LOG_AGE[::-1], metal=METAL[::-1])
    np.testing.assert_array_equal(cells(turned.axes[0]), cells(plain.axes[0]))


def test_the_mean_is_marked():
    line = draw().axes[0].lines[0]
    share = weights()[0] / weights().sum()
    assert line.get_xdata()[0] == pytest.approx(share.sum(axis=0) @ LOG_AGE)
    assert line.get_ydata()[0] == pytest.approx(share.sum(axis=1) @ METAL)


def test_planes_share_axes_and_one_colour_bar(tmp_path):
    figure = draw(6)
    found = planes(figure)
    assert len(found) == 6
    assert len({axes.collections[0].norm for axes in found}) == 1
    assert len({axes.get_xlim() for axes in found}) == 1
    assert [axes.get_ylabel() for axes in found] == ["[M/H] [dex]", "", "", "", "[M/H] [dex]", ""]
    assert [bool(axes.get_xlabel()) for axes in found] == [False, False, True, True, True, True]
    save_figure(figure, tmp_path / "planes.svg")


def test_a_component_of_nothing_is_an_empty_plane():
    empty = weights(2)
    empty[1] = 0.0
    axes = planes(draw(2, weights=empty))[1]
    assert cells(axes).mask.all()
    assert not axes.lines


def test_edges_lie_halfway():
    np.testing.assert_allclose(cell_edges("metal", METAL), [-1.35, -0.65, -0.05, 0.45])
    np.testing.assert_allclose(cell_edges("metal", METAL[:1]), [-1.1, -0.9])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": weights(2)}, "weights has shape"),
        ({"weights": -weights()}, "negative"),
        ({"metal": np.zeros(3)}, "metal are the same"),
        ({"log_age": np.array([-np.inf, *LOG_AGE[1:]])}, "log_age holds NaN or infinite"),
        ({"weights": weights()[:0], "titles": []}, "0 planes"),
        ({"weights": weights(25), "titles": ["c"] * 25}, "25 planes: choose 1 to 24"),
    ],
)
def test_impossible_planes_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        draw(**changes)


@pytest.mark.parametrize("n", [2, 4, 12])
@pytest.mark.parametrize("width", [3.4, 7.1])
def test_the_scale_of_several_planes_is_told_and_fits(n, width):
    figure = draw(n, width_inch=width)
    figure.draw_without_rendering()
    bar = figure.axes[-1]
    assert "square-root scale; white: below" in bar.get_ylabel().replace("\n", " ")
    assert bar.yaxis.label.get_window_extent().height < figure.bbox.height
