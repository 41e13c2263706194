"""Shares of the spaxels on the workers of a Dask cluster, and sums over them.

A share is the result of a task that reads its spaxels from the file. Dask keeps it where it was
made, brings the work to it, and makes it anew elsewhere when its worker is lost. What a round needs
travels to each worker once; what it gives is summed in a tree of fixed shape, so that the result
does not depend on who was faster.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from distributed import Future

from cubefit.config import Normalization
from cubefit.distributed import reading
from cubefit.distributed.memory import require_memory
from cubefit.distributed.session import Session, apply
from cubefit.inverse.shares import Share, Shares, Sums, cut_evenly
from cubefit.store.handle import reading as open_file
from cubefit.store.load import input_stamp

logger = logging.getLogger(__name__)

T_co = TypeVar("T_co", covariant=True)
U = TypeVar("U")


class DaskShares(Shares[T_co]):
    """All spaxels, on the workers of a cluster.

    Parameters
    ----------
    session : Session
        Asks the workers.
    futures : sequence of Future
        What is held of each share, in order.
    """

    def __init__(self, session: Session, futures: Sequence[Future]) -> None:
        self.session = session
        self._futures = list(futures)

    @property
    def are_here(self) -> bool:
        """No: this process holds nothing of them."""
        return False

    def facts(self) -> dict[str, Any]:
        """Return workers, rounds and bytes moved."""
        return self.session.facts(len(self))

    def __len__(self) -> int:
        """Return the number of shares."""
        return len(self._futures)

    def _ask(
        self, part: Callable[..., Any], given: tuple[Any, ...], futures: Sequence[Future]
    ) -> list[Future]:
        return self.session.submit_each(apply, futures, part, self.session.give(*given))

    def total(self, part: Callable[..., Sums], *given: Any) -> Sums:
        """Return the sum over the shares, in the same order whoever was faster."""
        self.session.n_rounds += 1
        answers = self._ask(part, given, self._futures)
        result: Sums = self.session.cluster.result(self.session.sum_up(answers))
        return result

    def any_of(self, ask: Callable[..., U], *given: Any) -> U:
        """Return the answer of the first share."""
        answer: U = self.session.cluster.result(self._ask(ask, given, self._futures[:1])[0])
        return answer

    def each(self, make: Callable[..., U], *given: Any) -> DaskShares[U]:
        """Return the shares of what is made of each, where it is held."""
        return DaskShares(self.session, self._ask(make, given, self._futures))


def read_shares(
    session: Session,
    dims: Mapping[str, int],
    normalization: Normalization,
    n_shares: int | None = None,
) -> DaskShares[Share]:
    """Return the spaxels of a file in shares that the workers have read.

    Parameters
    ----------
    session : Session
        Of a cluster whose workers see the file.
    dims : mapping
        Sizes of the file.
    normalization : {"losvd", "unit"}
        Of the LOSVDs.
    n_shares : int, optional
        Default one for each worker. The same number gives the same bits.

    Raises
    ------
    ClusterError
        If the memory of the workers cannot hold them.
    """
    n_spaxels = dims["nSpat"]
    cluster = session.cluster
    workers = cluster.workers
    bounds = cut_evenly(n_spaxels, min(n_shares or len(workers), n_spaxels))
    require_memory(cluster, dims, len(bounds))
    with open_file(cluster.path) as file:
        stamp = input_stamp(file)
    tasks = [reading.Task(str(cluster.path), a, b, normalization, stamp) for a, b in bounds]
    inputs = [
        session.submit(
            reading.read_inputs,
            task,
            workers=[workers[i * len(workers) // len(tasks)].address],
            allow_other_workers=True,
        )
        for i, task in enumerate(tasks)
    ]
    peaks = np.max(cluster.results(session.submit_each(reading.peaks_of, inputs)), axis=0)
    # Each has its place now; should all workers be lost at once, any that comes is to take it.
    session.release(inputs)
    shares = [
        session.submit(reading.make_share, one, peaks, task)
        for one, task in zip(inputs, tasks, strict=True)
    ]
    logger.info(
        "%d spaxels in %d shares on %d workers at %s.",
        n_spaxels, len(tasks), len(workers), cluster.address,
    )  # fmt: skip
    return DaskShares(session, shares)
