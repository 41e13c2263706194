"""North and east on a map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.patheffects import withStroke
from matplotlib.transforms import ScaledTranslation

from cubefit.report.style import SMALL_FONT_PT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Transform
    from numpy.typing import NDArray

POINTS_PER_INCH: Final = 72.0
LENGTH_PT: Final = 13.0
LABEL_PT: Final = 18.0
"""From the foot of an arrow to the middle of its letter."""
MARGIN_PT: Final = 6.0
"""From there, or from the foot, to the edge of the map."""
EDGE: Final = withStroke(linewidth=2.0, foreground="white")
"""Arrows are seen on dark and on bright colours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compass:
    """Directions on a map, as unit vectors in its x and y."""

    north: tuple[float, float]
    east: tuple[float, float]


def draw_compass(figure: Figure, axes: Axes, compass: Compass) -> None:
    """Draw arrows to north and east in a corner of a map of equal scales."""
    both = np.array([compass.north, compass.east])
    reach = LABEL_PT * both
    # In the corner from which they reach into the map.
    in_first = both.sum(axis=0) > 0
    corner = np.where(in_first, 0.0, 1.0)
    foot = np.where(
        in_first,
        MARGIN_PT - reach.min(axis=0).clip(max=0.0),
        -MARGIN_PT - reach.max(axis=0).clip(min=0.0),
    )

    def moved(offset_pt: NDArray[np.floating]) -> Transform:
        right, up = offset_pt / POINTS_PER_INCH
        return axes.transAxes + ScaledTranslation(right, up, figure.dpi_scale_trans)

    axes.quiver(
        *np.repeat(corner[:, None], 2, axis=1),
        *both.T,
        transform=moved(foot),
        angles="uv",
        units="inches",
        scale_units="inches",
        scale=POINTS_PER_INCH / LENGTH_PT,
        width=0.015,
        path_effects=[EDGE],
        zorder=3,
    )
    for name, offset in zip("NE", foot + reach, strict=True):
        axes.text(
            corner[0],
            corner[1],
            name,
            transform=moved(offset),
            fontsize=SMALL_FONT_PT,
            ha="center",
            va="center",
            path_effects=[EDGE],
            zorder=3,
        )
