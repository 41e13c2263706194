"""Kills processes of a cluster while a fit runs, and runs fits in processes that are killed.

``python -m tests.distributed.killing 50`` kills 50 workers.
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from cubefit.distributed.connection import connected
from cubefit.pipeline_runner import PipelineRunner

FIT = {"method": "exact", "regularization": 0.3, "n_shares": 3, "verbose": False}
DEADLINE_S = 120.0
START_S = 60.0


def fit(path, client, **settings):
    """Return the fit that all tests of faults make."""
    given = {"warm_start": "zeros", **FIT, **settings}
    return PipelineRunner(path).solve_all(**given, client=client)


@contextmanager
def worker_killer(client, *, seed, most_wait_s, count):
    """Kill a worker, now one and now another, ``count`` times while inside; yield those killed."""
    rng, over, killed = random.Random(seed), threading.Event(), []  # noqa: S311

    def work():
        while len(killed) < count and not over.wait(rng.uniform(0.0, most_wait_s)):
            pids = client.run(os.getpid, on_error="ignore")
            if len(pids) > 1:
                address = rng.choice(sorted(pids))
                os.kill(pids[address], signal.SIGKILL)
                killed.append(address)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join(DEADLINE_S)


@contextmanager
def dask_process(*words):
    """Run ``dask WORDS`` as a batch script would; yield the process."""
    command = [sys.executable, "-m", "dask", *words]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def main(kills):
    """Kill ``kills`` workers during fits, which all end with the bits of an undisturbed one."""
    with tempfile.TemporaryDirectory() as folder, connected(n_workers=2, threads=2) as client:
        path = make_file(make, Path(folder) / "cube.h5")
        expected, _ = fit(path, client, tracker=False)
        n_killed = n_fits = 0
        while n_killed < kills:
            with worker_killer(client, seed=n_fits, most_wait_s=0.6, count=3) as killed:
                x, _ = fit(path, client, tracker=False)
            np.testing.assert_array_equal(x, expected)
            n_killed, n_fits = n_killed + len(killed), n_fits + 1
            print(f"{n_killed} workers killed in {n_fits} fits: the same bits", flush=True)  # noqa: T201


if __name__ == "__main__":
    from tests.conftest import make
    from tests.distributed.conftest import make_file

    main(int(sys.argv[1]))
