"""A file to fit on a cluster."""

import numpy as np
import pytest

from cubefit.distributed.cluster import Cluster
from cubefit.distributed.session import Session


@pytest.fixture
def session(client, file_to_fit):
    """Questions to those workers."""
    return Session(Cluster(client, file_to_fit))


def make_file(make_problem, path):
    """Populate a file with noise, masks over NaN, and spaxels in the dark."""
    rng = np.random.default_rng(8)
    clean = make_problem(S=12, L=60)
    sigma = 0.02 * clean.datacube * rng.uniform(0.5, 2.0, clean.datacube.shape)
    cube = clean.datacube + sigma * rng.standard_normal(clean.datacube.shape)
    used = rng.random(cube.shape) < 0.95
    used[3] = False
    used[8:] = False  # a whole share of three
    cube[~used] = np.nan
    return clean.populate(path, datacube=cube, noise=sigma, voxel_mask=used)


@pytest.fixture(scope="session")
def file_once(make_problem, tmp_path_factory):
    return make_file(make_problem, tmp_path_factory.mktemp("shared") / "cube.h5")


@pytest.fixture
def file_to_fit(file_once, tmp_path):
    """A copy of the populated file."""
    copy = tmp_path / "cube.h5"
    copy.write_bytes(file_once.read_bytes())
    return copy
