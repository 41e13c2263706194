"""``cubefit populate``, ``reconstruct``, ``compress``, ``export`` and ``info`` on a tiny file."""

from __future__ import annotations

import json
import subprocess
import sys

import h5py
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

NAMES = ("tem_pix", "obs_pix", "vel_pix", "losvd", "datacube", "templates")


@pytest.fixture
def npz(problem, tmp_path):
    """Write inputs with the given arrays besides."""

    def write(**more):
        path = tmp_path / "inputs.npz"
        np.savez(path, **({name: getattr(problem, name) for name in NAMES} | more))
        return path

    return write


def told(result):
    return " ".join(result.output.replace("│", " ").split())


def test_populate_is_the_same_as_from_python(cubefit, npz, problem, tmp_path):
    file = tmp_path / "cube.h5"
    result = cubefit("populate", npz(), file, "--quiet")
    assert result.exit_code == 0, result.stderr
    assert result.stderr == ""
    assert "populated. Templates beyond the data: Safe=True" in told(result)
    assert "80.0 px" in told(result)
    assert "red" in told(result)
    with h5py.File(file) as made, h5py.File(problem.populate(tmp_path / "same.h5")) as same:
        assert set(made) == set(same)
        for name in same:
            assert (made[name][()] == same[name][()]).all()


def test_populate_takes_what_is_known_of_the_components(cubefit, npz, tmp_path):
    file, radius = tmp_path / "cube.h5", np.arange(5.0)
    inputs = npz(orbit_weights=np.ones(5), **{"component_radius [kpc]": radius})
    assert cubefit("populate", inputs, file, "--quiet").exit_code == 0
    with h5py.File(file) as made:
        assert made["OrbitWeights"][()].tolist() == [1.0] * 5
        assert made["ComponentProperties/names"][()].tolist() == [b"radius [kpc]"]
        assert made["ComponentProperties/values"][()].tolist() == [radius.tolist()]


def test_populate_refuses_other_inputs_unless_told(cubefit, npz, built, problem):
    inputs = npz(datacube=2.0 * problem.datacube)
    result = cubefit("populate", inputs, built, "--quiet")
    assert result.exit_code == 1
    assert "holds /HyperCube, made from other inputs" in result.stderr
    assert cubefit("populate", inputs, built, "--quiet", "--overwrite").exit_code == 0
    with h5py.File(built) as file:
        assert "HyperCube" not in file


def test_populate_says_what_the_npz_lacks(cubefit, tmp_path):
    np.savez(tmp_path / "in.npz", losvd=np.zeros(3), spectra=np.zeros(3))
    result = cubefit("populate", tmp_path / "in.npz", tmp_path / "cube.h5")
    assert result.exit_code == 1
    assert "lacks ['tem_pix', 'obs_pix', 'vel_pix', 'datacube', 'templates']" in result.stderr
    assert "unknown arrays ['spectra']" in result.stderr
    assert not (tmp_path / "cube.h5").exists()


def test_populate_knows_what_is_no_npz(cubefit, populated, tmp_path):
    (tmp_path / "words.npz").write_text("hello")
    for given, said in (
        (tmp_path / "words.npz", "cannot be read as npz of plain arrays, for it is no npz file"),
        (populated, "is an HDF5 file, where an npz file is due"),
    ):
        result = cubefit("populate", given, tmp_path / "new.h5")
        assert result.exit_code == 1
        assert said in result.stderr
        assert "pickle" not in result.stderr


def scripted(cubefit, *arguments):
    """The object that a verb prints for scripts; nothing else may stand there."""
    result = cubefit(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_verbs_that_make_something_have_objects_for_scripts(cubefit, npz, tmp_path):
    file = tmp_path / "cube.h5"
    told = scripted(cubefit, "populate", npz(), file)
    assert told["coverage"]["safe"] is True
    assert told["coverage"]["red_margin_px"] > 64
    told = scripted(cubefit, "build", file, "--s-chunk", 3)
    assert (told["tiles_built"], told["tiles_total"]) == (15, 15)
    assert told["n_bytes"] > 0
    assert told["elapsed_s"] > 0
    assert scripted(cubefit, "gather", file) == {"file": str(file), "shards": 0}
    told = scripted(cubefit, "compress", file)
    assert told["codec"] == "gzip"
    assert told["bytes_before"] > told["bytes_after"] > 0
    cubefit("fit", file, "--quiet")
    written = {"file": str(file), "dataset": "/ModelCube", "written": True}
    assert scripted(cubefit, "reconstruct", file) == written
    assert scripted(cubefit, "reconstruct", file) == written | {"written": False}
    picture = str(tmp_path / "a.png")
    told = scripted(cubefit, "snapshot", file, "-o", picture)
    assert told == {"file": str(file), "written": [picture]}
    told = scripted(cubefit, "export", file, "-o", tmp_path / "out")
    assert len(told["written"]) == 3


def test_a_watching_snapshot_has_one_object_a_line(cubefit, populated, tmp_path, monkeypatch):
    monkeypatch.setattr("cubefit.live_fit_dashboard.watch_dashboard", lambda *_, **__: ["a", "b"])
    command = ("snapshot", populated, "-o", tmp_path / "a.png", "--watch", 1, "--json")
    lines = [json.loads(line) for line in cubefit(*command).stdout.splitlines()]
    assert lines == [{"file": str(populated), "told": word} for word in "ab"]


def test_a_disk_that_takes_no_snapshot_is_told_with_the_name_asked_for(cubefit, populated):
    result = cubefit("snapshot", populated, "-o", "/proc/a.png")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: /proc/a.png cannot be written (")


def test_the_pad_of_populate_warns_in_one_sentence(npz, tmp_path):
    command = [sys.executable, "-m", "cubefit", "populate", npz(), tmp_path / "cube.h5"]
    options = ["--safety-pad", "90", "--quiet"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=True)
    assert done.stderr.startswith("Warning: Templates reach 79.0 px (blue)")
    assert "less than safety_pad_px=90" in done.stderr
    assert done.stderr.count("\n") == 1


def test_reconstruct_is_the_solution_through_the_models(cubefit, fitted, problem):
    result = cubefit("reconstruct", fitted, "--quiet")
    assert result.exit_code == 0, result.stderr
    assert "/ModelCube is written" in told(result)
    with h5py.File(fitted) as file:
        x = file["X_global"][()].reshape(problem.x_true.shape)
        cube = file["ModelCube"][()]
    assert cube == pytest.approx(np.einsum("scpl,cp->sl", problem.models, x), rel=1e-5)
    assert "there already" in told(cubefit("reconstruct", fitted, "--quiet"))
    assert cubefit("reconstruct", fitted, "--name", "Again", "--quiet").exit_code == 0
    with h5py.File(fitted) as file:
        assert (file["Again"][()] == cube).all()


@pytest.mark.parametrize("verb", [["reconstruct"], ["export", "--to", "out"]])
def test_without_a_solution_there_is_nothing_to_tell(cubefit, populated, verb, monkeypatch):
    monkeypatch.chdir(populated.parent)
    result = cubefit(verb[0], populated, *verb[1:])
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: Missing /X_global in {populated}: fit first")
    assert result.stderr.count("\n") == 1
    assert not (populated.parent / "out").exists()


def test_a_taken_name_is_refused(cubefit, fitted):
    result = cubefit("reconstruct", fitted, "--name", "LOSVD", "--quiet")
    assert result.exit_code == 1
    assert "give a plain name" in result.stderr


def test_compress_keeps_the_bits_it_is_told(cubefit, built):
    with h5py.File(built) as file:
        models = file["HyperCube/models"][()]
    result = cubefit("compress", built, "--codec", "gzip", "--level", 4, "--keep-bits", 12)
    assert result.exit_code == 0, result.stderr
    assert "models of 104 kB take" in told(result)  # tiles are ragged
    with h5py.File(built) as file:
        stored = file["HyperCube/models"]
        assert (stored.compression, stored.compression_opts) == ("gzip", 4)
        assert stored[()] == pytest.approx(models, rel=2.0**-13)
        assert not (stored[()] == models).all()


def test_compress_needs_a_finished_hypercube(cubefit, populated):
    result = cubefit("compress", populated, "--quiet")
    assert result.exit_code == 1
    assert "no finished HyperCube to compress" in result.stderr


def test_export_writes_what_it_says(cubefit, fitted, tmp_path):
    out = tmp_path / "a" / "b"
    result = cubefit("export", fitted, "--to", out)
    assert result.exit_code == 0, result.stderr
    names = ["cube-results.fits", "cube-components.ecsv", "cube-spaxels.ecsv"]
    assert result.stdout.split() == [str(out / name) for name in names]
    with fits.open(out / names[0]) as hdus, h5py.File(fitted) as file:
        assert (hdus["WEIGHTS"].data.ravel() == file["X_global"][()]).all()
    assert len(Table.read(out / names[1], format="ascii.ecsv")) == 5
    assert len(Table.read(out / names[2], format="ascii.ecsv")) == 7


def test_export_replaces_nothing_unless_told(cubefit, fitted, tmp_path):
    (tmp_path / "cube-spaxels.ecsv").write_text("mine")
    result = cubefit("export", fitted, "--to", tmp_path)
    assert result.exit_code == 1
    assert "cube-spaxels.ecsv exists: give another folder, or --overwrite" in result.stderr
    assert not (tmp_path / "cube-results.fits").exists()
    result = cubefit("export", fitted, "--to", tmp_path, "--overwrite", "--json")
    written = json.loads(result.stdout)["written"]
    assert len(written) == 3
    assert (tmp_path / "cube-spaxels.ecsv").read_text().startswith("# %ECSV")


def test_info_tells_what_is_in_a_file(cubefit, fitted):
    said = told(cubefit("info", fitted))
    for words in (
        "S 7 spaxels",
        "V 9 velocity bins",
        "C 5 components",
        "P 12 populations",
        "L 40 observed pixels",
        "observed (L) 40: 5000 to 5052.31 Angstrom, 80.01 km/s a step",
        "velocities (V) 9: -400 to 400 km/s, 100 km/s a step",
        "noise not given",
        "/HyperCube/models (7, 5, 12, 40), 104 kB",
        "/X_global (60,)",
        "margins suffice yes",
    ):
        assert words in said


def test_info_for_scripts(cubefit, fitted):
    facts = json.loads(cubefit("info", fitted, "--json").stdout)
    assert facts["sizes"] == {"S": 7, "V": 9, "C": 5, "P": 12, "T": 240, "L": 40}
    assert facts["observed"]["first"] == pytest.approx(5000.0)
    assert facts["coverage"]["safe"] is True
    assert facts["format"] == 1


def test_fit_for_scripts(cubefit, populated):
    result = cubefit("fit", populated, "--json", "--quiet")
    facts = json.loads(result.stdout)
    assert result.exit_code == 0
    assert facts["file"] == str(populated)
    assert (facts["method"], facts["converged"], facts["n_weights"]) == ("exact", True, 60)
    assert 0 <= facts["gap_rel"] <= 1e-6
    with h5py.File(populated) as file:
        assert facts["chi2"] == file["X_global"].attrs["chi2"]


def test_fit_takes_the_weights_of_the_inputs(cubefit, npz, tmp_path):
    file, weights = tmp_path / "cube.h5", np.array([1.0, 3.0, 2.0, 5.0, 4.0])
    cubefit("populate", npz(orbit_weights=weights), file, "--quiet")
    options = ("--orbit-weights", "stored", "--ratio-weight", 1e4, "--quiet")
    assert cubefit("fit", file, *options).exit_code == 0
    with h5py.File(file) as made:
        sums = made["X_global"][()].reshape(5, 12).sum(axis=1)
    assert sums / sums.sum() == pytest.approx(weights / weights.sum(), rel=1e-3)
