"""The batch script, run with stand-ins for Slurm's own commands."""

import os
import subprocess
import sys
from pathlib import Path

import h5py
import pytest

SCRIPT = Path(__file__).parent.parent / "examples" / "slurm" / "cubefit.sbatch"

SRUN = """#!{python}
import os, signal, subprocess, sys, time
from pathlib import Path
from cubefit.store.file_status import file_status
code = "import sys; sys.argv[0] = 'cubefit'; from cubefit.cli import main; main()"
assert sys.argv[1] == "cubefit"
process = subprocess.Popen([sys.executable, "-c", code, *sys.argv[2:]])
if os.environ.get("TIME_IS_UP") == sys.argv[2]:
    file = Path(sys.argv[3])
    while (fit := file_status(file).fit) is None or not fit.n_rows:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGUSR1)
sys.exit(process.wait())
"""
SCONTROL = """#!/bin/bash
echo "$@" >> "$SLURM_LOG"
"""


@pytest.fixture
def submit(tmp_path):
    """Run the script as a job; return its exit code and what it told Slurm."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in (("srun", SRUN.format(python=sys.executable)), ("scontrol", SCONTROL)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    log = tmp_path / "log"

    def run(*arguments, time_is_up_in=""):
        log.write_text("")
        environment = os.environ | {
            "PATH": f"{folder}:{os.environ['PATH']}",
            "SLURM_JOB_ID": "42",
            "SLURM_LOG": str(log),
            "TIME_IS_UP": time_is_up_in,
        }
        command = ["bash", SCRIPT, *map(str, arguments)]
        return subprocess.run(command, env=environment, check=False).returncode, log.read_text()

    return run


def test_a_job_whose_time_is_up_is_queued_again_and_completed(populated, submit):
    sweeps = ("--method", "kaczmarz", "--epochs", 100_000)
    assert submit(populated, *sweeps, time_is_up_in="fit") == (0, "requeue 42\n")
    with h5py.File(populated) as file:
        assert file["/HyperCube/_done"][()].all()
        assert "X_global" not in file
    assert submit(populated) == (0, "")
    with h5py.File(populated) as file:
        assert file["/X_global"].attrs["gap_rel"] <= 1e-6


def test_an_error_ends_the_job(tmp_path, submit):
    assert submit(tmp_path / "missing.h5") == (1, "")
