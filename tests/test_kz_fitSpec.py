"""The whole sequence on an npz file."""

from __future__ import annotations

import sys
from subprocess import run

import h5py
import numpy as np
import pytest

from cubefit.demo import make_mock
from cubefit.errors import InputError
from cubefit.kz_fitSpec import fit_arrays, main, read_arrays
from cubefit.results import FitResult


@pytest.fixture(scope="module")
def arrays():
    full = make_mock("small").arrays
    n_spaxels = 6
    some = {k: full[k][:n_spaxels] for k in ("losvd", "datacube", "noise")}
    maps = {k: full[k][full["binnum"] < n_spaxels] for k in ("xpix", "ypix", "binnum")}
    return full | some | maps


@pytest.fixture
def npz(tmp_path, arrays):
    path = tmp_path / "inputs.npz"
    np.savez(path, **arrays)
    return path


def test_module_runs_from_arrays_to_pictures(tmp_path, npz):
    out = tmp_path / "results"
    command = [sys.executable, "-m", "cubefit.kz_fitSpec", str(npz), "--out", str(out)]
    done = run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "chi2 per voxel" in done.stderr
    assert {p.name for p in out.iterdir()} == {"cube.h5", "prefit.png", "spectra.png"}
    with h5py.File(out / "cube.h5") as file:
        assert file["ModelCube"].shape == file["DataCube"].shape
        assert file["X_global"][()].min() >= 0
        assert file["TemplateMass"].shape == file["Templates"].shape[:1]


def test_without_build_the_fit_is_the_same_to_rounding(tmp_path, arrays):
    stored = fit_arrays(arrays, tmp_path / "a", epochs=1, verbose=False)
    free = fit_arrays(arrays, tmp_path / "b", epochs=1, build=False, verbose=False)
    assert (stored.stats["operator"], free.stats["operator"]) == ("stored", "matrix-free")
    assert free.x == pytest.approx(stored.x, abs=1e-4 * stored.x.max())
    assert free.model == pytest.approx(stored.model, rel=1e-3)


def test_missing_and_unknown_arrays_are_named(tmp_path, arrays):
    path = tmp_path / "inputs.npz"
    np.savez(path, **{k: v for k, v in arrays.items() if k != "losvd"}, lsvd=arrays["losvd"])
    with pytest.raises(InputError, match=r"lacks \['losvd'\].*unknown arrays \['lsvd'\]"):
        read_arrays(path)


def test_texts_are_kept_and_nothing_else_is_a_text(tmp_path, arrays):
    texts = {"name": np.array("NGC 4365"), "pixel_unit": np.array("arcsec")}
    fit_arrays(arrays | texts, tmp_path / "a", epochs=1, build=False, verbose=False)
    seen = FitResult.from_file(tmp_path / "a" / "cube.h5").observation
    assert (seen.name, seen.flux_unit, seen.pixel_unit) == ("NGC 4365", "", "arcsec")
    for wrong in (np.array(3.0), np.array(["NGC", "4365"])):
        with pytest.raises(InputError, match=r"name is of type .* give one text"):
            fit_arrays(arrays | {"name": wrong}, tmp_path / "b", epochs=1, verbose=False)
    assert not (tmp_path / "b" / "cube.h5").exists()


@pytest.mark.parametrize("content", [b"text", b"", b"PK\x03\x04 cut short"])
def test_foreign_file_is_refused(tmp_path, content):
    path = tmp_path / "inputs.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match="cannot be read"):
        read_arrays(path)


def test_single_array_is_refused(tmp_path):
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(InputError, match="one bare array"):
        read_arrays(tmp_path / "one.npy")


def test_error_on_the_command_line_is_one_sentence(tmp_path, capsys):
    assert main([str(tmp_path / "absent.npz"), "--out", str(tmp_path / "out")]) == 1
    printed = capsys.readouterr().err
    assert printed.startswith("Error: ")
    assert printed.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_bad_arrays_leave_nothing_behind(tmp_path, arrays):
    bad = arrays | {"losvd": -arrays["losvd"]}
    with pytest.raises(InputError, match="negative"):
        fit_arrays(bad, tmp_path / "out", verbose=False)
    assert not list((tmp_path / "out").iterdir())
