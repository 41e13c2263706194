"""The server: where it listens, and what becomes of it."""

import signal
import socket
import subprocess
import sys
import threading
import urllib.request

import pytest
from bokeh.client import pull_session

from cubefit.dashboard.server import DashboardServer, free_port, name_of, own_origins
from cubefit.errors import ConfigError
from cubefit.live import LiveFile
from cubefit.live.file import REST
from cubefit.live.galaxy import read_galaxy


@pytest.fixture
def start():
    """Start ``cubefit dashboard`` with arguments; none outlives the test."""
    running = []

    def start(*arguments):
        command = [sys.executable, "-m", "cubefit", "dashboard", *map(str, arguments)]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def url_of(process):
    line = process.stdout.readline()
    return next(word for word in line.split() if word.startswith("http"))


def test_viewers_get_a_page_each_from_loopback_only(start, galaxy_file):
    url = url_of(start(galaxy_file, "--port", "0"))
    assert url.startswith("http://127.0.0.1:")
    with urllib.request.urlopen(url) as answer:  # noqa: S310
        assert b"<title>" in answer.read()
    sessions = [pull_session(url=url) for _ in range(3)]
    titles = {session.document.title for session in sessions}
    assert titles == {"CubeFit · cube.h5"}
    for session in sessions:
        session.close()
    port = int(url.rsplit(":", 1)[1].strip("/"))
    with socket.socket() as probe, pytest.raises(OSError, match=r"refused|unreachable|assign"):
        probe.connect(("127.0.0.2", port))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_without_a_traceback(start, galaxy_file, number):
    process = start(galaxy_file, "--port", "0")
    url_of(process)
    process.send_signal(number)
    _, complaint = process.communicate(timeout=30)
    assert complaint == ""
    assert process.returncode == (0 if number == signal.SIGINT else 75)


def test_a_port_in_use_is_one_sentence(start, galaxy_file):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = start(galaxy_file, "--port", port)
        _, complaint = process.communicate(timeout=30)
    assert process.returncode == 1
    assert f"Cannot listen on 127.0.0.1 port {port}" in " ".join(complaint.split())
    assert "--port 0" in complaint
    assert "Traceback" not in complaint


@pytest.mark.parametrize("host", ["256.1.1.1", "no-such-host.invalid"])
def test_an_address_that_is_not_ours_is_refused(host, tmp_path):
    with pytest.raises(ConfigError, match="Cannot listen on"):
        DashboardServer(tmp_path / "cube.h5", host=host, port=free_port("127.0.0.1"))


@pytest.mark.parametrize("origin", ["localhost:web", "localhost", ":80", "http://localhost:80"])
def test_wrong_origins_are_refused(tmp_path, origin):
    with pytest.raises(ConfigError, match="is no HOST:PORT"):
        DashboardServer(tmp_path / "cube.h5", port=0, origins=[origin])


def test_browsers_may_come_by_the_names_of_the_address():
    assert own_origins("127.0.0.1", 5006) == ["127.0.0.1:5006", "localhost:5006"]
    others = own_origins("0.0.0.0", 81)  # noqa: S104
    assert f"{socket.gethostname()}:81" in others
    assert "localhost:81" in others
    assert all(":81" in origin for origin in own_origins("::1", 81))


def test_the_address_that_is_told_is_one_that_browsers_may_use():
    for host in ("127.0.0.1", "::1", "0.0.0.0", "::"):  # noqa: S104
        assert f"{name_of(host)}:81" in own_origins(host, 81)


def test_an_error_in_a_look_is_not_the_end_of_looking(galaxy_file, monkeypatch, caplog):
    looks = threading.Semaphore(0)
    monkeypatch.setattr("cubefit.dashboard.server.LOOK_EVERY_S", 0.01)
    with DashboardServer(galaxy_file, port=0) as server:
        server._viewers = 1

        def fail(*, rested):
            assert rested
            looks.release()
            raise ArithmeticError("a bug")

        monkeypatch.setattr(server.live, "refresh", fail)
        assert all(looks.acquire(timeout=30) for _ in range(3))
    assert "could not be looked at; it is tried again" in caplog.text


def test_reading_a_large_galaxy_does_not_make_the_page_rest(galaxy_file, monkeypatch):
    now = iter(range(0, 10_000, 10))
    live = LiveFile(galaxy_file)
    slow = []

    def read(path):
        slow.append(path)
        for _ in range(100):
            next(now)
        return read_galaxy(path)

    monkeypatch.setattr("cubefit.live.file.read_galaxy", read)
    monkeypatch.setattr("cubefit.live.file.time.thread_time", lambda: float(next(now)))
    monkeypatch.setattr("cubefit.live.file.time.monotonic", lambda: 0.0)
    monkeypatch.setattr("cubefit.live.file.LONGEST_REST_S", 1e9)
    assert live.refresh()
    assert slow == [galaxy_file]
    assert live._rested == 10.0 * REST
