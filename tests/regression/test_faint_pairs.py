"""Spaxels in which a component has a trillionth of its light still get exact models.

Values below 1e-12 of the brightest LOSVD value once counted as zero: models of faint (s, c) pairs
were off by 4 % of their median.
"""

from __future__ import annotations

import numpy as np
import pytest

from cubefit import H5Manager, HyperCubeReader, build_hypercube
from cubefit.inverse.matrix_free import MatrixFreeOperator
from cubefit.spectra.shifted_templates import shifted_templates

VELOCITY_KMS = np.linspace(-300.0, 300.0, 21)
TEM_PIX = np.log(4900.0) + 1.5e-4 * np.arange(300)
OBS_PIX = TEM_PIX[80] + 3e-4 * np.arange(60)
FAINTNESS = (1.0, 1e-6, 1e-12)


@pytest.fixture(scope="module")
def losvd():
    profile = np.exp(-0.5 * ((VELOCITY_KMS - 40.0) / 60.0) ** 2)
    return (profile[None, :, None] * np.array(FAINTNESS)[:, None, None]).astype(np.float32)


@pytest.fixture(scope="module")
def templates():
    lines = np.random.default_rng(3).uniform(TEM_PIX[0], TEM_PIX[-1], (2, 40))
    depth = 0.2 * np.exp(-0.5 * ((TEM_PIX[:, None, None] - lines) / 4e-4) ** 2)
    return 1.0 - depth.sum(axis=-1).clip(max=0.8)


@pytest.fixture(scope="module")
def exact(losvd, templates):
    shifted = shifted_templates(templates.T, TEM_PIX, OBS_PIX, VELOCITY_KMS, dtype=np.float64)
    return np.einsum("svc,vpl->scpl", losvd.astype(np.float64), shifted)


def worst_error(models, exact):
    return (np.abs(models - exact) / np.median(exact, axis=-1, keepdims=True)).max()


def test_stored_models(tmp_path, losvd, templates, exact):
    path = tmp_path / "cube.h5"
    manager = H5Manager(path, tem_pix=TEM_PIX, obs_pix=OBS_PIX)
    manager.set_velocity_grid(VELOCITY_KMS)
    data = np.ones((len(FAINTNESS), OBS_PIX.size))
    manager.populate_from_arrays(losvd, data, templates, safety_pad_px=20)
    manager.ensure_rebin_and_resample()
    build_hypercube(path, verbose=False)
    with HyperCubeReader(path) as reader:
        models = np.array([reader.plane(s) for s in range(len(FAINTNESS))])
    assert worst_error(models, exact) < 1e-6


def test_rows_without_the_hypercube(losvd, templates, exact):
    shifted = shifted_templates(templates.T, TEM_PIX, OBS_PIX, VELOCITY_KMS)
    operator = MatrixFreeOperator(losvd, shifted)
    pixels = np.arange(OBS_PIX.size)
    rows = [operator.rows(s, pixels).dense() for s in range(len(FAINTNESS))]
    models = np.array(rows).transpose(0, 2, 3, 1)
    assert worst_error(models, exact) < 2e-4
