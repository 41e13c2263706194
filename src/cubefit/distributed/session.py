"""Questions to workers: what they need travels to each once, what they answer is summed up."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import distributed
import numpy as np
from dask.sizeof import sizeof
from distributed import Future

from cubefit.distributed.cluster import Cluster
from cubefit.distributed.on_worker import all_threads, named_worker
from cubefit.inverse.shares import Sums

U = TypeVar("U")

FAN_IN: Final = 4
"""Sums of one addition: more take fewer steps, fewer keep less in memory."""


def hold(*given: Any) -> tuple[Any, ...]:
    """Return what is given: as the result of a task it reaches each worker once.

    The scheduler can make it anew; data scattered to a worker would be lost with it.
    """
    return given


def sent_bytes(dask_worker: distributed.Worker) -> int:
    """Return the bytes that a worker has sent; Dask puts in the worker that this runs on."""
    return int(dask_worker.transfer_outgoing_bytes_total)


def unrestrict(keys: Sequence[str], dask_scheduler: distributed.Scheduler) -> None:
    """Drop the restrictions of tasks; Dask puts in the scheduler that this runs on."""
    dask_scheduler.set_restrictions({k: None for k in keys if k in dask_scheduler.tasks})


def apply(held: Any, part: Callable[..., U], given: tuple[Any, ...]) -> U:
    """Return ``part(held, *given)``, computed alone on the worker."""
    with named_worker(), all_threads():
        return part(held, *given)


def added(sums: Sequence[Sums]) -> Sums:
    """Return the sums of several shares, added from the first to the last."""
    with named_worker():
        first, *others = sums
        result = [np.array(term) for term in first]
        for other in others:
            for place, term in enumerate(other):
                result[place] += term
        return tuple(term if term.ndim else term.item() for term in result)


class Session:
    """The questions of one fit to a cluster, each with a name that no other has.

    Parameters
    ----------
    cluster : Cluster
        Connected.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._token = uuid.uuid4().hex[:12]
        self._numbers = itertools.count()
        self.n_rounds = 0
        """Sums over all shares."""
        self._given_bytes = 0
        self._moved: dict[str, int] = {}
        self._before = self._ask_moved()

    def facts(self, n_shares: int) -> dict[str, Any]:
        """Return what one who watches may want to know: workers, rounds, bytes moved."""
        return {
            "scheduler": self.cluster.address,
            "dashboard": self.cluster.client.dashboard_link,
            "workers": self.cluster.n_workers(),
            "shares": n_shares,
            "rounds": self.n_rounds,
            "moved_bytes": self.moved_bytes(),
        }

    def name(self, work: str) -> str:
        """Return the name of the next task, or group of tasks."""
        return f"cubefit-{work}-{self._token}-{next(self._numbers)}"

    def _ask_moved(self) -> dict[str, int]:
        """Return the bytes that each worker has sent to others and to the scheduler."""
        self._moved |= self.cluster.ask_all(sent_bytes)
        return dict(self._moved)

    def moved_bytes(self) -> int:
        """Return the bytes that have travelled for this session: between workers, from and to it.

        What a worker that is lost has sent is known up to the last question before.
        """
        moved = self._ask_moved()
        return self._given_bytes + sum(n - self._before.get(w, 0) for w, n in moved.items())

    def give(self, *given: Any) -> Future:
        """Send what all workers need, once for each."""
        self._given_bytes += sizeof(given)
        return self.submit(hold, *given)

    def release(self, futures: Sequence[Future]) -> None:
        """Let tasks that were sent to certain workers run on any.

        Dask does so by itself while a worker is left. Where none was, it does not give the tasks of
        lost ones to those that come.
        """
        self.cluster.ask_scheduler(unrestrict, [future.key for future in futures])

    def submit(self, function: Callable[..., Any], *given: Any, **options: Any) -> Future:
        """Submit one task."""
        self.cluster.require_scheduler()
        name = self.name(function.__name__)
        return self.cluster.client.submit(function, *given, key=name, pure=False, **options)

    def submit_each(
        self, function: Callable[..., Any], many: Sequence[Any], *given: Any
    ) -> list[Future]:
        """Submit ``function(one, *given)`` for each of many, as one message to the scheduler."""
        self.cluster.require_scheduler()
        repeated = ([item] * len(many) for item in given)
        futures: list[Future] = self.cluster.client.map(
            function, many, *repeated, pure=False, key=self.name(function.__name__)
        )
        return futures

    def sum_up(self, futures: Sequence[Future]) -> Future:
        """Return the sum of the results of several tasks, by a tree of additions."""
        level = list(futures)
        while True:
            groups = [level[i : i + FAN_IN] for i in range(0, len(level), FAN_IN)]
            level = self.submit_each(added, groups)
            if len(level) == 1:
                return level[0]
