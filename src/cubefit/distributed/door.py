"""The way in for those who may do without Dask: it is imported when a client is there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cubefit.errors import DependencyError

if TYPE_CHECKING:
    from cubefit.distributed.session import Session


def session_of(client: object, path: Path) -> Session:
    """Return questions to the cluster of a client, whose workers see a file.

    Raises
    ------
    DependencyError
        If Dask is not installed.
    ConfigError, ClusterError
        If it is no client, or the cluster lacks something.
    """
    try:
        from cubefit.distributed.cluster import Cluster, require_client  # noqa: PLC0415
        from cubefit.distributed.session import Session  # noqa: PLC0415
    except ImportError as error:
        raise DependencyError(
            f'Work on a cluster needs {error.name}: pip install "cubefit[distributed]".'
        ) from error
    return Session(Cluster(require_client(client), path))
