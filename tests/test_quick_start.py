"""The user's own text: the quick start of the specification, to the letter but for the prefix."""
# ruff: noqa: E702, N814, PLC0415, PLC2401, PLR0915, RUF003, RUF059, T201

import h5py
import numpy as np
import pytest

import cubefit


def test_quick_start(make_problem, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    S, L = 7, 40
    problem = make_problem(S=S, L=L)
    teLL, spLL, vbins = problem.tem_pix, problem.obs_pix, problem.vel_pix
    nApHists, laGrid, lnGrid = problem.losvd, problem.datacube.T, problem.templates
    spmask = np.arange(L) != 3
    X_pix, Y_pix, bin_idx = np.arange(9.0), np.arange(9.0)[::-1], np.arange(9) % S
    E, K, η = 5, 32, 0.5
    cWeights = problem.x_true.sum(axis=1)
    h5_path = h5 = "cube.h5"
    # fmt: off
    from cubefit.hdf5_manager import H5Manager as H5M
    from cubefit.hypercube_builder import build_hypercube
    from cubefit.pipeline_runner import PipelineRunner

    # 1) Populate HDF5 (single writer)
    mgr = H5M("cube.h5", tem_pix=teLL, obs_pix=spLL)
    mgr.set_velocity_grid(vbins)  # /VelPix
    mgr.populate_from_arrays(
        losvd=nApHists,           # (S,V,C)
        datacube=laGrid,          # (L,S) or (S,L) accepted; stored as (S,L)
        templates=lnGrid,         # (T, nZ, nAge, nAlpha) → (P,T)
        mask=spmask,              # optional, length L
        xpix=X_pix, ypix=Y_pix,   # optional per‑pixel coords (nPix,)
        binnum=bin_idx,           # optional pixel→bin map (nPix,) in [0..S-1]
    )
    mgr.ensure_rebin_and_resample()  # builds /R_T, /TemplatesFFT(_R), etc.

    # 2) Build HyperCube (single writer; uncompressed for speed)
    build_hypercube("cube.h5", S_chunk=128, C_chunk=1, P_chunk=360,
                    n_workers=2, compression=None)

    # 3) Live prefit snapshot (read‑only; SWMR‑safe)
    H5M.live_prefit_snapshot_from_models("cube.h5",
                                         out_png="prefit_overlay.png")

    # 4) Global Kaczmarz fit (RAM‑bounded, single process + BLAS threads)
    runner = PipelineRunner("cube.h5")
    x, stats = runner.solve_all(
        epochs=E, pixels_per_aperture=K, lr=η,
        project_nonneg=True,
        orbit_weights=cWeights,   # per‑component; used as ratio targets
        blas_threads=8,           # keep modest (memory‑bandwidth bound)
        verbose=True,
    )

    # 5) (Optional) Reconstruct model cube ŷ(s, :) = A(s)^T x
    from cubefit.kz_fitSpec import reconstruct_model_cube_single
    reconstruct_model_cube_single("cube.h5", x, blas_threads=8)

    # Minimal REPL checks
    with h5py.File(h5_path, "r", swmr=True) as f:
        M = f["/HyperCube/models"]; S,C,P,L = M.shape
        print("models", M.shape, "chunks", M.chunks)
        done = np.asarray(f["/HyperCube/_done"], bool)
        print("tiles done:", done.sum(), "/", done.size)
        for s,c in [(0,0), (S//3, C//4), (S-1, C-1)]:
            slab = np.asarray(M[s,c,:,:], np.float32)  # (P,L)
            print((s,c), "max|model|=", float(np.max(np.abs(slab))))

    # Skip recompute safely
    from cubefit import open_h5
    with open_h5(h5, "reader") as f:
        if "/ModelCube" in f and f["/ModelCube"].shape == (S, L):
            print("ModelCube present — skipping reconstruction.")
        else:
            reconstruct_model_cube_single(h5, x)

    # 5) (Optional) Compress
    H5M.compress_hypercube_inplace(h5_path, codec="gzip",
                                   level=2, shuffle=True)
    # fmt: on
    said = capsys.readouterr().out
    assert "tiles done: 5 / 5" in said
    assert "skipping reconstruction" in said
    assert (tmp_path / "prefit_overlay.png").stat().st_size > 10_000
    assert x.shape == (60,)
    assert (x >= 0).all()
    assert stats["rmse"] < 0.1 * problem.datacube.mean()
    with open_h5(h5, "reader") as f:
        model = np.einsum("scpl,cp->sl", problem.models, x.reshape(5, 12))
        np.testing.assert_allclose(f["/ModelCube"][()], model, rtol=1e-5)
        np.testing.assert_array_equal(f["/X_global"][()], x)
        assert f["/HyperCube/models"].compression == "gzip"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cube.h5", "prefit_overlay.png"]


def test_reconstruction_inside_an_open_reader(built, problem):
    with cubefit.open_h5(built, "reader") as f:
        assert "/ModelCube" not in f
        cubefit.reconstruct_model_cube_single(built, problem.x_true, verbose=False)
    with cubefit.open_h5(built, "reader") as f:
        np.testing.assert_allclose(f["/ModelCube"][()], problem.datacube, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("H5Manager", "hdf5_manager"),
        ("build_hypercube", "hypercube_builder"),
        ("HyperCubeReader", "hypercube_reader"),
        ("PipelineRunner", "pipeline_runner"),
        ("SolverCfg", "kaczmarz_solver"),
        ("reconstruct_model_cube_single", "kz_fitSpec"),
    ],
)
def test_the_package_exports_the_same_names(name, module):
    home = __import__(f"cubefit.{module}", fromlist=[name])
    assert getattr(cubefit, name) is getattr(home, name)
    assert name in dir(cubefit)
