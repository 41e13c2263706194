"""Real processes killed during real fits: what is lost is made anew, or can be gone on from."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from distributed import Client
from tests.distributed.killing import DEADLINE_S, START_S, dask_process, fit, worker_killer

from cubefit.distributed import reading
from cubefit.distributed.cluster import Cluster
from cubefit.distributed.connection import connected
from cubefit.errors import ClusterError, StaleError
from cubefit.fit_tracker import TrackerConfig
from cubefit.pipeline_runner import PipelineRunner
from cubefit.store.file_status import file_status

BUSY = TrackerConfig(metrics_interval_sec=0.0, val_interval_sec=0.0, ckpt_interval_sec=0.0)

KILLED_CLIENT = """
import sys, time
from tests.distributed.killing import fit
from tests.distributed.test_fit_faults import BUSY
from cubefit.distributed.connection import connected
from cubefit.store.file_status import file_status

def tell(number, x):
    while number == 4 and ((now := file_status(sys.argv[1]).fit) is None or not now.resumable):
        time.sleep(0.05)
    print(number, flush=True)
    time.sleep(0.1)

if __name__ == "__main__":
    with connected(n_workers=2) as client:
        fit(sys.argv[1], client, tracker=BUSY, warm_start="auto", on_epoch_end=tell)
"""


@pytest.mark.parametrize("seed", [1, 2])
def test_a_fit_whose_workers_are_killed_ends_with_the_same_bits(file_to_fit, seed):
    with connected(n_workers=2, threads=2) as client:
        expected, _ = fit(file_to_fit, client, tracker=False)
        with worker_killer(client, seed=seed, most_wait_s=0.6, count=2) as killed:
            x, stats = fit(file_to_fit, client, tracker=False)
    assert killed
    assert stats["converged"]
    np.testing.assert_array_equal(x, expected)


def note_reads(place, dask_worker):
    """Write down what this worker reads; one that takes its place writes nothing."""
    original = reading.read_model_inputs

    def noted(file, normalization, spaxels):
        with open(place, "a", encoding="utf-8") as log:  # noqa: PTH123
            log.write(f"{os.getpid()} {spaxels.start}\n")
        return original(file, normalization, spaxels)

    reading.read_model_inputs = noted


def test_a_killed_worker_costs_its_own_shares_only(file_to_fit, tmp_path):
    place = tmp_path / "reads"
    with connected(n_workers=2, threads=2) as client:
        client.run(note_reads, str(place))

        def kill_one(number, x):
            if number == 2:
                os.kill(min(client.run(os.getpid).values()), signal.SIGKILL)

        fit(file_to_fit, client, tracker=False, n_shares=4, on_epoch_end=kill_one)
        survivors = {str(pid) for pid in client.run(os.getpid).values()}
    reads = [tuple(line.split()) for line in place.read_text().splitlines()]
    assert {start for _, start in reads} == {"0", "3", "6", "9"}
    kept = [start for pid, start in reads if pid in survivors]
    assert kept
    assert len(kept) == len(set(kept))


def test_a_killed_client_is_gone_on_from_with_other_workers(file_to_fit, client, tmp_path):
    copy = tmp_path / "undisturbed.h5"
    copy.write_bytes(file_to_fit.read_bytes())
    _, expected = fit(copy, client, tracker=False)
    with subprocess.Popen(
        [sys.executable, "-c", KILLED_CLIENT, str(file_to_fit)], stdout=subprocess.PIPE, text=True
    ) as process:
        for line in process.stdout:
            if int(line) >= 4:
                break
        os.kill(process.pid, signal.SIGKILL)
        process.stdout.close()
    status = file_status(file_to_fit)
    assert status.fit.resumable
    with connected(n_workers=1, threads=1) as one:
        _, stats = fit(file_to_fit, one, warm_start="resume", n_shares=1)
    assert stats["warm_start"] == "/Fit/x_latest"
    assert stats["converged"]
    apart = abs(stats["objective"] - expected["objective"])
    assert apart <= max(stats["gap_abs"], expected["gap_abs"])


def test_a_lost_scheduler_is_an_error_that_leaves_a_state_to_go_on_from(file_to_fit, tmp_path):
    place = tmp_path / "scheduler.json"
    with (
        dask_process("scheduler", "--scheduler-file", str(place), "--port", "0",
                     "--dashboard-address", "127.0.0.1:0") as scheduler,
        dask_process("worker", "--scheduler-file", str(place), "--nthreads", "1",
                     "--dashboard-address", "127.0.0.1:0"),
    ):  # fmt: skip
        wait_for(place)
        rounds = []

        def kill_scheduler(number, x):
            rounds.append(number)
            if number == 4:
                scheduler.send_signal(signal.SIGKILL)
                scheduler.wait(DEADLINE_S)

        with (
            connected(str(place)) as client,
            pytest.raises(ClusterError, match=r"is lost.*goes on"),
        ):
            fit(file_to_fit, client, tracker=BUSY, on_epoch_end=kill_scheduler)
    assert rounds[-1] == 4
    status = file_status(file_to_fit)
    assert status.writer is None
    assert status.fit.resumable
    alone = {"method": "exact", "regularization": 0.3, "verbose": False}
    _, stats = PipelineRunner(file_to_fit).solve_all(**alone)
    assert stats["warm_start"] == "/Fit/x_latest"
    assert stats["converged"]


def test_without_any_worker_left_it_ends_with_an_error(file_to_fit, tmp_path, monkeypatch):
    monkeypatch.setattr("cubefit.distributed.cluster.WORKER_WAIT_S", 3.0)
    place = tmp_path / "scheduler.json"
    with (
        dask_process("scheduler", "--scheduler-file", str(place), "--port", "0",
                     "--dashboard-address", "127.0.0.1:0"),
        dask_process("worker", "--scheduler-file", str(place), "--nthreads", "1", "--no-nanny",
                     "--dashboard-address", "127.0.0.1:0") as worker,
    ):  # fmt: skip
        wait_for(place)
        with connected(str(place)) as client:
            client.wait_for_workers(1, timeout=START_S)
            timer = threading.Timer(0.2, worker.kill)

            def kill_soon(number, x):
                if number == 3:
                    timer.start()
                time.sleep(0.1)

            with pytest.raises(ClusterError, match=r"No worker is left.*goes on"):
                fit(file_to_fit, client, tracker=BUSY, on_epoch_end=kill_soon)
    assert file_status(file_to_fit).fit.resumable


def test_a_cluster_of_a_batch_script_is_an_address(file_to_fit, tmp_path):
    place = tmp_path / "scheduler.json"
    with (
        dask_process("scheduler", "--scheduler-file", str(place), "--port", "0",
                     "--dashboard-address", "127.0.0.1:0"),
        dask_process("worker", "--scheduler-file", str(place), "--nworkers", "2", "--nthreads", "1",
                     "--dashboard-address", "127.0.0.1:0"),
    ):  # fmt: skip
        wait_for(place)
        with Client(scheduler_file=str(place), timeout=START_S) as client:
            client.wait_for_workers(2, timeout=START_S)
            address = client.scheduler.address
        with connected(address) as client:
            _, stats = fit(file_to_fit, client)
    assert stats["converged"]


def wait_for(path):
    """Wait until a file is there."""
    end = time.monotonic() + START_S
    while not path.exists() or not path.stat().st_size:
        assert time.monotonic() < end
        time.sleep(0.05)


def test_all_workers_lost_at_once_come_back_to_the_same_bits(file_to_fit):
    with connected(n_workers=2, threads=2) as client:
        expected, _ = fit(file_to_fit, client, tracker=False)

        def kill_all(number, x):
            if number == 2:
                for pid in client.run(os.getpid).values():
                    os.kill(pid, signal.SIGKILL)

        x, stats = fit(file_to_fit, client, tracker=False, on_epoch_end=kill_all)
    assert stats["converged"]
    np.testing.assert_array_equal(x, expected)


def test_a_file_that_is_replaced_meanwhile_is_never_mixed_with_the_first(
    file_to_fit, make_problem, tmp_path
):
    other = make_problem(S=12, L=60, seed=5).populate(tmp_path / "other.h5")
    with connected(n_workers=2, threads=2) as client:

        def replace(number, x):
            if number == 2:
                other.replace(file_to_fit)
                for pid in client.run(os.getpid).values():
                    os.kill(pid, signal.SIGKILL)

        with pytest.raises(StaleError, match="was replaced by another file"):
            fit(file_to_fit, client, tracker=False, on_epoch_end=replace)


def test_workers_that_are_full_are_named_not_waited_for(file_to_fit, client, monkeypatch):
    monkeypatch.setattr("cubefit.distributed.cluster.PAUSE_WAIT_S", 0.0)
    monkeypatch.setattr("cubefit.distributed.cluster.status_by_address", all_paused)
    with pytest.raises(ClusterError, match=r"Worker tcp.* is paused by Dask.*--memory-limit"):
        Cluster(client, file_to_fit).patience()()


def all_paused(dask_scheduler):
    return dict.fromkeys(dask_scheduler.workers, "paused")
