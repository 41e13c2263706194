"""The messages that the page on troubleshooting quotes are those that appear."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from contextlib import ExitStack
from unittest.mock import Mock

import h5py
import numpy as np
import pytest
from distributed import Client

from cubefit import (
    FitResult,
    FitTracker,
    H5Manager,
    HyperCubeReader,
    PipelineRunner,
    build_hypercube,
)
from cubefit.demo import make_mock
from cubefit.distributed import cluster, connection, on_worker
from cubefit.distributed.memory import require_memory
from cubefit.errors import CubeFitError, DependencyError
from cubefit.store import compress, lock

from .pages import DOCS, FENCE

PAGE = FENCE.sub("", (DOCS / "troubleshooting.md").read_text())
QUOTED = [code for code in re.findall(r"`([^`]+)`", " ".join(PAGE.split())) if " " in code]


@pytest.fixture(scope="module")
def arrays():
    return make_mock("small").arrays


def populated(path, arrays, **changes):
    """Populate without the rebin products."""
    grids = {name: changes.pop(name, arrays[name]) for name in ("tem_pix", "obs_pix")}
    manager = H5Manager(path, **grids)
    manager.set_velocity_grid(arrays["vel_pix"])
    names = ("losvd", "datacube", "templates", "noise")
    manager.populate_from_arrays(**({name: arrays[name] for name in names} | changes))
    return manager


@pytest.fixture
def bare(arrays, tmp_path, monkeypatch):
    """Work beside a.h5, populated without rebin products."""
    monkeypatch.chdir(tmp_path)
    return populated("a.h5", arrays)


def said(action, *arguments, error=CubeFitError, **options):
    """Return what an action is refused with."""
    with pytest.raises(error) as refusal:
        action(*arguments, **options)
    return str(refusal.value)


def is_quoted(message):
    """Whether the page quotes a part of a message, in code."""
    return any(part in " ".join(message.split()) for part in QUOTED)


def bad_at_pixel_3(values, bad):
    changed = values.copy()
    changed[:, 3] = bad
    return changed


REFUSED = {
    "objects": lambda _: {"losvd": np.array([{}], object)},
    "a short mask": lambda _: {"mask": np.ones(300, bool)},
    "another order": lambda a: {"losvd": a["losvd"].transpose(0, 2, 1)},
    "Angstrom": lambda a: {"tem_pix": np.exp(a["tem_pix"])},
    "NaN in the data": lambda a: {"datacube": bad_at_pixel_3(a["datacube"], np.nan)},
    "zeros in the noise": lambda a: {"noise": bad_at_pixel_3(a["noise"], 0.0)},
    "negative LOSVDs": lambda a: {"losvd": -a["losvd"]},
    "narrow templates": lambda a: {
        "tem_pix": a["tem_pix"][85:-85],
        "templates": a["templates"][85:-85],
    },
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused_inputs(arrays, tmp_path, what):
    message = said(populated, tmp_path / "b.h5", arrays, **REFUSED[what](arrays))
    assert is_quoted(message), message


def test_thin_margins(arrays, tmp_path):
    thin = {"tem_pix": arrays["tem_pix"][60:-60], "templates": arrays["templates"][60:-60]}
    with pytest.warns(UserWarning, match="Templates reach") as caught:
        populated(tmp_path / "b.h5", arrays, **thin)
    assert is_quoted(str(caught[0].message))


def test_missing_products(bare):
    for refused in (build_hypercube, H5Manager.live_prefit_snapshot_from_models):
        assert is_quoted(said(refused, "a.h5"))
    assert is_quoted(said(HyperCubeReader, "a.h5"))


def test_a_matrix_free_fit_needs_no_products(bare):
    _, stats = PipelineRunner("a.h5").solve_all(method="exact", verbose=False)
    assert stats["converged"]


def test_other_inputs_and_another_normalization(bare, arrays):
    bare.ensure_rebin_and_resample()
    build_hypercube("a.h5", verbose=False)
    assert is_quoted(said(populated, "a.h5", arrays, losvd=0.5 * arrays["losvd"]))
    assert is_quoted(said(build_hypercube, "a.h5", normalization="unit", verbose=False))


def test_memory_and_masses(bare, demo_once):
    runner = PipelineRunner("a.h5")
    message = said(runner.solve_all, method="exact", max_memory_gb=0.1, verbose=False)
    assert is_quoted(message), message
    runner.solve_all(method="exact", verbose=False)
    assert is_quoted(said(FitResult.from_file("a.h5").total, "mass"))


def test_programs_that_write_meanwhile(bare):
    with FitTracker("a.h5") as tracker:
        tracker.begin(fresh=True)
        for mode in ("r+", "a"):
            assert is_quoted(said(h5py.File, "a.h5", mode, error=OSError))
        with h5py.File("a.h5", "r", swmr=True) as file:
            assert "DataCube" in file
        command = [sys.executable, "-m", "cubefit", "fit", "a.h5"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert is_quoted(done.stderr), done.stderr
    with h5py.File("a.h5", "r+"):
        assert is_quoted(said(PipelineRunner("a.h5").solve_all, method="exact", verbose=False))


def test_mode_w_destroys_a_file_that_is_written(bare, tmp_path):
    with lock.writer_lock(tmp_path / "a.h5") as held:
        held.guard(tmp_path / "a.h5")
        said(h5py.File, "a.h5", "w", error=OSError)
        assert (tmp_path / "a.h5").stat().st_size == 0


def test_a_disk_without_locks(bare, monkeypatch):
    def refuse(*_arguments):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(lock.fcntl, "flock", refuse)
    assert is_quoted(said(build_hypercube, "a.h5", verbose=False))


def test_a_file_that_was_cut(demo_once, tmp_path):
    file = shutil.copy(demo_once.fit.h5_path, tmp_path)
    os.truncate(file, 50_000_000)
    assert is_quoted(said(PipelineRunner, file))


def test_a_plugin_that_is_missing(monkeypatch):
    monkeypatch.setattr(compress.importlib.util, "find_spec", lambda _: None)
    assert is_quoted(said(compress.load_plugins, error=DependencyError))


def test_clusters(client, bare, tmp_path, monkeypatch):
    monkeypatch.setattr(connection, "CONNECT_S", 0.5)
    with ExitStack() as stack:
        message = said(stack.enter_context, connection.connected("tcp://127.0.0.1:9"))
    assert is_quoted(message)
    seen = cluster.Cluster(client, tmp_path / "a.h5")
    for worker, words in ((None, "does not see"), ("another", "sees another file as")):
        monkeypatch.setattr(cluster, "fingerprint_of", lambda _, worker=worker: worker or "mine")
        wrong = tmp_path / ("nowhere.h5" if worker is None else "a.h5")
        message = said(cluster.Cluster, client, wrong)
        assert words in message
        assert is_quoted(message), message
    dims = {"nSpat": 10**6, "nVel": 200, "nComp": 1000, "nPop": 360, "nLSpec": 1250}
    assert is_quoted(said(require_memory, seen, dims, 2))
    monkeypatch.setattr(on_worker, "get_worker", lambda: Mock(address="tcp://node1:40000"))
    assert is_quoted(said(out_of_memory))
    closed = Client(client.scheduler.address)
    seen.client = closed
    closed.close()
    assert is_quoted(said(seen.patience()))


def out_of_memory():
    with on_worker.named_worker():
        raise MemoryError


def test_a_script_with_a_cluster_needs_its_guard(tmp_path):
    script = tmp_path / "unguarded.py"
    script.write_text("import cubefit\nwith cubefit.connected(n_workers=1):\n    pass\n")
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode
    assert is_quoted(done.stderr), done.stderr


def test_what_others_say_of_dicts_and_strings(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        message = said(file.attrs.__setitem__, "a", {}, error=TypeError)
        assert message.startswith("Object dtype")
        file.attrs["text"], file.attrs["fixed"] = "text", np.bytes_("text")
    if np.__version__ >= "2":
        assert "removed in the NumPy 2.0 release" in said(
            getattr, np, "string_", error=AttributeError
        )
