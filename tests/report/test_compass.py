"""North and east on a map."""

import numpy as np
import pytest
from matplotlib.quiver import Quiver

from cubefit.report import Compass, MapPanel, map_panels

SIDE = np.arange(30.0)


def drawn(north, east, *, width_inch=3.4, shape=(30, 30)):
    y, x = SIDE[: shape[0]], SIDE[: shape[1]]
    panels = [MapPanel(values=np.add.outer(y, x), label="Age [Gyr]")] * 2
    figure = map_panels(
        panels=panels,
        x=x,
        y=y,
        pixel_unit="arcsec",
        compass=Compass(north=north, east=east),
        width_inch=width_inch,
    )
    figure.canvas.draw()
    return figure


def arrows_of(axes):
    return [artist for artist in axes.collections if isinstance(artist, Quiver)]


@pytest.mark.parametrize("angle_deg", range(0, 360, 30))
@pytest.mark.parametrize("handed", [-1, 1])
def test_arrows_point_and_letters_stand_there_inside_the_map(angle_deg, handed):
    a = np.radians(angle_deg)
    north, east = np.array([-np.sin(a), np.cos(a)]), handed * np.array([np.cos(a), np.sin(a)])
    figure = drawn(tuple(north), tuple(east), shape=(30, 24))
    (axes,) = (axes for axes in figure.axes if arrows_of(axes))
    assert axes is figure.axes[0]
    (arrows,) = arrows_of(axes)
    np.testing.assert_allclose(np.column_stack([arrows.U, arrows.V]), [north, east])
    frame = axes.get_window_extent()
    letters = {text.get_text(): text.get_window_extent() for text in axes.texts}
    assert set(letters) == {"N", "E"}
    corners = np.concatenate([box.get_points() for box in letters.values()])
    assert all(frame.contains(*corner) for corner in corners)
    foot = arrows.get_offset_transform().transform(arrows.get_offsets()[0])
    for name, direction in (("N", north), ("E", east)):
        way = letters[name].get_points().mean(axis=0) - foot
        np.testing.assert_allclose(way / np.hypot(*way), direction, atol=0.15)


def test_without_directions_there_are_no_arrows():
    panel = MapPanel(values=np.add.outer(SIDE, SIDE), label="Age [Gyr]")
    figure = map_panels(panels=[panel], x=SIDE, y=SIDE, pixel_unit="arcsec")
    assert not any(arrows_of(axes) or axes.texts for axes in figure.axes)
