"""``cubefit build`` and ``cubefit fit``: results, exit codes, and how they go on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import pytest
from typer.testing import CliRunner

from cubefit import cli
from cubefit.errors import StoppedError
from cubefit.pipeline_runner import PipelineRunner
from cubefit.store.file_status import file_status


def run(*arguments):
    return CliRunner().invoke(cli.app, [str(a) for a in arguments])


def test_build_then_fit(populated):
    built = run("build", populated, "--s-chunk", 3, "--quiet")
    assert built.exit_code == 0
    assert "15 tiles done, 15 of them in this call" in " ".join(built.output.split())
    fitted = run("fit", populated, "--method", "kaczmarz", "--epochs", 2, "--quiet")
    assert fitted.exit_code == 0
    assert "after epoch 2, RMSE" in fitted.output
    with h5py.File(populated) as file:
        assert file["/X_global"].attrs["epochs_total"] == 2


def test_a_fit_goes_on_unless_it_is_to_be_fresh(populated):
    run("fit", populated, "--method", "kaczmarz", "--epochs", 2, "--quiet")
    assert (
        "after epoch 5"
        in run("fit", populated, "--method", "kaczmarz", "--epochs", 3, "--quiet").output
    )
    assert (
        "after epoch 1"
        in run("fit", populated, "--method", "kaczmarz", "--epochs", 1, "--fresh", "--quiet").output
    )


@pytest.mark.parametrize(
    ("stop", "code"), [(KeyboardInterrupt(), 130), (StoppedError("Stopped by SIGTERM: x"), 75)]
)
def test_stops_have_exit_codes_of_their_own(populated, monkeypatch, stop, code):
    def raising(*_args, **_options):
        raise stop

    monkeypatch.setattr(PipelineRunner, "solve_all", raising)
    monkeypatch.setattr("cubefit.hypercube_builder.build_hypercube", raising)
    assert run("fit", populated).exit_code == code
    assert run("build", populated).exit_code == code


def test_a_terminated_fit_asks_to_be_run_again(populated):
    """As a batch system does it: the signal, exit code 75, the same command."""
    code = "from cubefit.cli import main; main()"
    options = ["--method", "kaczmarz", "--epochs", "4000", "--quiet"]
    command = [sys.executable, "-c", code, "fit", str(populated), *options]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        while (fit := file_status(populated).fit) is None or not fit.n_rows:
            time.sleep(0.05)
        process.send_signal(signal.SIGUSR1)
        _, said = process.communicate()
    assert process.returncode == 75
    assert "Stopped by SIGUSR1" in said
    assert "the same call goes on from there" in said
    with h5py.File(populated) as file:
        assert "X_global" not in file
        assert file["/Fit/checkpoints/latest/record"][()]


def test_workers_build_shards_that_are_gathered(populated):
    built = run("build", populated, "--s-chunk", 3, "--workers", 2, "--quiet")
    assert built.exit_code == 0
    assert "15 tiles done, 15 of them in this call" in " ".join(built.output.split())
    with h5py.File(populated) as file:
        assert file["/HyperCube/models"].is_virtual
    assert "out of 3 shards" in " ".join(run("gather", populated, "--quiet").output.split())
    with h5py.File(populated) as file:
        assert not file["/HyperCube/models"].is_virtual
    again = run("gather", populated, "--quiet")
    assert "holds its HyperCube already" in " ".join(again.output.split())


def test_a_cluster_needs_dask(populated, monkeypatch):
    monkeypatch.setitem(sys.modules, "cubefit.distributed.connection", None)
    refused = run("build", populated, "--workers", 2)
    assert refused.exit_code == 1
    assert 'pip install "cubefit[distributed]"' in " ".join(refused.stderr.split())


SLOW = """
import sys
from contextlib import contextmanager
from cubefit.cli import main
from cubefit.distributed import building, connection
from tests.faults.victims import slow_down

connected = connection.connected

@contextmanager
def slow(*arguments, **settings):
    with connected(*arguments, **settings) as client:
        client.run(slow_down, 0.2)
        yield client

connection.connected = slow
building.TURN_S = 0.1
main()
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 75)])
def test_a_signal_to_all_processes_of_a_build_on_workers(populated, number, code):
    """As Ctrl-C in a terminal, or the end of a batch job: the workers get it, too."""
    options = ["--s-chunk", "3", "--workers", "2", "--quiet"]
    with subprocess.Popen(
        [sys.executable, "-c", SLOW, "build", str(populated), *options],
        cwd=Path(__file__).parents[2],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        while (build := file_status(populated).build) is None or not build.tiles_done:
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        os.killpg(process.pid, number)
        _, said = process.communicate()
    assert process.returncode == code, said
    assert "tiles of" in said
    assert "Traceback" not in said
    assert run("build", populated, "--quiet").exit_code == 0
