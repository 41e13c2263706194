"""Whether shares of the spaxels fit into the memory of the workers: asked before they are read."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping

from cubefit.distributed.cluster import Cluster
from cubefit.errors import ClusterError
from cubefit.inverse.memory import PROGRAM_BYTES, compressing_bytes, held_bytes, passing_bytes

logger = logging.getLogger(__name__)


def bytes_of_shares(dims: Mapping[str, int], n_shares: int, n_workers: int) -> tuple[float, float]:
    """Return what the shares of one worker take at least, and at most.

    Parameters
    ----------
    dims : mapping
        Sizes of the file.
    n_shares, n_workers : int
        Shares, and workers that they lie on.

    Returns
    -------
    least, most : float
        Bytes: while the LOSVDs are read and nothing else is there; in a pass over a model whose
        components light up every spaxel, or where it is compressed and its velocity axis does not
        get shorter.
    """
    shares = math.ceil(n_shares / n_workers)
    n = math.ceil(dims["nSpat"] / n_shares)
    V, C, P, L = (dims[name] for name in ("nVel", "nComp", "nPop", "nLSpec"))
    sizes = (n, V, C, P, L)
    least = 4.0 * n * V * C + shares * held_bytes(sizes, 0)
    light = 8.0 * (shares - 1) * n * C * V
    making = max(passing_bytes(sizes), compressing_bytes(sizes) + light)
    most = shares * held_bytes(sizes, n * C) + making
    return PROGRAM_BYTES + least, PROGRAM_BYTES + max(least, most)


def require_memory(cluster: Cluster, dims: Mapping[str, int], n_shares: int) -> None:
    """Refuse shares that do not fit, and warn where they may not.

    Raises
    ------
    ClusterError
        If they do not fit for certain.
    """
    workers = cluster.workers
    least, most = bytes_of_shares(dims, n_shares, len(workers))
    smallest = min(workers, key=lambda worker: worker.memory_bytes)
    has = smallest.memory_bytes
    mend = "give workers more (dask worker --memory-limit), or start more of them"
    if least > has:
        raise ClusterError(
            f"Each of {len(workers)} workers needs at least {least / 1e9:.2f} GB for its spaxels, "
            f"but worker {smallest} has {has / 1e9:.2f} GB before Dask stops it or writes data to "
            f"disk: {mend}."
        )
    if most > has:
        logger.warning(
            "Each worker may need up to %.2f GB, worker %s has %.2f GB before Dask stops it or "
            "writes data to disk. Should it be lost, %s.", most / 1e9, smallest, has / 1e9, mend,
        )  # fmt: skip
