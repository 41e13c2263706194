"""The batch script for several nodes, run with stand-ins for Slurm's own commands."""

import os
import subprocess
import sys
from pathlib import Path

import h5py
import pytest

from cubefit.store.file_status import file_status

SCRIPT = Path(__file__).parent.parent / "examples" / "slurm" / "cubefit-dask.sbatch"

# One copy of a program for each task, on one machine; ended, it ends them.
SRUN = """#!{python}
import os, signal, subprocess, sys
command = sys.argv[sys.argv.index("dask"):]
assert "--cpus-per-task=1" in sys.argv
tasks = [subprocess.Popen(command) for _ in range(int(os.environ["SLURM_NTASKS"]))]
signal.signal(signal.SIGTERM, lambda *_: [task.terminate() for task in tasks])
with open(os.environ["TASKS"], "a") as file:
    print(*(task.pid for task in tasks), file=file)
sys.exit(max(task.wait() for task in tasks))
"""
DASK = """#!/bin/bash
exec "{python}" -m dask "$@"
"""
PYTHON = """#!/bin/bash
exec "{python}" "$@"
"""
SCONTROL = """#!/bin/bash
echo "$@" >> "$SLURM_LOG"
"""
# Its time is up in the third round, which Slurm tells the batch shell alone.
CUBEFIT = """#!{python}
import os, signal, sys, time
from cubefit.cli import main
from cubefit.pipeline_runner import PipelineRunner

solve_all = PipelineRunner.solve_all

def tell(number, x):
    if number == 3:
        os.kill(os.getppid(), signal.SIGUSR1)
        time.sleep(1.0)

def solve(runner, **settings):
    return solve_all(runner, on_epoch_end=tell, **settings)

if __name__ == "__main__":
    sys.argv[0] = "cubefit"
    if os.environ["TIME_IS_UP"]:
        PipelineRunner.solve_all = solve
    main()
"""


@pytest.fixture
def submit(tmp_path):
    """Run the script as a job of two tasks; return its exit code and what it told Slurm."""
    folder, log, tasks = tmp_path / "bin", tmp_path / "log", tmp_path / "tasks"
    folder.mkdir()
    programs = {"srun": SRUN, "dask": DASK, "python": PYTHON, "scontrol": SCONTROL}
    for name, text in {**programs, "cubefit": CUBEFIT}.items():
        (folder / name).write_text(text.replace("{python}", sys.executable))
        (folder / name).chmod(0o755)

    def run(*arguments, time_is_up=""):
        log.write_text("")
        environment = os.environ | {
            "PATH": f"{folder}:{os.environ['PATH']}",
            "SLURM_CPUS_PER_TASK": "1",
            "SLURM_JOB_ID": "42",
            "SLURM_LOG": str(log),
            "SLURM_MEM_PER_NODE": "4000",
            "SLURM_NTASKS": "2",
            "TASKS": str(tasks),
            "TIME_IS_UP": time_is_up,
        }
        command = ["bash", SCRIPT, *map(str, arguments)]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, check=False, capture_output=True, text=True
        )
        return done.returncode, log.read_text(), done.stdout + done.stderr

    yield run
    started = [int(pid) for pid in tasks.read_text().split()]
    assert started
    assert not [pid for pid in started if Path(f"/proc/{pid}").exists()]
    assert not list(tmp_path.glob("cubefit-dask-*"))


def test_a_job_whose_time_is_up_is_queued_again_and_completed(populated, submit):
    fit = (populated, "--regularization", 0.3, "--quiet")
    code, told, said = submit(*fit, time_is_up="yes")
    assert (code, told) == (0, "requeue 42\n"), said
    assert "Stopped by SIGUSR1" in said
    assert file_status(populated).fit.resumable
    with h5py.File(populated) as file:
        assert "X_global" not in file
    code, told, said = submit(*fit)
    assert (code, told) == (0, ""), said
    with h5py.File(populated) as file:
        kept = dict(file["/X_global"].attrs)
    assert kept["gap_rel"] <= 1e-6
    assert kept["operator"] == "distributed"
    assert kept["warm_start"] == "/Fit/x_latest"


def test_an_error_ends_the_job(tmp_path, submit):
    code, told, said = submit(tmp_path / "missing.h5", "--quiet")
    assert (code, told) == (1, "")
    assert "does not exist" in said
