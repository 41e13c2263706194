"""Signals: long verbs leave a file that is whole, say how to go on, and have their exit codes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import weakref
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from cubefit import __main__ as program
from cubefit import cli, reconstruction
from cubefit.file_check import contents
from cubefit.interrupts import SIGNALS
from cubefit.io import result_files
from cubefit.pipeline_runner import PipelineRunner
from cubefit.progress import Progress
from cubefit.results import FitResult
from cubefit.store.file_status import file_status

DEFAULTS = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGUSR1: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_DFL,
}
STOPS = [(signal.SIGINT, 130), (signal.SIGTERM, 75)]


@pytest.fixture(autouse=True)
def defaults():
    """The handlers of a fresh program."""
    before = {number: signal.signal(number, handler) for number, handler in DEFAULTS.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def run_main(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["cubefit", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return stop.value.code or 0


class Dying:
    """Something whose end runs a callback, as objects of h5py have it."""


def raising(number, then):
    """Return ``then``, with a signal before it, once; in a callback that lets no exception out."""
    left = [number]

    def step(*arguments, **settings):
        if left:
            dying = Dying()
            gone = weakref.ref(dying, lambda _: signal.raise_signal(left.pop()))
            del dying
            assert gone() is None
        return then(*arguments, **settings)

    return step


def raising_openly(number, then=None):
    """Return ``then``, with a signal before it, once."""
    left = [number]

    def step(*arguments, **settings):
        if left:
            signal.raise_signal(left.pop())
        return None if then is None else then(*arguments, **settings)

    return step


@pytest.fixture(params=STOPS, ids=["SIGINT", "SIGTERM"])
def stop(request):
    return request.param


@pytest.fixture
def stopped(monkeypatch, capsys, caplog, stop):
    """Run a verb that a signal stops; check its exit code, and return what it says."""

    def run(where, how, *arguments):
        number, code = stop
        owner, name = where
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, how(number, getattr(owner, name)))
            assert run_main(patch, *arguments) == code
        assert {n: signal.getsignal(n) for n in SIGNALS} == DEFAULTS
        # What the log holds, a user without logging of his own sees on stderr.
        said = " ".join((capsys.readouterr().err + caplog.text).split())
        assert "Traceback" not in said
        assert "the same call" in said or "run the same command again" in said
        return said

    return run


def files_beside(path):
    return sorted(p.name for p in path.parent.iterdir() if p.suffix != ".lock")


ADVANCE = (Progress, "advance")


@pytest.mark.parametrize("verb", ["compress", "reconstruct"])
def test_a_stopped_product_leaves_the_file_as_it_was(fitted, monkeypatch, stopped, verb):
    before = fitted.read_bytes()
    assert "as it was" in stopped(ADVANCE, raising, verb, fitted, "--quiet")
    assert fitted.read_bytes() == before
    assert files_beside(fitted) == ["cube.h5"]
    assert run_main(monkeypatch, verb, fitted, "--quiet") == 0
    assert fitted.read_bytes() != before


def test_a_stopped_reconstruction_without_hypercube_too(populated, monkeypatch, stopped):
    PipelineRunner(populated).solve_all(method="exact", verbose=False)
    before = populated.read_bytes()
    where = (reconstruction, "reconstruct_matrix_free")
    stopped(where, raising, "reconstruct", populated, "--quiet")
    assert populated.read_bytes() == before
    assert run_main(monkeypatch, "reconstruct", populated, "--quiet") == 0


def test_a_signal_while_the_product_is_put_in_place_waits_for_it(fitted, monkeypatch, caplog, stop):
    number, code = stop
    with monkeypatch.context() as patch:
        write = reconstruction.write_model_cube
        patch.setattr(reconstruction, "write_model_cube", raising(number, write))
        assert run_main(patch, "reconstruct", fitted, "--quiet") == code
    assert f"/ModelCube of {fitted} is complete" in caplog.text
    with h5py.File(fitted) as file:
        assert "ModelCube" in file


@pytest.mark.parametrize("where", [ADVANCE, (contents, "check_losvd")])
def test_a_stopped_check_changes_nothing(fitted, stopped, where):
    before = fitted.read_bytes()
    assert "nothing was changed" in stopped(where, raising, "check", fitted, "--quiet")
    assert fitted.read_bytes() == before


def test_a_stopped_export_leaves_whole_files_only(fitted, tmp_path, monkeypatch, stopped):
    out = tmp_path / "out"
    arguments = ("export", fitted, "--to", out)
    assert "--overwrite" in stopped((FitResult, "to_ecsv"), raising_openly, *arguments)
    assert [p.name for p in out.iterdir()] == ["cube-results.fits"]
    assert run_main(monkeypatch, *arguments) == 1
    assert run_main(monkeypatch, *arguments, "--overwrite") == 0
    assert len(list(out.iterdir())) == 3


def test_a_half_written_export_vanishes(fitted, tmp_path, stopped):
    out = tmp_path / "out"
    stopped((result_files.os, "fsync"), raising_openly, "export", fitted, "--to", out)
    assert list(out.iterdir()) == []


def test_a_stopped_populating_leaves_nothing(problem, tmp_path, monkeypatch, stopped):
    inputs, file = tmp_path / "in.npz", tmp_path / "new" / "cube.h5"
    file.parent.mkdir()
    names = ("tem_pix", "obs_pix", "vel_pix", "losvd", "datacube", "templates")
    np.savez(inputs, **{name: getattr(problem, name) for name in names})
    where = (h5py.Group, "create_dataset")
    assert "populates it" in stopped(where, raising, "populate", inputs, file, "--quiet")
    assert files_beside(file) == []
    assert run_main(monkeypatch, "populate", inputs, file, "--quiet") == 0


def test_a_stopped_build_keeps_its_tiles(populated, monkeypatch, capsys, stopped):
    stopped(ADVANCE, raising, "build", populated, "--s-chunk", 1, "--quiet")
    assert run_main(monkeypatch, "build", populated, "--quiet") == 0
    built = int(capsys.readouterr().out.split(" of them in this call")[0].split()[-1])
    assert 0 < built < 35


def test_a_stopped_demo_keeps_its_tiles(tmp_path, stopped):
    said = stopped(ADVANCE, raising, "demo", "--out", tmp_path / "demo", "--quiet")
    assert "1 of 24 tiles" in said
    assert file_status(tmp_path / "demo" / "cube.h5").build.tiles_done == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP])
def test_a_signal_before_the_work_has_the_code_to_requeue_on(monkeypatch, capsys, number):
    monkeypatch.setattr("cubefit.store.file_status.file_status", raising_openly(number))
    assert run_main(monkeypatch, "status", "cube.h5") == 75
    assert capsys.readouterr().err == "Stopped: that was the last look.\n"


@pytest.mark.parametrize(("number", "code"), STOPS)
def test_a_signal_while_the_program_loads_has_its_exit_code(monkeypatch, number, code):
    loading = SimpleNamespace(main=raising_openly(number))
    monkeypatch.setitem(sys.modules, "cubefit.cli.root", loading)
    with pytest.raises(SystemExit) as ended:
        program.main()
    assert ended.value.code == code
    after = DEFAULTS | {signal.SIGINT: signal.SIG_IGN}
    assert {n: signal.getsignal(n) for n in SIGNALS} == after


def test_ctrl_c_after_the_work_does_not_kill():
    """As while Python tidies up, which takes a second with large libraries."""
    code = """if True:
        import os, signal, sys
        from cubefit.__main__ import main

        sys.argv = ["cubefit", "--version"]
        try:
            main()
        finally:
            os.kill(os.getpid(), signal.SIGINT)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("cubefit ")
    assert done.stderr == ""


def test_an_ignored_hangup_stays_ignored(monkeypatch, capsys, fitted):
    """As under nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    monkeypatch.setattr(Progress, "advance", lambda *_: os.kill(os.getpid(), signal.SIGHUP))
    assert run_main(monkeypatch, "compress", fitted, "--quiet") == 0
    assert "take" in capsys.readouterr().out
