"""What is wrong with a cluster is said before any work, with the mend."""

import json
import os
import threading
import time

import numpy as np
import pytest
from distributed import Client, LocalCluster
from threadpoolctl import threadpool_info

from cubefit.distributed.cluster import Cluster, require_client
from cubefit.distributed.connection import connected
from cubefit.distributed.memory import bytes_of_shares, require_memory
from cubefit.distributed.session import Session, apply
from cubefit.errors import ClusterError, ConfigError

DIMS = {"nSpat": 100_000, "nVel": 20, "nComp": 30, "nPop": 40, "nLSpec": 50}


def blas_of(held):
    """Return the BLAS threads in a task of ours."""
    return [lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"]


def out_of_memory(held):
    raise MemoryError("8 GB asked for")


def die(held):
    os._exit(9)


def test_workers_are_described(client, file_to_fit):
    workers = Cluster(client, file_to_fit).workers
    assert len(workers) == 2
    assert {worker.n_threads for worker in workers} == {1}
    assert all(worker.memory_bytes > 1e8 for worker in workers)


def test_a_file_that_workers_do_not_see_is_named_with_worker_and_mend(
    client, file_to_fit, monkeypatch
):
    monkeypatch.setattr("cubefit.distributed.cluster.fingerprint_of", lambda _: "only here")
    with pytest.raises(ClusterError, match=r"Worker tcp.* does not see .*away.h5 \(2 of 2.*share"):
        Cluster(client, file_to_fit.with_name("away.h5"))


def test_another_file_of_the_same_name_is_told_from_it(client, file_to_fit, monkeypatch):
    monkeypatch.setattr("cubefit.distributed.cluster.fingerprint_of", lambda _: "another")
    with pytest.raises(ClusterError, match="sees another file as"):
        Cluster(client, file_to_fit)


def test_another_version_on_the_workers_is_refused(client, file_to_fit, monkeypatch):
    monkeypatch.setattr("cubefit.distributed.cluster.__version__", "99.0")
    with pytest.raises(ClusterError, match=r"has CubeFit .* this is 99\.0"):
        Cluster(client, file_to_fit)


def test_a_task_takes_the_threads_of_its_worker(session):
    shares = session.cluster.client.map(len, [(1,), (2,)], pure=False)
    found = session.cluster.results(session.submit_each(_blas_alone, shares))
    assert all(threads == 1 for one in found for threads in one)


def _blas_alone(held):
    return apply(held, blas_of, ())


def test_a_worker_without_memory_is_named(session):
    future = session.submit(apply, None, out_of_memory, ())
    with pytest.raises(ClusterError, match=r"Worker tcp.*out of memory.*--memory-limit"):
        session.cluster.result(future)


def test_workers_that_die_of_the_same_task_are_named(file_to_fit):
    with connected(n_workers=1) as client:
        session = Session(Cluster(client, file_to_fit))
        future = session.submit(apply, None, die, ())
        with pytest.raises(ClusterError, match=r"Worker tcp.*died.*out of memory.*--memory-limit"):
            session.cluster.result(future)


class FailsAsPatienceEnds:
    """A future that fails while it is waited for."""

    key = "fit"

    def __init__(self, error):
        self.status, self._error = "pending", error

    def result(self, timeout):
        if self.status == "error":
            assert timeout is None
            raise self._error
        self.status = "error"
        raise TimeoutError(f"timed out after {timeout} s.")


@pytest.mark.parametrize("error", [TimeoutError("of the task"), ZeroDivisionError("of the task")])
def test_what_fails_as_patience_ends_fails_for_its_own_reason(session, error):
    with pytest.raises(type(error), match="of the task"):
        session.cluster.result(FailsAsPatienceEnds(error))


def fill(held):
    """Take more memory than the worker may, for longer than its nanny needs to see it."""
    taken = np.ones(100_000_000)
    time.sleep(20.0)
    return taken.size


def test_a_worker_over_its_limit_is_named(file_to_fit):
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, memory_limit="500MB", dashboard_address=":0"
        ) as cluster,
        Client(cluster) as client,
    ):
        session = Session(Cluster(client, file_to_fit))
        future = session.submit(apply, None, fill, ())
        with pytest.raises(ClusterError, match=r"(0\.5 GB each|is paused).*--memory-limit"):
            session.cluster.result(future)


def test_shares_that_cannot_fit_are_refused_before_they_are_read(session, caplog):
    least, most = bytes_of_shares(DIMS, 2, 2)
    assert least < most
    small = [w._replace(memory_bytes=0.9 * least) for w in session.cluster.workers]
    session.cluster.workers = small
    with pytest.raises(ClusterError, match=r"needs at least .* GB.*--memory-limit"):
        require_memory(session.cluster, DIMS, 2)
    session.cluster.workers = [w._replace(memory_bytes=1.01 * least) for w in small]
    require_memory(session.cluster, DIMS, 2)
    assert "may need up to" in caplog.text
    caplog.clear()
    session.cluster.workers = [w._replace(memory_bytes=1.01 * most) for w in small]
    require_memory(session.cluster, DIMS, 2)
    assert not caplog.text


@pytest.mark.parametrize(("n_shares", "n_workers"), [(1, 1), (4, 1), (7, 2)])
def test_more_workers_or_fewer_spaxels_take_less_of_each(n_shares, n_workers):
    for more in ({"nSpat": 200_000}, {"nComp": 60}, {"nLSpec": 100}):
        bigger = bytes_of_shares(DIMS | more, n_shares, n_workers)
        now = bytes_of_shares(DIMS, n_shares, n_workers)
        assert all(a <= b for a, b in zip(now, bigger, strict=True))
    assert bytes_of_shares(DIMS, n_shares, n_shares)[1] <= bytes_of_shares(DIMS, n_shares, 1)[1]


def test_what_is_no_client_is_refused():
    for wrong in (None, "tcp://127.0.0.1:8786", object()):
        with pytest.raises(ConfigError, match=r"distributed\.Client"):
            require_client(wrong)


def test_a_closed_client_is_refused(client):
    closed = Client(client.scheduler.address)
    closed.close()
    with pytest.raises(ClusterError, match="connect anew"):
        require_client(closed)


@pytest.mark.parametrize(
    ("given", "words"),
    [({}, "Give the address"), ({"scheduler": "tcp://a", "n_workers": 0}, "at least 1"),
     ({"n_workers": 0}, "at least 1")],
)  # fmt: skip
def test_a_cluster_is_an_address_or_a_number(given, words):
    with pytest.raises(ConfigError, match=words), connected(**given):
        pass


def test_an_address_where_nobody_answers_is_named(monkeypatch):
    monkeypatch.setattr("cubefit.distributed.connection.CONNECT_S", 0.5)
    with (
        pytest.raises(ClusterError, match=r"tcp://127\.0\.0\.1:9.*dask scheduler"),
        connected("tcp://127.0.0.1:9"),
    ):
        pass


def test_a_scheduler_file_is_taken(client, tmp_path):
    client.write_scheduler_file(str(tmp_path / "scheduler.json"))
    with connected(str(tmp_path / "scheduler.json")) as other:
        assert other.scheduler.address == client.scheduler.address


def test_a_scheduler_file_is_waited_for(client, tmp_path, monkeypatch):
    place = tmp_path / "later.json"
    text = json.dumps({"address": client.scheduler.address})
    timer = threading.Timer(0.5, place.write_text, [text])
    timer.start()
    with connected(str(place)) as other:
        assert other.scheduler.address == client.scheduler.address
    timer.join()
    monkeypatch.setattr("cubefit.distributed.connection.CONNECT_S", 0.3)
    with pytest.raises(ClusterError, match=r"never\.json.*dask scheduler"):
        connected(str(tmp_path / "never.json")).__enter__()


def test_workers_are_waited_for_by_number(client, monkeypatch):
    address = client.scheduler.address
    with connected(address, 2) as other:
        assert len(other.nthreads()) == 2
    monkeypatch.setattr("cubefit.distributed.connection.QUEUE_WAIT_S", 0.3)
    with pytest.raises(ClusterError, match="2 of 3 workers"), connected(address, 3):
        pass


def test_a_client_that_was_closed_meanwhile_is_a_lost_scheduler(client, file_to_fit):
    own = Client(client.scheduler.address)
    session = Session(Cluster(own, file_to_fit))
    own.close()
    for ask in (
        lambda: session.submit(len, ()),
        lambda: session.submit_each(len, [()]),
        session.moved_bytes,
        session.cluster.n_workers,
    ):
        with pytest.raises(ClusterError, match=r"is lost.*goes on"):
            ask()
