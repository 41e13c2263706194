import numpy as np
import pytest
from PIL import Image

from cubefit.errors import InputError
from cubefit.report import component_masses, population_recovery, save_figure

RADIUS = np.geomspace(0.2, 40.0, 30)
EXPECTED = np.geomspace(1e-3, 2e-2, 30)


def masses(**changes):
    return component_masses(
        **{
            "fitted": 1.2 * EXPECTED,
            "expected": EXPECTED,
            "expected_label": "Orbit mass [M]",
            "sort_by": RADIUS,
            "sort_label": "Orbit radius [kpc]",
        }
        | changes
    )


def populations(**changes):
    random = np.random.default_rng(2)
    age, metal = random.uniform(0.0, 1.1, 30), random.uniform(-1.0, 0.2, 30)
    return population_recovery(
        **{
            "fitted_log_age": age + 0.1,
            "true_log_age": age,
            "fitted_metal": metal - 0.05,
            "true_metal": metal,
            "weights": EXPECTED,
        }
        | changes
    )


def markers(axes):
    """The points by marker, without lines."""
    return {
        line.get_marker(): np.column_stack(line.get_data())
        for line in axes.lines
        if line.get_linestyle() == "None"
    }


def test_masses_on_equal_log_axes_with_the_identity():
    left, right = masses().axes
    assert left.get_xscale() == left.get_yscale() == right.get_yscale() == "log"
    assert left.get_xlim() == left.get_ylim()
    assert (left.get_xlabel(), left.get_ylabel()) == (
        "Orbit mass [M]",
        "Fitted component mass [same unit]",
    )
    identity = left.lines[0]
    np.testing.assert_array_equal(*identity.get_data())
    assert left.get_title(loc="right") == "rms 0.08 dex; 30 of 30 components"
    np.testing.assert_allclose(markers(left)["o"], np.column_stack([EXPECTED, 1.2 * EXPECTED]))


def test_ratio_runs_along_the_orbits():
    right = masses().axes[1]
    assert (right.get_xlabel(), right.get_ylabel()) == (
        "Orbit radius [kpc]",
        "Fitted / expected mass",
    )
    assert right.get_xscale() == "log"
    np.testing.assert_allclose(markers(right)["o"], np.column_stack([RADIUS, np.full(30, 1.2)]))


def test_a_signed_property_has_a_linear_axis():
    right = masses(sort_by=np.linspace(-1.0, 1.0, 30), sort_label="Circularity").axes[1]
    assert right.get_xscale() == "linear"
    assert right.get_xlim()[0] < -1.0 < 1.0 < right.get_xlim()[1]


def test_zero_and_tiny_masses_stand_at_the_lower_edge(tmp_path):
    fitted = EXPECTED.copy()
    fitted[[3, 4]] = 0.0, 1e-12
    figure = masses(fitted=fitted)
    left, right = figure.axes
    assert left.get_ylim()[0] > 1e-7
    np.testing.assert_allclose(markers(left)["v"][:, 1], left.get_ylim()[0])
    np.testing.assert_allclose(markers(left)["v"][:, 0], EXPECTED[[3, 4]])
    np.testing.assert_allclose(markers(right)["v"], [[RADIUS[3], 0.1], [RADIUS[4], 0.1]])
    assert len(markers(left)["o"]) == 28
    with Image.open(save_figure(figure, tmp_path / "masses.png")) as image:
        image.load()


def test_unexpected_and_excessive_masses_are_marked():
    expected = EXPECTED.copy()
    expected[5] = 0.0
    fitted = EXPECTED.copy()
    fitted[7] *= 100.0
    left, right = masses(fitted=fitted, expected=expected).axes
    np.testing.assert_allclose(markers(left)["<"], [[left.get_xlim()[0], EXPECTED[5]]])
    np.testing.assert_allclose(markers(right)["^"], [[RADIUS[7], 10.0]])
    assert len(markers(right)["o"]) == 28


def test_without_a_property_there_is_one_panel():
    assert len(masses(sort_by=None, sort_label=None).axes) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fitted": np.ones(3)}, "expected has shape"),
        ({"fitted": -EXPECTED}, "fitted masses hold negative"),
        ({"expected": np.full(30, np.nan)}, "expected masses hold negative"),
        ({"fitted": np.zeros(30), "expected": np.zeros(30)}, "nothing to draw"),
        ({"sort_label": None}, "needs a sort_label"),
        ({"sort_by": np.ones(3)}, "sort_by has shape"),
    ],
)
def test_impossible_masses_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        masses(**changes)


def test_recovery_panels():
    left, right = populations().axes
    age, metal = r"mean $\log_{10}$(age / Gyr)", "mean [M/H] [dex]"
    assert (left.get_xlabel(), left.get_ylabel()) == (f"True {age}", f"Fitted {age}")
    assert (right.get_xlabel(), right.get_ylabel()) == (f"True {metal}", f"Fitted {metal}")
    for axes, rms in ((left, "0.10"), (right, "0.05")):
        assert axes.get_xlim() == axes.get_ylim()
        assert axes.get_title(loc="right") == f"area: weight; weighted rms {rms} dex; 30 of 30"
        areas = axes.collections[0].get_sizes()
        assert (np.diff(areas) > 0).all()  # as the weights do


def test_components_without_mass_or_age_are_left_out(tmp_path):
    fitted = np.full(30, 0.5)
    fitted[2] = np.nan
    weights = EXPECTED.copy()
    weights[9] = 0.0
    figure = populations(fitted_log_age=fitted, weights=weights)
    assert len(figure.axes[0].collections[0].get_offsets()) == 28
    assert len(figure.axes[1].collections[0].get_offsets()) == 29
    save_figure(figure, tmp_path / "populations.pdf")


def test_nothing_recovered_still_draws(tmp_path):
    figure = populations(fitted_log_age=np.full(30, np.nan))
    save_figure(figure, tmp_path / "populations.png")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"true_metal": np.ones(3)}, "true_metal has shape"),
        ({"weights": -EXPECTED}, "weights must be"),
        ({"weights": np.zeros(30)}, "weights must be"),
    ],
)
def test_impossible_populations_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        populations(**changes)


@pytest.mark.parametrize(
    ("factor", "reach"), [(1.001, 1.05), (1.2, 1.3), (0.5, 2.5), (5.0, 10.0), (50.0, 10.0)]
)
def test_the_narrowest_window_holds_the_ratios(factor, reach):
    right = masses(fitted=factor * EXPECTED).axes[1]
    assert right.get_ylim() == pytest.approx((1.0 / reach, reach))


def test_labels_can_be_those_of_shares():
    left, right = masses(fitted_label="Fitted weight [share]", ratio_label="Fitted / orbit").axes
    assert (left.get_ylabel(), right.get_ylabel()) == ("Fitted weight [share]", "Fitted / orbit")


def test_in_one_column_the_panels_stand_below_each_other():
    figure = masses(width_inch=3.4)
    figure.draw_without_rendering()
    upper, lower = (axes.get_position() for axes in figure.axes)
    assert figure.get_size_inches()[0] == 3.4
    assert lower.y1 < upper.y0


def test_hardly_any_scatter_is_not_told_as_none():
    assert masses(fitted=EXPECTED).axes[0].get_title(loc="right").startswith("rms below 0.01 dex")


def test_no_label_touches_the_edge_of_one_column(tmp_path):
    labels = {
        "expected_label": "Orbit weight [share of all]",
        "fitted_label": "Fitted weight [share of all]",
        "ratio_label": "Fitted weight / orbit weight",
    }
    weights = np.geomspace(0.028, 0.062, 30)
    figure = masses(fitted=1.001 * weights, expected=weights, width_inch=3.4, **labels)
    with Image.open(save_figure(figure, tmp_path / "masses.png")) as image:
        seen = np.asarray(image.convert("L"))
    assert seen[:, :6].min() == seen[:, -6:].min() == 255
