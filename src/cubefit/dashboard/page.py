"""The page of one viewer."""

from __future__ import annotations

import time
from typing import Final

from bokeh.document import Document
from bokeh.layouts import column, row
from bokeh.models import Column

from cubefit.dashboard.curves import CurvesPanel
from cubefit.dashboard.galaxy_map import GalaxyMap
from cubefit.dashboard.header import Header
from cubefit.dashboard.masses import MassesPanel
from cubefit.dashboard.populations import PopulationsPanel
from cubefit.dashboard.spectrum import SpectrumPanel
from cubefit.dashboard.tiles import TilesPanel
from cubefit.errors import CubeFitError
from cubefit.live import Galaxy, LiveFile, Look
from cubefit.live.file import rest_after

TICK_MS: Final = 1000


class Page:
    """What one viewer sees.

    Parameters
    ----------
    live : LiveFile
        The file, which somebody else refreshes.
    """

    def __init__(self, live: LiveFile) -> None:
        self._live = live
        self._shown: int | None = None
        self._next = 0.0
        self._look = live.now
        self._galaxy: Galaxy | None = None
        self.spaxel = 0
        self.header = Header()
        self.body: Column = column(sizing_mode="stretch_width")
        self.view = column(self.header.view, sizing_mode="stretch_width", margin=8)

    def attach(self, document: Document) -> None:
        """Show the page in a document, and keep it up to date."""
        document.title = f"CubeFit \u00b7 {self._live.path.name}"
        document.add_root(self.view)
        self.tick()
        document.add_periodic_callback(self.tick, TICK_MS)

    def tick(self) -> None:
        """Show what is new, if anything, and not too soon after the last time."""
        look = self._live.now
        self.header.update(look)
        if look.number == self._shown or time.monotonic() < self._next:
            return
        if look.galaxy is not None and look.galaxy is not self._galaxy:
            self._begin(look.galaxy)
        started = time.thread_time()
        if self._show(look):
            self._shown = look.number
        rest_s = rest_after(time.thread_time() - started)
        self._next = time.monotonic() + max(rest_s, TICK_MS / 1000)

    def _show(self, look: Look) -> bool:
        """Show a look; return whether all of it could be read."""
        if look.galaxy is None:
            return True
        self._look = look
        self.map.update(look)
        self.curves.update(look)
        self.masses.update(look)
        self.populations.update(look)
        self.tiles.update(look)
        return self._show_spectrum(look)

    def _begin(self, galaxy: Galaxy) -> None:
        """Make the panels of a galaxy."""
        self.spectrum, self.tiles = SpectrumPanel(galaxy.flux_unit), TilesPanel()
        self.curves = CurvesPanel(has_noise=galaxy.has_noise)
        self.map = GalaxyMap(galaxy, self.pick)
        self.populations = PopulationsPanel(galaxy)
        self.masses = MassesPanel(galaxy, self.populations.pick)
        self.spaxel = self.map.sky.brightest(self.map.light)
        self.map.mark(self.spaxel)
        self.body.children = [
            row(self.map.view, self.spectrum.view, sizing_mode="stretch_width"),
            row(
                self.masses.view,
                self.populations.view,
                self.tiles.view,
                sizing_mode="stretch_width",
            ),
            self.curves.view,
        ]
        # Not before: Bokeh warns of a column without anything in it.
        self.view.children = [self.header.view, self.body]
        self._galaxy = galaxy

    def pick(self, spaxel: int) -> None:
        """Show another spaxel."""
        self.spaxel = spaxel
        self.map.mark(spaxel)
        # The panels are of the look that is shown, which may not be the newest.
        self._show_spectrum(self._look)

    def _show_spectrum(self, look: Look) -> bool:
        try:
            self.spectrum.update(look, self.spaxel)
        except CubeFitError as error:
            # The file is being replaced, say: the next look shows what became of it.
            self.spectrum.say(f"Spaxel {self.spaxel} cannot be read now: {error}")
            return False
        return True
