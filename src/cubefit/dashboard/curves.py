"""How a fit converges: its figures of merit against time or epoch."""

from __future__ import annotations

from typing import Final

import numpy as np
from bokeh.layouts import column, row
from bokeh.models import Div, RadioButtonGroup
from bokeh.plotting import figure
from numpy.typing import NDArray

from cubefit.dashboard.style import SECOND_COLOUR, new_figure, source
from cubefit.drawing import MODEL_COLOUR, POINT_COLOUR
from cubefit.live import Look
from cubefit.store.history import History

MOST_POINTS: Final = 1000
"""Of a curve: more are not seen."""
CHOICES: Final = ("against time", "against iteration")
UNITS: Final = ((86_400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))
Panels = dict[str, tuple[str, dict[str, tuple[str, str]]]]


def panels_of(*, has_noise: bool) -> Panels:
    """Return scale of the y axis, and label and colour of each curve, by title."""
    chi2 = "chi2" if has_noise else "square residual"
    unit = "sigma" if has_noise else "data unit"
    return {
        f"{'Misfit' if has_noise else 'Misfit [data unit squared]'} per voxel": (
            "log",
            {"objective": (f"{chi2} + priors", POINT_COLOUR), "chi2": (chi2, MODEL_COLOUR)},
        ),
        f"Rms residual [{unit}]": (
            "log",
            {
                "train_rmse_ewma": ("training (running average)", POINT_COLOUR),
                "val_rmse": ("validation", MODEL_COLOUR),
            },
        ),
        "Gap to the optimum, at most": ("log", {"gap_rel": ("", POINT_COLOUR)}),
        "Step size (change of weights)": ("log", {"delta_x_rel": ("", SECOND_COLOUR)}),
        "Weights above zero": ("linear", {"nnz": ("", SECOND_COLOUR)}),
    }


class CurvesPanel:
    """Small figures that share their x axis; those without any known value are hidden.

    Parameters
    ----------
    has_noise : bool
        Whether misfits are in units of the noise.
    """

    def __init__(self, *, has_noise: bool) -> None:
        panels = panels_of(has_noise=has_noise)
        self.sources = {
            name: source(x=[], y=[]) for _, curves in panels.values() for name in curves
        }
        self._figures: list[figure] = []
        self._names: list[tuple[str, ...]] = []
        for title, (scale, curves) in panels.items():
            name = f"curve_{next(iter(curves))}"
            part = new_figure("", "", title, height=220, y_axis_type=scale, name=name)
            if self._figures:
                part.x_range = self._figures[0].x_range
            for key, (label, colour) in curves.items():
                legend = {"legend_label": label} if label else {}
                data = self.sources[key]
                part.line("x", "y", source=data, color=colour, line_width=1.5, **legend)
                part.scatter("x", "y", source=data, color=colour, size=4, **legend)
            if len(curves) > 1:
                part.legend.update(
                    orientation="horizontal",
                    label_text_font_size="10px",
                    glyph_width=14,
                    spacing=6,
                    padding=0,
                    margin=2,
                    border_line_color=None,
                )
                # Curves fall from corner to corner, so that none is free.
                part.add_layout(part.legend[0], "below")
            self._figures.append(part)
            self._names.append(tuple(curves))
        self.choice = RadioButtonGroup(labels=list(CHOICES), active=0, name="against")
        self.choice.on_change("active", self._chosen)
        self._seen: tuple[History, int] | None = None
        self.view = column(
            row(Div(text="<b>How the fit converges</b>", align="center"), self.choice),
            row(*self._figures, sizing_mode="stretch_width"),
            sizing_mode="stretch_width",
        )

    @property
    def titles(self) -> list[str]:
        """What stands above each figure."""
        return [str(part.title.text) for part in self._figures]

    def update(self, look: Look) -> None:
        """Show the history of the fit."""
        self.view.visible = look.history is not None and look.history.n_rows > 0
        if look.history is not None and look.galaxy is not None:
            self._seen = look.history, max(look.galaxy.n_voxels, 1)
            self._draw()

    def _chosen(self, attr: str, old: object, new: object) -> None:
        del attr, old, new
        self._draw()

    def _draw(self) -> None:
        if self._seen is None:
            return
        history, n_voxels = self._seen
        columns = history.columns
        if self.choice.active == 0:
            x, unit = in_good_unit(columns["time_sec"])
            label = f"Time of the fit [{unit}]"
        else:
            x = columns["epoch"]
            label = "Round" if history.method == "exact" else "Epoch"
        for name, data in self.sources.items():
            # The objective of the solvers is half of chi2, and the priors.
            y = columns[name] * {"objective": 2.0 / n_voxels, "chi2": 1.0 / n_voxels}.get(name, 1.0)
            data.data = points(x, y, positive=name != "nnz")
        for part, names in zip(self._figures, self._names, strict=True):
            part.xaxis.axis_label = label
            part.visible = any(len(self.sources[name].data["x"]) for name in names)


def in_good_unit(seconds: NDArray[np.float64]) -> tuple[NDArray[np.float64], str]:
    """Return times in a unit that fits them, and its name."""
    longest = float(np.nanmax(seconds)) if seconds.size else 0.0
    length, unit = next((u for u in UNITS if longest >= 2.0 * u[0]), UNITS[-1])
    return seconds / length, unit


def points(
    x: NDArray[np.float64], y: NDArray[np.float64], *, positive: bool
) -> dict[str, NDArray[np.float64]]:
    """Return the known points of a curve, thinned to what can be seen; the last is kept."""
    known = np.flatnonzero(np.isfinite(y) & ((y > 0) | (not positive)))
    stride = -(-known.size // MOST_POINTS) or 1
    kept = known[::-1][::stride][::-1]
    return {"x": x[kept], "y": y[kept]}
