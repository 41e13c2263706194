"""The tiles of the HyperCube that are done."""

from __future__ import annotations

import numpy as np
from bokeh.models import BasicTicker, LinearColorMapper

from cubefit.dashboard.style import new_figure, source
from cubefit.live import Look

PALETTE = ("#eeeeee", "#c7dcef", "#8fbfe0", "#4a97c9", "#0072B2")


class TilesPanel:
    """A map of blocks of spaxels and components, as long as there are tiles to build."""

    def __init__(self) -> None:
        self.image = source(share=[], dw=[], dh=[])
        self.view = new_figure(
            "Component tile",
            "Spaxel tile",
            "",
            width=300,
            height=375,
            sizing_mode="fixed",
            name="tiles",
            visible=False,
        )
        self.view.image(
            image="share",
            x=-0.5,
            y=-0.5,
            dw="dw",
            dh="dh",
            source=self.image,
            color_mapper=LinearColorMapper(palette=PALETTE, low=0.0, high=1.0),
        )
        self.view.grid.visible = False
        for axis in (*self.view.xaxis, *self.view.yaxis):
            axis.ticker = BasicTicker(min_interval=1, num_minor_ticks=0)
        self.view.x_range.range_padding = self.view.y_range.range_padding = 0

    def update(self, look: Look) -> None:
        """Show which tiles are done, as shares over the populations."""
        self.view.visible = look.done is not None and not look.done.all()
        if look.done is None:
            return
        share = look.done.mean(axis=2).astype(np.float32)
        rows, columns = share.shape
        self.image.data = {"share": [share], "dw": [columns], "dh": [rows]}
        n_done = int(look.done.sum())
        self.view.title.text = f"HyperCube: {n_done} of {look.done.size} tiles"
