import os
import subprocess
import sys

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from cubefit.threads import blas_threads, usable_cores


def in_force():
    np.ones((2, 2)) @ np.ones((2, 2))
    return {i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas"}


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_count_holds_inside_and_only_there(count, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)), raising=False)
    before = in_force()
    with blas_threads(count):
        assert in_force() == {count}
    assert in_force() == before


def test_no_more_threads_than_usable_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1}, raising=False)
    with blas_threads(1000):
        assert in_force() == {2}


def test_an_error_gives_the_threads_back():
    before = in_force()
    with pytest.raises(ZeroDivisionError), blas_threads(1):
        _ = 1 / 0
    assert in_force() == before


def test_none_takes_the_usable_cores_at_most(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {3}, raising=False)
    assert usable_cores() == 1
    with threadpool_limits(4, user_api="blas"):
        with blas_threads(None):
            assert in_force() == {1}
        assert in_force() == {4}


def test_none_keeps_a_limit_that_is_in_force(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)), raising=False)
    with threadpool_limits(1, user_api="blas"), blas_threads(None):
        assert in_force() == {1}
    with blas_threads(3), blas_threads(None):
        assert in_force() == {3}


def test_systems_without_affinity(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    assert usable_cores() == 5
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cores() == 1


def test_the_environment_of_a_cluster_job_is_respected():
    """A batch system exports OMP_NUM_THREADS: more threads than that are a neighbour's cores."""
    code = """
import numpy
from threadpoolctl import threadpool_info
from cubefit.threads import blas_threads
with blas_threads(None):
    print({i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas"})
"""
    limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    result = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | limits,
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout == "{1}\n"
