"""The canonical layout: every dataset of the one table, after a whole session."""

import ast
import json
from pathlib import Path

import h5py
import numpy as np
import pytest

import cubefit
from cubefit.hypercube_builder import build_hypercube
from cubefit.pipeline_runner import PipelineRunner
from cubefit.reconstruction import reconstruct_model_cube_single
from cubefit.store import schema

SOURCES = Path(cubefit.__file__).parent
SIZES = {
    "S": 7, "V": 9, "C": 5, "P": 12, "L": 40, "T": 240, "T//2+1": 121, "nPix": 9, "C*P": 60,
    "Sgrid": 3, "Cgrid": 3, "Pgrid": 3, "R": 96, "Ns": 7, "Kval": 32, "row": 1,
    "property": 2,
}  # fmt: skip
LINKS = {schema.X_LATEST.path, schema.X_BEST.path}
"""Soft links to checkpoints, which HDF5's walk through a file does not show."""


@pytest.fixture(scope="module")
def session(make_problem, tmp_path_factory):
    """The file after everything."""
    rng = np.random.default_rng(5)
    problem = make_problem(
        mask=np.arange(40) != 3,
        noise=rng.uniform(0.1, 0.2, (7, 40)),
        voxel_mask=rng.random((7, 40)) < 0.9,
        xpix=np.arange(9.0),
        ypix=-np.arange(9.0),
        binnum=np.arange(9) % 7,
        template_axes={"metallicity": [-1, 0], "age": [1, 3, 10], "alpha": [0.0, 0.4]},
        template_masses=np.arange(1.0, 13.0).reshape(2, 3, 2),
        orbit_weights=np.arange(1.0, 6.0),
        component_properties={"radius [kpc]": np.arange(5.0), "λz": np.full(5, np.nan)},
    )
    path = problem.populate(tmp_path_factory.mktemp("session") / "cube.h5")
    build_hypercube(path, S_chunk=3, C_chunk=2, P_chunk=5, verbose=False)
    x, _ = PipelineRunner(path).solve_all(orbit_weights="stored", verbose=False)
    reconstruct_model_cube_single(path, x, verbose=False)
    return problem, path


@pytest.fixture
def file(session):
    with h5py.File(session[1], "r") as opened:
        yield opened


@pytest.mark.parametrize("entry", schema.TABLE, ids=lambda e: e.path)
def test_every_dataset_is_as_the_table_says(file, entry):
    dataset = file[entry.path]
    assert dataset.shape == tuple(SIZES[axis] for axis in entry.axes)
    assert dataset.dtype == np.dtype(entry.dtype)
    assert dataset.attrs[schema.ATTR_AXES] == " ".join(entry.axes)
    assert dataset.attrs[schema.ATTR_UNIT] == entry.unit


def test_the_file_holds_nothing_else(file):
    found = []
    file.visititems(
        lambda n, item: found.append(f"/{n}") if isinstance(item, h5py.Dataset) else None
    )
    # visititems shows a hard link once only.
    expected = {e.path for e in schema.TABLE} - LINKS
    assert set(found) | {schema.TEMPLATES_FFT.path, schema.TEMPLATES_FFT_R.path} == expected


def test_the_table_is_that_of_the_specification():
    """Paths, axes and types as the user wrote them."""
    said = """
        /DataCube S L float64
        /Templates P T float32
        /LOSVD S V C float32
        /TemPix T float64
        /ObsPix L float64
        /VelPix V float64
        /R_T T L float32
        /RebinMatrix L T float32
        /TemplatesFFT P T//2+1 complex64
        /TemplatesFFT_R P T//2+1 complex64
        /Mask L bool
        /HyperCube/models S C P L float32
        /HyperCube/_done Sgrid Cgrid Pgrid uint8
        /XPix nPix float64
        /YPix nPix float64
        /BinNum nPix int32
        /X_global C*P float64
        /Fit/x_latest C*P float64
        /Fit/x_best C*P float64
        /Fit/x_ring R C*P float64
        /Fit/x_vis_ring R C*P float32
        /Fit/sample/spaxels Ns int32
        /Fit/sample/val_pixels Kval int32
    """
    table = {e.path: (e.axes, e.dtype) for e in schema.TABLE}
    for line in said.strip().splitlines():
        path, *axes, dtype = line.split()
        assert table[path] == (tuple(axes), dtype)
    metrics = """epoch time_sec train_rmse_ewma val_rmse delta_x_rel nnz l1_norm l2_norm mass_err_L1
        mass_err_Linf"""
    assert set(metrics.split()) <= set(schema.METRICS)
    assert len(table) == len(schema.TABLE)


def test_contents(file, session):
    problem = session[0]
    np.testing.assert_array_equal(file["/DataCube"], problem.datacube)
    flat = problem.templates.reshape(240, 12).T
    np.testing.assert_array_equal(file["/Templates"], flat.astype(np.float32))
    np.testing.assert_array_equal(file["/LOSVD"], problem.losvd.astype(np.float32))
    for name in ("tem_pix", "obs_pix", "vel_pix"):
        path = {"tem_pix": "/TemPix", "obs_pix": "/ObsPix", "vel_pix": "/VelPix"}[name]
        np.testing.assert_array_equal(file[path], getattr(problem, name))
    for path, key in {"/Mask": "mask", "/Noise": "noise", "/VoxelMask": "voxel_mask",
                      "/XPix": "xpix", "/YPix": "ypix", "/BinNum": "binnum"}.items():  # fmt: skip
        np.testing.assert_array_equal(file[path], problem.optional[key])
    np.testing.assert_array_equal(file["/TemplateMass"], np.arange(1.0, 13.0))
    np.testing.assert_array_equal(file["/OrbitWeights"], np.arange(1.0, 6.0))
    np.testing.assert_array_equal(file["/Fit/orbit_weights"], np.arange(1.0, 6.0))
    names = [name.decode() for name in file["/ComponentProperties/names"]]
    assert names == ["radius [kpc]", "λz"]
    np.testing.assert_array_equal(file["/ComponentProperties/values"][0], np.arange(5.0))
    assert np.isnan(file["/ComponentProperties/values"][1]).all()


def test_rebin_products(file):
    templates = file["/Templates"][()].astype(np.float64)
    transform = np.fft.rfft(templates, axis=1)
    np.testing.assert_allclose(file["/TemplatesFFT"], transform, atol=1e-6 * abs(transform).max())
    np.testing.assert_array_equal(file["/TemplatesFFT_R"], file["/TemplatesFFT"])
    assert "For reading only" in file["/TemplatesFFT_R"].attrs["note"]
    rebin = file["/R_T"][()]
    np.testing.assert_array_equal(rebin.T, file["/RebinMatrix"])
    np.testing.assert_allclose(rebin.sum(axis=0), 1.0, rtol=1e-5)
    # Observed pixel l lies at template pixel 80 + 2 l: the operator runs from templates to data.
    centres = (np.arange(240) @ rebin).round(2)
    np.testing.assert_allclose(centres, 80 + 2 * np.arange(40), atol=0.02)


def test_root_attributes(file):
    assert json.loads(file.attrs["dims"]) == {
        "nSpat": 7, "nLSpec": 40, "nTSpec": 240, "nVel": 9, "nComp": 5, "nPop": 12
    }  # fmt: skip
    meta = json.loads(file.attrs["template_meta_json"])
    assert meta["shape"] == [2, 3, 2]
    assert meta["axes"] == {"metallicity": [-1, 0], "age": [1, 3, 10], "alpha": [0.0, 0.4]}
    guard = json.loads(file.attrs["guard_info_json"])
    assert guard["safe"] is True
    assert guard["Kguard_px"] == np.ceil(max(guard["blue_support_px"], guard["red_support_px"]))
    assert guard["blue_margin_px"] >= guard["safety_pad_px"] == 64
    assert {k: file.attrs[f"guard.{k}"] for k in guard} == guard
    assert file.attrs["cubefit_format"] == schema.FORMAT_VERSION
    assert file.attrs["cubefit_version"] == cubefit.__version__


def test_populations_run_fastest_along_the_last_template_axis(file, session):
    templates = session[0].templates
    index = np.ravel_multi_index((1, 2, 0), (2, 3, 2))
    np.testing.assert_array_equal(
        file["/Templates"][index], templates[:, 1, 2, 0].astype(np.float32)
    )


def test_spaxels_models_and_x_belong_together(file):
    """The file's own arrays explain each other: C*P in C order, models (S, C, P, L)."""
    x = file["/X_global"][()].reshape(5, 12)
    model = np.einsum("scpl,cp->sl", file["/HyperCube/models"][()].astype(np.float64), x)
    np.testing.assert_allclose(file["/ModelCube"], model, rtol=1e-6)


def string_literals(module):
    """Yield the string constants of a module that are no docstrings."""
    tree = ast.parse(module.read_text())
    docstrings = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)
    }  # fmt: skip
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in docstrings
        ):
            yield node.value


def may_open_files(module):
    """The layers below the store cannot: a path there is part of a message."""
    return not {"inverse", "spectra"} & set(module.parts) and module.name != "inputs.py"


def test_no_path_stands_outside_the_table():
    modules = [
        m
        for m in SOURCES.rglob("*.py")
        if may_open_files(m.relative_to(SOURCES)) and m != SOURCES / "store" / "schema.py"
    ]
    assert len(modules) > 20
    parts = {e.path.lstrip("/") for e in schema.TABLE} | {"HyperCube", "_done", "Fit"}
    found = [
        (module.name, text)
        for module in modules
        for text in string_literals(module)
        if text.strip("/") in parts
    ]
    assert found == []
