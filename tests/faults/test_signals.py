"""Signals of a batch system, and Ctrl-C, at random times: a safe stop that says how to go on."""

import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

from cubefit.errors import EXIT_REQUEUE
from tests.faults import judge
from tests.faults.processes import DEADLINE_S

BUILD = """
import sys, time
from functools import partial
from cubefit import hypercube_builder
from cubefit.store.tiles import TileWriter
from tests.faults.victims import TILES
class Slow(TileWriter):
    def write(self, index, values):
        print(index, flush=True)
        time.sleep(0.02)
        super().write(index, values)
hypercube_builder.TileWriter = Slow
hypercube_builder.build_hypercube(sys.argv[1], **TILES, verbose=False)
"""
FIT = """
import sys, time
from cubefit.pipeline_runner import PipelineRunner
from tests.faults.victims import AT_EVERY_STATE, FIT
def slow(rmse):
    print(rmse, flush=True)
    time.sleep(0.02)
PipelineRunner(sys.argv[1]).solve_all(**FIT, verbose=False, tracker=AT_EVERY_STATE, on_batch=slow)
"""
WORK = {"build": (BUILD, judge.built), "fit": (FIT, judge.fitted)}
CODES = {
    signal.SIGTERM: EXIT_REQUEUE,
    signal.SIGUSR1: EXIT_REQUEUE,
    # Python's own end by Ctrl-C, which a shell shows as 130.
    signal.SIGINT: -signal.SIGINT,
}


def stopped_at_random(script, path, number, rng):
    """Run a script, send it a signal some time after it has begun to work; return code and words.

    One that was stopped after its last step has nothing to do but to end.
    """
    with subprocess.Popen(
        [sys.executable, "-c", script, path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        if process.stdout.readline():
            time.sleep(rng.uniform(0.0, 0.4))
            process.send_signal(number)
        _, words = process.communicate(timeout=DEADLINE_S)
    return process.returncode, words


@pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)
@pytest.mark.parametrize("work", WORK)
def test_stopped_at_random_times_it_ends_the_same(work, number, expected, tmp_path):
    script, complete = WORK[work]
    path = tmp_path / "only" / "cube.h5"
    path.parent.mkdir()
    shutil.copy(expected.populated if work == "build" else expected.built, path)
    before, rng = judge.look(path, expected), random.Random(number)  # noqa: S311
    code, stops = None, 0
    while code != 0:
        code, words = stopped_at_random(script, path, number, rng)
        now = judge.look(path, expected)
        ended = now.done.all() if work == "build" else now.finished
        if ended and code == -number and not words:
            code = 0  # It came after the work's end, while Python was leaving.
        assert code in (0, CODES[number]), words
        judge.nothing_lost(before, now)
        judge.tidy(path)
        if code:
            stops += 1
            assert f"Stopped by {number.name}: " in words
            # One that came in the last moment finds everything done.
            assert ("the same call goes on" in words) == (not now.finished)
        before = now
        if now.finished:
            break
    assert stops
    complete(path, expected)
