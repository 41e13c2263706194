import itertools

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PathCollection

from cubefit.errors import InputError
from cubefit.report import Trend, property_trends, save_figure

N = 12
RADIUS = np.geomspace(0.2, 40.0, N)
CIRCULARITY = np.linspace(-0.6, 1.0, N)
AGES = np.log10(np.linspace(2.0, 12.0, N))
WEIGHTS = np.linspace(0.1, 1.0, N)


def trend(**changes):
    return Trend(
        **{"means": AGES, "scatters": np.full(N, 0.1), "label": "Mean age [Gyr]"} | changes
    )


def draw(trends=None, **changes):
    return property_trends(
        **{
            "trends": trends or [trend(is_log_age=True)],
            "properties": {"Radius [kpc]": RADIUS},
            "weights": WEIGHTS,
            "weight_label": "light",
        }
        | changes
    )


def points(axes):
    return next(c for c in axes.collections if isinstance(c, PathCollection))


def test_means_stand_at_their_property():
    axes = draw().axes[0]
    np.testing.assert_allclose(points(axes).get_offsets(), np.column_stack([RADIUS, AGES]))
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Radius [kpc]", "Mean age [Gyr]")
    assert axes.get_xscale() == "log"
    assert (np.diff(points(axes).get_sizes()) > 0).all()  # as the weights do
    assert axes.get_title(loc="left").startswith("Weighted by light (area)")


def test_what_is_told_stands_in_lines_that_fit(tmp_path):
    figure = draw(properties={"radius [kpc]": RADIUS}, note="Ages 0 to 5 Gyr")
    figure.draw_without_rendering()
    lines = figure.axes[0].get_title(loc="left").split("\n")
    assert " ".join(lines[:-1]) == "Weighted by light (area); bars: scatter within components"
    assert lines[-1] == "Ages 0 to 5 Gyr"
    assert figure.get_tightbbox().x1 <= figure.get_figwidth()


def test_bars_are_the_scatter_and_stay_inside():
    axes = draw().axes[0]
    bars = next(c for c in axes.collections if isinstance(c, LineCollection)).get_segments()
    np.testing.assert_allclose([bar[:, 1] for bar in bars], np.transpose([AGES - 0.1, AGES + 0.1]))
    low, high = axes.get_ylim()
    assert low < (AGES - 0.1).min()
    assert high > (AGES + 0.1).max()


def test_ages_are_told_in_gyr():
    labels = [text.get_text() for text in draw().axes[0].get_yticklabels()]
    assert labels == ["2", "5", "10"]


def test_rows_are_quantities_and_columns_properties(tmp_path):
    figure = draw(
        [trend(is_log_age=True), trend(means=-AGES, label="Mean [M/H] [dex]")],
        properties={"Radius [kpc]": RADIUS, "Circularity": CIRCULARITY},
    )
    grid = np.reshape(figure.axes, (2, 2))
    assert [axes.get_xlabel() for axes in grid[1]] == ["Radius [kpc]", "Circularity"]
    assert [axes.get_ylabel() for axes in grid[:, 0]] == ["Mean age [Gyr]", "Mean [M/H] [dex]"]
    assert not any(axes.get_xlabel() for axes in grid[0])
    assert grid[0, 1].get_xscale() == "linear"
    save_figure(figure, tmp_path / "trends.pdf")


def test_components_of_nothing_are_left_out():
    means, weights, radius = AGES.copy(), WEIGHTS.copy(), RADIUS.copy()
    means[0], weights[1], radius[2] = np.nan, 0.0, np.nan
    axes = draw([trend(means=means)], weights=weights, properties={"r [kpc]": radius}).axes[0]
    np.testing.assert_allclose(points(axes).get_offsets()[:, 1], AGES[3:])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"properties": {}}, "along 0 properties"),
        ({"properties": {str(k): RADIUS for k in range(5)}}, "1 to 4 properties"),
        ({"properties": {"r [kpc]": RADIUS[:3]}}, r"r \[kpc\] has shape"),
        ({"weights": np.zeros(N)}, "not all zero"),
        ({"trends": [trend(scatters=AGES[:2])]}, r"the scatter of Mean age \[Gyr\] has shape"),
    ],
)
def test_impossible_trends_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        draw(**changes)


THREE = {"Radius [kpc]": RADIUS, "Circularity": CIRCULARITY, "Mean radius [kpc]": RADIUS}


def test_in_one_column_properties_stand_below_each_other():
    trends = [trend(is_log_age=True), trend(means=-AGES, label="Mean [M/H] [dex]")]
    figure = draw(trends, properties=THREE, width_inch=3.4)
    figure.draw_without_rendering()
    places = [axes.get_position() for axes in figure.axes]
    assert all(above.y0 > below.y1 for above, below in itertools.pairwise(places))
    assert min(place.width * 3.4 for place in places) > 2.2
    assert [axes.get_xlabel() for axes in figure.axes[1::2]] == list(THREE)
    assert not any(axes.get_xlabel() for axes in figure.axes[::2])
    assert {axes.get_ylabel() for axes in figure.axes[::2]} == {"Mean age [Gyr]"}


def test_side_by_side_panels_are_as_wide_as_each_other_without_gaps():
    figure = draw(properties=THREE | {"Circularity": np.linspace(-0.5, 1.0, N)})
    figure.draw_without_rendering()
    places = [axes.get_position() for axes in figure.axes]
    gaps = [right.x0 - left.x1 for left, right in itertools.pairwise(places)]
    assert max(gaps) < 0.2 * places[0].width
    ticks = [text.get_window_extent() for text in figure.axes[1].get_xticklabels()]
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(ticks))
