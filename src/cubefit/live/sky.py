"""Where the spaxels are on the sky, and which one is at a point."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cubefit.errors import InputError
from cubefit.live.galaxy import Galaxy
from cubefit.results.pixels import PixelGrid, regular_grid, spread_over_pixels

Float = NDArray[np.float64]

REACH_PX: Final = 1.0
"""A point further than this from any pixel belongs to none."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sky:
    """The pixels of a galaxy, each of a spaxel."""

    x: Float
    """Shape (nPix,)."""
    y: Float
    spaxel: NDArray[np.integer]
    """Shape (nPix,); negative for none."""
    grid: PixelGrid | None
    """The regular grid that the pixels lie on; None where they lie on none."""
    has_positions: bool
    """False where the file knows no positions, and the spaxels stand in order."""
    steps: tuple[float, float]
    """Width and height of a pixel."""

    def spread(self, values: Float, *, extensive: bool) -> Float:
        """Return values of spaxels (S,) as values of pixels (nPix,)."""
        return spread_over_pixels(values, self.spaxel, extensive=extensive)

    def brightest(self, light: Float) -> int:
        """Return the spaxel of the brightest pixel, 0 where none has light."""
        known = np.isfinite(light) & (self.spaxel >= 0)
        return int(self.spaxel[np.argmax(np.where(known, light, -np.inf))]) if known.any() else 0

    def outline(self, spaxel: int) -> Float:
        """Return the border of a spaxel as segments, (n, 4): x and y of both ends.

        Sides that two of its pixels share, on whatever grid, are left out.
        """
        inside = self.spaxel == spaxel
        half = 0.5 * np.array(self.steps * 2)
        x, y = self.x[inside, None], self.y[inside, None]
        ends = np.array([[-1, -1, 1, -1], [-1, 1, 1, 1], [-1, -1, -1, 1], [1, -1, 1, 1]]) * half
        places = np.stack([x, y, x, y], axis=-1) + ends
        sides = places.reshape(-1, 4)
        _, first, counts = np.unique(
            np.rint(sides / (0.2 * half)), axis=0, return_index=True, return_counts=True
        )
        return np.asarray(sides[first[counts == 1]])

    def nearest(self, x: float, y: float) -> int | None:
        """Return the spaxel at a point, None where there is none."""
        width, height = self.steps
        distance = np.hypot((self.x - x) / width, (self.y - y) / height)
        distance[self.spaxel < 0] = np.inf
        place = int(np.argmin(distance))
        return int(self.spaxel[place]) if distance[place] <= REACH_PX else None


def sky_of(galaxy: Galaxy) -> Sky:
    """Return where the spaxels of a galaxy are: in order, where the file does not know."""
    pixels = galaxy.pixels
    if pixels is None or pixels.x is None or pixels.y is None or not pixels.bins.size:
        n = galaxy.dims["nSpat"]
        columns = math.ceil(math.sqrt(n))
        x, y = (np.arange(n) % columns).astype(float), -(np.arange(n) // columns).astype(float)
        grid = regular_grid(x, y)
        return Sky(x=x, y=y, spaxel=np.arange(n), grid=grid, has_positions=False, steps=(1.0, 1.0))
    try:
        found: PixelGrid | None = regular_grid(pixels.x, pixels.y)
    except InputError:
        found = None
    return Sky(
        x=pixels.x,
        y=pixels.y,
        spaxel=pixels.bins,
        grid=found,
        has_positions=True,
        steps=steps_of(pixels.x, pixels.y, found),
    )


def steps_of(x: Float, y: Float, grid: PixelGrid | None) -> tuple[float, float]:
    """Return width and height of a pixel: those of the grid, or of a square with its even share."""
    if grid is not None:
        steps = [float(v[1] - v[0]) if v.size > 1 else 0.0 for v in (grid.x, grid.y)]
        return steps[0] or steps[1] or 1.0, steps[1] or steps[0] or 1.0
    spans = float(np.ptp(x)), float(np.ptp(y))
    area = spans[0] * spans[1]
    side = math.sqrt(area / x.size) if area > 0 else max(spans) / x.size or 1.0
    return side, side
