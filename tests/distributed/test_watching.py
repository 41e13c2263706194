"""One who watches a fit on a cluster sees workers, rounds, bytes and the link to Dask's page."""

import json

from tests.distributed.killing import fit

from cubefit import hypercube_builder
from cubefit.config import TrackerConfig
from cubefit.dashboard.header import Header
from cubefit.distributed import building
from cubefit.hypercube_builder import build_hypercube
from cubefit.live import LiveFile
from cubefit.progress import Progress
from cubefit.store.file_status import file_status
from cubefit.store.status_rows import status_rows

BUSY = TrackerConfig(metrics_interval_sec=0.0, val_interval_sec=0.0, ckpt_interval_sec=0.0)


def test_a_fit_on_a_cluster_is_seen_as_such(client, file_to_fit, monkeypatch):
    monkeypatch.setattr("cubefit.exact_fit.TELL_EVERY_S", 0.0)
    seen, pages = [], []

    def look(number, x):
        seen.append(file_status(file_to_fit))
        live, header = LiveFile(file_to_fit), Header()
        live.refresh()
        header.update(live.now)
        pages.append(header.view.text)

    x, _ = fit(file_to_fit, client, tracker=BUSY, on_epoch_end=look)
    states = [status.cluster for status in seen]
    assert {(state.workers, state.shares) for state in states} == {(2, 3)}
    assert {state.scheduler for state in states} == {client.scheduler.address}
    rounds, moved = ([getattr(s, name) for s in states] for name in ("rounds", "moved_bytes"))
    assert rounds == sorted(rounds)
    assert rounds[-1] > rounds[0]
    # A round takes x to each worker and a gradient from each.
    per_round = (moved[-1] - moved[0]) / (rounds[-1] - rounds[0])
    assert x.nbytes < per_round < 40 * x.nbytes
    rows = status_rows(seen[-1])
    assert f"2 workers, 3 shares, {rounds[-1]:,} rounds" in rows["cluster"]
    assert rows["its dashboard"] == client.dashboard_link
    assert json.loads(json.dumps(seen[-1].as_json()))["cluster"]["rounds"] == rounds[-1]
    assert f'href="{client.dashboard_link}"' in pages[-1]
    assert "2 workers, 3 shares" in pages[-1]


def test_a_build_on_a_cluster_is_seen_as_such(client, populated, monkeypatch):
    monkeypatch.setattr(hypercube_builder, "TELL_EVERY_S", 0.0)
    monkeypatch.setattr(building, "TURN_S", 0.0)
    seen = []

    class Watched(Progress):
        def advance(self, *given):
            seen.append(file_status(populated).cluster)
            super().advance(*given)

    monkeypatch.setattr(hypercube_builder, "Progress", Watched)
    tiles = {"S_chunk": 3, "C_chunk": 2, "P_chunk": 5}
    build_hypercube(populated, **tiles, client=client, verbose=False)
    told = [state for state in seen if state is not None]
    assert told
    assert {(state.workers, state.shares) for state in told} == {(2, 3)}
    assert told[-1].moved_bytes > 0
    assert file_status(populated).cluster is None


def test_a_fit_on_one_machine_says_nothing_of_clusters(file_to_fit):
    seen = []
    fit(file_to_fit, None, n_shares=None, tracker=BUSY,
        on_epoch_end=lambda *_: seen.append(file_status(file_to_fit)))  # fmt: skip
    assert seen
    assert all(status.cluster is None for status in seen)
    assert "cluster" not in status_rows(seen[-1])
