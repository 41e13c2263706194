"""Rounds on a Dask cluster at NGC 4365 size: against one process, and what travels."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.cases import NGC4365, Sizes
from benchmarks.exact_cases import large_mock, noisy_data
from benchmarks.machine import seconds
from cubefit.distributed.cluster import Cluster
from cubefit.distributed.connection import connected
from cubefit.distributed.session import Session
from cubefit.distributed.shares import DaskShares, read_shares
from cubefit.hdf5_manager import H5Manager
from cubefit.inverse.matrix_free import MatrixFreeOperator
from cubefit.inverse.misfit import Misfit
from cubefit.inverse.shares import one_share
from cubefit.model_choice import matrix_free
from cubefit.spectra.shifted_templates import shifted_templates
from cubefit.store.handle import reading
from cubefit.store.load import read_dims, read_observed
from cubefit.threads import blas_threads


def write_file(path: Path, sizes: Sizes = NGC4365) -> None:
    """Populate a file with a mock of given sizes."""
    rng = np.random.default_rng(4365)
    mock = large_mock(sizes, rng)
    shifted = shifted_templates(mock.spectra, mock.tem_pix, mock.obs_pix, mock.vel_pix)
    data, noise = noisy_data(MatrixFreeOperator(mock.losvd, shifted), mock.truth, rng)
    manager = H5Manager(path, tem_pix=mock.tem_pix, obs_pix=mock.obs_pix)
    manager.set_velocity_grid(mock.vel_pix)
    manager.populate_from_arrays(
        losvd=mock.losvd,
        datacube=data,
        templates=mock.spectra.T.reshape(-1, *mock.template_shape),
        noise=noise,
        orbit_weights=mock.weights,
    )


def misfit_here(path: Path) -> Misfit:
    """Return the misfit of a file in this process."""
    with reading(path) as file:
        observed = read_observed(file)
    return Misfit(one_share(matrix_free(path, "losvd", np.float64), observed))


@contextmanager
def misfit_there(path: Path, n_workers: int, *, threads: int) -> Iterator[Misfit]:
    """Give the misfit of a file on so many workers, of ``threads`` altogether."""
    with connected(n_workers=n_workers, threads=threads) as client:
        session = Session(Cluster(client, path))
        with reading(path) as file:
            dims = read_dims(file)
        yield Misfit(read_shares(session, dims, "losvd"))


def seconds_of_gradient(misfit: Misfit) -> float:
    """Return the median time of value and gradient at one x."""
    x = np.random.default_rng(1).random(misfit.shape[1:3])
    return seconds(lambda: misfit.at(x))


def copies_of_x(misfit: Misfit, rounds: int = 5) -> float:
    """Return the bytes that travel in a round for each worker, in copies of x."""
    assert isinstance(misfit.shares, DaskShares)
    session = misfit.shares.session
    x = np.random.default_rng(1).random(misfit.shape[1:3])
    misfit.at(x)
    before = session.moved_bytes()
    for _ in range(rounds):
        misfit.at(x)
    moved = session.moved_bytes() - before
    return moved / rounds / x.nbytes / session.cluster.n_workers()


class NGC4365OnWorkers:
    """Value and gradient of the misfit: 2854 spaxels, 74,520 unknowns, float64."""

    timeout = 1200

    def setup(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "cube.h5"
        write_file(self.path)

    def teardown(self) -> None:
        self.folder.cleanup()

    def _seconds(self, n_workers: int, threads: int) -> float:
        with misfit_there(self.path, n_workers, threads=threads) as misfit:
            return seconds_of_gradient(misfit)

    def track_rate_of_two_workers_over_one(self) -> float:
        return self._seconds(1, 1) / self._seconds(2, 2)

    def track_two_workers_over_two_threads(self) -> float:
        with blas_threads(2):
            here = seconds_of_gradient(misfit_here(self.path))
        return self._seconds(2, 2) / here

    def track_copies_of_x_per_worker(self) -> float:
        with misfit_there(self.path, 2, threads=2) as misfit:
            return copies_of_x(misfit)
