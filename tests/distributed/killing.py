"""Kills processes of a cluster while a fit runs, and runs fits in processes that are killed."""

import os
import random
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager

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
