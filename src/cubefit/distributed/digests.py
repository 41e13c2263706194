"""Digests of a file's inputs, computed by the workers: the client reads none of its arrays."""

from __future__ import annotations

from pathlib import Path

from cubefit.distributed.on_worker import named_reader
from cubefit.distributed.session import Session
from cubefit.store.digests import digest_block
from cubefit.store.handle import reading


def digest_rows(rows: slice, file_path: str, dataset: str) -> str:
    """Return the digest of some rows of a dataset of a file."""
    with named_reader(), reading(Path(file_path)) as file:
        return digest_block(file[dataset], rows)


class WorkerDigests:
    """Has the workers compute digests of blocks of rows.

    Parameters
    ----------
    session : Session
        Of a cluster whose workers see the file.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def __call__(self, dataset: str, rows: list[slice]) -> list[str]:
        """Return the digest of each block of rows of a dataset."""
        path = str(self._session.cluster.path)
        futures = self._session.submit_each(digest_rows, rows, path, dataset)
        return self._session.cluster.results(futures)
