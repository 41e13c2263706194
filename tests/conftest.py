"""A small synthetic problem, made by code alone, and files in the states of a session."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

from cubefit.distributed.connection import connected
from cubefit.hdf5_manager import H5Manager
from cubefit.hypercube_builder import build_hypercube
from cubefit.spectra.shifted_templates import shifted_templates

# A busy machine is no failure.
settings.register_profile("cubefit", deadline=None)
settings.load_profile("cubefit")

TEMPLATE_STEP_KMS = 40.0
GUARD_PX = 80
"""More template pixels beyond the data than the default safety pad and the LOSVDs' support."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Problem:
    """Inputs of a fit, and the x (C, P) that its data were made from."""

    tem_pix: np.ndarray
    obs_pix: np.ndarray
    vel_pix: np.ndarray
    losvd: np.ndarray
    templates: np.ndarray
    datacube: np.ndarray
    x_true: np.ndarray
    models: np.ndarray
    """Dense float64 reference (S, C, P, L)."""
    optional: dict[str, Any] = field(default_factory=dict)

    @property
    def shape(self):
        return self.models.shape

    def manager(self, path):
        manager = H5Manager(path, tem_pix=self.tem_pix, obs_pix=self.obs_pix)
        manager.set_velocity_grid(self.vel_pix)
        return manager

    def populate(self, path, **changes):
        """Write everything, ``changes`` instead of what stands here, and the rebin products."""
        arrays = {"losvd": self.losvd, "templates": self.templates, "datacube": self.datacube}
        manager = self.manager(path)
        manager.populate_from_arrays(**(arrays | self.optional | changes))
        manager.ensure_rebin_and_resample()
        return Path(path)


def smooth_templates(n_pixels, axes, rng):
    """Return positive, smooth, distinct spectra (T, *axes): a slope and a few broad lines each."""
    n_populations = int(np.prod(axes))
    u = np.linspace(0.0, 1.0, n_pixels)[:, None]
    flux = 1.0 + rng.uniform(-0.4, 0.4, n_populations) * u
    for _ in range(8):
        centre, depth = rng.random(n_populations), rng.uniform(0.1, 0.5, n_populations)
        flux = flux - depth * np.exp(-0.5 * ((u - centre) / 0.012) ** 2)
    return (flux - flux.min() + 0.2).reshape(n_pixels, *axes)


def dense_models(losvd, templates, tem_pix, obs_pix, vel_pix):
    flat = templates.reshape(tem_pix.size, -1).T.astype(np.float32)
    shifted = shifted_templates(flat, tem_pix, obs_pix, vel_pix, dtype=np.float64)
    return np.einsum("svc,vpl->scpl", losvd.astype(np.float32).astype(np.float64), shifted)


def make(S=7, V=9, C=5, axes=(2, 3, 2), L=40, seed=1, **optional):
    rng = np.random.default_rng(seed)
    dln = TEMPLATE_STEP_KMS / 299_792.458
    obs_pix = np.log(5000.0) + 2.0 * dln * np.arange(L)
    tem_pix = obs_pix[0] + dln * np.arange(-GUARD_PX, 2 * L + GUARD_PX)
    vel_pix = np.linspace(-400.0, 400.0, V)
    mean, sigma = rng.uniform(-150.0, 150.0, (S, 1, C)), rng.uniform(60.0, 200.0, (S, 1, C))
    losvd = rng.random((S, 1, C)) * np.exp(-0.5 * ((vel_pix[:, None] - mean) / sigma) ** 2)
    templates = smooth_templates(tem_pix.size, axes, rng)
    models = dense_models(losvd, templates, tem_pix, obs_pix, vel_pix)
    x_true = rng.random(models.shape[1:3]) * (rng.random(models.shape[1:3]) < 0.4)
    x_true[0, 0] += 0.1
    return Problem(
        tem_pix=tem_pix,
        obs_pix=obs_pix,
        vel_pix=vel_pix,
        losvd=losvd,
        templates=templates,
        datacube=np.einsum("scpl,cp->sl", models, x_true),
        x_true=x_true,
        models=models,
        optional=optional,
    )


@pytest.fixture(scope="session")
def make_problem() -> Callable[..., Problem]:
    return make


@pytest.fixture(scope="session")
def problem() -> Problem:
    """S=7, V=9, C=5, P=12, L=40: no two sizes alike."""
    return make()


@pytest.fixture(scope="session")
def populated_once(problem, tmp_path_factory):
    return problem.populate(tmp_path_factory.mktemp("populated") / "cube.h5")


@pytest.fixture(scope="session")
def built_once(populated_once, tmp_path_factory):
    path = tmp_path_factory.mktemp("built") / "cube.h5"
    shutil.copy(populated_once, path)
    build_hypercube(path, S_chunk=3, C_chunk=2, P_chunk=5, verbose=False)
    return path


@pytest.fixture
def populated(populated_once, tmp_path):
    """A populated file with the rebin products, to change at will."""
    (tmp_path / "populated").mkdir()
    return Path(shutil.copy(populated_once, tmp_path / "populated" / "cube.h5"))


@pytest.fixture
def built(built_once, tmp_path):
    """The same with a finished HyperCube of ragged tiles."""
    (tmp_path / "built").mkdir()
    return Path(shutil.copy(built_once, tmp_path / "built" / "cube.h5"))


@pytest.fixture(scope="session")
def client():
    """A client of a Dask cluster of two single-threaded workers."""
    with connected(n_workers=2, threads=2) as client:
        yield client
