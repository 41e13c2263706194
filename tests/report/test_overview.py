import numpy as np

from cubefit.report.convergence import Course
from cubefit.report.overview import PlaneView, SkyView, SpectrumView, fit_overview

N = 30


def draw(**changes):
    wave = np.linspace(np.log(4800.0), np.log(5400.0), N)
    light = np.arange(1.0, 13.0).reshape(3, 4)
    sky = SkyView(
        x=np.arange(4.0), y=np.arange(3.0), steps=(1.0, 1.0), light=light, labels=("", "")
    )
    spectrum = SpectrumView(
        title="Spaxel 0", ln_wave=wave, data=np.ones(N), model=None, used=np.ones(N, bool)
    )
    given = {"headline": "Fit", "details": "", "sky": sky, "spectrum": spectrum, "courses": []}
    given |= {"moments": np.arange(3.0), "moment_label": "Round"}
    return fit_overview(**given | {"masses": None, "plane": None, "done": None} | changes)


def panel(figure, x):
    return [axes for axes in figure.axes if axes.get_xlabel() == x]


def test_a_course_of_a_single_value_gives_its_panel_to_others():
    single = np.array([np.nan, np.nan, 1.0])
    courses = [
        Course(label=label, curves={"": values})
        for label, values in (("a", single), ("b", np.ones(3)), ("c", np.ones(3)))
    ]
    assert [axes.get_ylabel() for axes in panel(draw(courses=courses), "Round")] == ["b", "c"]
    assert [axes.get_ylabel() for axes in panel(draw(courses=courses[:1]), "Round")] == ["a"]


def ticks(axis):
    low, high = axis.get_view_interval()
    return [tick for tick in axis.get_majorticklocs() if low <= tick <= high]


def test_tiles_and_rounds_are_counted_in_round_numbers():
    course = Course(label="a", curves={"": np.ones(1)})
    figure = draw(done=np.ones((24, 1)), courses=[course], moments=np.array([21.0]))
    figure.draw_without_rendering()
    (tiles,), (rounds,) = panel(figure, "Component tile"), panel(figure, "Round")
    assert ticks(tiles.yaxis) == [0, 5, 10, 15, 20]
    assert ticks(tiles.xaxis) == [0]
    assert all(tick == round(tick) for tick in ticks(rounds.xaxis))


def test_a_plane_tells_what_is_white():
    plane = PlaneView(
        weights=np.array([[1.0, 3.0]]), log_age=np.array([0.0, 1.0]), metal=np.zeros(1)
    )
    labels = [axes.get_ylabel() for axes in draw(plane=plane).axes]
    assert "Share of the light [%]\nwhite: below 0.075 %" in labels
