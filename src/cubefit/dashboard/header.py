"""The top of the page: what is fitted, how far it is, how well."""

from __future__ import annotations

from html import escape

from bokeh.models import Div

from cubefit.dashboard.style import TONES
from cubefit.live import Look, headline, tone_of, what_is_fitted
from cubefit.store.file_status import ClusterState
from cubefit.store.status_rows import work_moved

CARD = (
    '<div style="border-left:6px solid {colour};padding:4px 12px;font:15px/1.5 sans-serif">'
    '<b style="font-size:18px">CubeFit &middot; {name}</b><br>'
    '<span style="color:#444">{what}</span><br><b>{news}</b><br>'
    '<span style="color:#666;font-size:13px">{more}</span></div>'
)
CLUSTER = ' On a Dask cluster: {work} (<a href="{link}" target="_blank">its own dashboard</a>).'


def on_cluster(cluster: ClusterState | None) -> str:
    """Return where the work runs, as HTML; nothing where it runs on one machine."""
    if cluster is None:
        return ""
    return CLUSTER.format(work=escape(work_moved(cluster)), link=escape(cluster.dashboard))


class Header:
    """Words about the file."""

    def __init__(self) -> None:
        self.view = Div(sizing_mode="stretch_width", name="header")

    def update(self, look: Look) -> None:
        """Say what a look found; ages in it go on between looks."""
        what = "" if look.galaxy is None else what_is_fitted(look.galaxy)
        more = "" if look.weights is None else f"Weights shown: {look.weights.told}."
        text = CARD.format(
            colour=TONES[tone_of(look)],
            name=escape(look.path.name),
            what=escape(what),
            news=escape(headline(look)),
            more=escape(more) + on_cluster(None if look.status is None else look.status.cluster),
        )
        if text != self.view.text:
            self.view.text = text
