import numpy as np
import pytest

from cubefit.errors import InputError
from cubefit.report import Course, convergence_curves, save_figure

ROUNDS = np.arange(6.0)
GAP = np.geomspace(1.0, 1e-7, 6)


def draw(courses=None, **changes):
    courses = courses or [Course(label="Duality gap", curves={"": GAP}, log=True)]
    given = {"courses": courses, "moments": ROUNDS, "moment_label": "Round"}
    return convergence_curves(**given | changes)


def test_curves_run_along_the_rounds(tmp_path):
    figure = draw(title="Exact fit", whole_moments=True)
    (axes,) = figure.axes
    np.testing.assert_array_equal(np.column_stack(axes.lines[0].get_data()).T, [ROUNDS, GAP])
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Round", "Duality gap")
    assert axes.get_yscale() == "log"
    assert axes.get_legend() is None
    assert axes.get_title(loc="left") == "Exact fit"
    figure.draw_without_rendering()
    np.testing.assert_array_equal(axes.get_xticks() % 1, 0)
    save_figure(figure, tmp_path / "convergence.png")


def test_each_unit_has_a_panel_and_what_is_not_known_has_none():
    nan = np.full(6, np.nan)
    both = {"training": ROUNDS, "validation": np.where(ROUNDS % 2, ROUNDS, np.nan)}
    figure = draw(
        [
            Course(label="Duality gap", curves={"": GAP}, log=True),
            Course(label="RMSE", curves={**both, "else": nan}),
            Course(label="chi2", curves={"": nan}),
            Course(label="single", curves={"": np.where(ROUNDS == 5, 1.0, np.nan)}),
        ]
    )
    assert [axes.get_ylabel() for axes in figure.axes] == ["Duality gap", "RMSE"]
    rmse = figure.axes[1]
    assert [text.get_text() for text in rmse.get_legend().get_texts()] == ["training", "validation"]
    np.testing.assert_array_equal(rmse.lines[1].get_xdata(), [1.0, 3.0, 5.0])


def test_a_single_row_is_a_point():
    (axes,) = draw([Course(label="gap", curves={"": GAP[:1]})], moments=ROUNDS[:1]).axes
    assert axes.lines[0].get_marker() == "."


def test_a_log_axis_leaves_out_what_has_no_logarithm():
    values = np.array([1.0, 0.1, 0.0, -1.0, np.inf, 0.2])
    line = draw([Course(label="gap", curves={"": values}, log=True)]).axes[0].lines[0]
    np.testing.assert_array_equal(line.get_ydata(), [1.0, 0.1, 0.2])


@pytest.mark.parametrize(
    ("courses", "message"),
    [
        ([Course(label="gap", curves={"": GAP[:2]})], "gap has shape"),
        ([Course(label="gap", curves={"": np.full(6, np.nan)})], "nothing to draw"),
    ],
)
def test_impossible_curves_are_refused(courses, message):
    with pytest.raises(InputError, match=message):
        draw(courses)
