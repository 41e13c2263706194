"""A process that takes messages: whatever becomes of it, the sender neither waits nor fails."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cubefit import writer_process
from cubefit.writer_process import DEPTH, RESTARTS, WriterProcess

PATIENT_S = 60.0
"""Longer than anything here takes."""

TARGETS = """
import os
from multiprocessing.connection import Connection
from pathlib import Path

def messages(connection, folder):
    with open(folder / "pids", "a") as file:
        print(os.getpid(), file=file, flush=True)
    while True:
        try:
            message = connection.recv()
        except EOFError:
            (folder / "eof").touch()
            return
        if message is None:
            connection.send(True)
            return
        yield message

def write(descriptor):
    '''Append every message to a file; die of one that says so, the first time that it comes.'''
    with Connection(descriptor) as connection:
        folder = Path(connection.recv())
        for message in messages(connection, folder):
            if message == "die" and not (folder / "died").exists():
                (folder / "died").touch()
                os._exit(3)
            if message == "die always":
                os._exit(4)
            with open(folder / "taken", "a") as file:
                print(message, file=file, flush=True)
            if message == "complain":
                connection.send("the disk is full")

def deny(descriptor):
    '''Say at the end that the last message was not dealt with.'''
    with Connection(descriptor) as connection:
        folder = connection.recv()
        while connection.recv() is not None:
            pass
        connection.send(False)

def die_at_once(descriptor):
    os._exit(5)

def linger(descriptor):
    '''Answer, and then not end.'''
    with Connection(descriptor) as connection:
        connection.recv()
        while connection.recv() is not None:
            pass
        connection.send(True)
        os.kill(os.getpid(), 19)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "cubefit_targets.py").write_text(TARGETS)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.fixture
def start(folder):
    """Start writers that end with the test."""
    made = []

    def make(target="write", **settings):
        made.append(WriterProcess(f"cubefit_targets:{target}", str(folder), **settings))
        return made[-1]

    yield make
    for writer in made:
        writer.close(PATIENT_S)


def wait_until(condition):
    deadline = time.monotonic() + PATIENT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def taken(folder):
    path = folder / "taken"
    return path.read_text().split("\n")[:-1] if path.exists() else []


def offer_all(writer, messages):
    for message in messages:
        wait_until(lambda message=message: writer.offer(message))


def test_every_message_arrives_in_order(start, folder):
    writer = start()
    offer_all(writer, range(30))
    assert writer.close(PATIENT_S) is True
    assert taken(folder) == [str(n) for n in range(30)]
    with pytest.raises(ProcessLookupError):
        os.kill(writer.pid, 0)


def test_closing_twice_is_closing_once(start, folder):
    writer = start()
    offer_all(writer, "ab")
    assert [writer.close(PATIENT_S) for _ in range(3)] == [True] * 3
    assert writer.close(0.0) is True
    assert writer.offer("c") is False
    assert taken(folder) == ["a", "b"]


def test_nothing_is_left_behind(start, folder):
    before = len(list(Path("/proc/self/fd").iterdir())), threading.active_count()
    for target in ("write", "die_at_once"):
        writer = start(target)
        writer.offer("a")
        writer.close(PATIENT_S)
    assert (len(list(Path("/proc/self/fd").iterdir())), threading.active_count()) == before


def test_the_last_word_is_whether_the_last_message_was_dealt_with(start):
    writer = start("deny")
    offer_all(writer, "ab")
    assert writer.close(PATIENT_S) is False


def test_signals_of_a_whole_job_do_not_reach_it(start, folder):
    writer = start()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        os.kill(writer.pid, number)
    offer_all(writer, "ab")
    assert writer.close(PATIENT_S) is True
    assert taken(folder) == ["a", "b"]
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()


@pytest.mark.parametrize("death", ["by itself", "by SIGKILL"])
def test_one_that_died_is_started_anew(start, folder, caplog, death):
    writer = start()
    offer_all(writer, ["a"])
    wait_until(lambda: taken(folder) == ["a"])
    if death == "by itself":
        offer_all(writer, ["die"])
    else:
        os.kill(writer.pid, signal.SIGKILL)
    # What the dead one had not read is lost, so ask until one answers.
    wait_until(lambda: writer.offer("again") and taken(folder)[-1] == "again")
    assert writer.close(PATIENT_S) is True
    code = 3 if death == "by itself" else -9
    assert caplog.messages == [f"The tracker died (code {code}) and is started anew."]
    assert len(set((folder / "pids").read_text().split())) == 2


def test_one_that_dies_again_and_again_is_tried_again_after_an_hour(start, folder, monkeypatch):
    writer = start()
    wait_until(lambda: not writer.offer("die always"))
    monkeypatch.setattr(writer_process, "HOUR_S", 0.0)
    offer_all(writer, ["a"])
    wait_until(lambda: (folder / "pids").read_text().count("\n") > 1 + RESTARTS)
    assert writer.has_lost()
    assert not writer.has_lost()


def test_one_that_dies_again_and_again_is_given_up(start, folder, caplog):
    writer = start()
    wait_until(lambda: not writer.offer("die always") and "again" in caplog.text)
    assert writer.offer("a") is False
    assert writer.close(PATIENT_S) is False
    assert caplog.messages == [
        "The tracker died (code 4) and is started anew.",
        "The tracker died again (code 4): no metrics for an hour.",
    ]
    assert len((folder / "pids").read_text().split()) == 1 + RESTARTS


@pytest.mark.parametrize("n_waiting", [0, 1, DEPTH + 1])
def test_closing_one_that_cannot_live_does_not_wait(start, n_waiting):
    """It dies before it greets: no answer will ever come, and the queue stays full."""
    writer = start("die_at_once")
    for n in range(n_waiting):
        writer.offer(n)
    # Were it to wait for an answer, this would be for an hour.
    assert writer.close(3600.0) is False


def test_what_a_process_had_got_when_it_died_is_not_taken_for_done(start, folder):
    writer = start()
    offer_all(writer, ["a"])
    wait_until(lambda: taken(folder) == ["a"])
    os.kill(writer.pid, signal.SIGSTOP)
    offer_all(writer, ["b"])
    wait_until(lambda: writer._queue.qsize() == 0)
    os.kill(writer.pid, signal.SIGKILL)
    assert writer.close(PATIENT_S) is False
    assert taken(folder) == ["a"]


def test_one_that_cannot_be_started_costs_the_metrics_only(start, monkeypatch, caplog):
    def refuse(*_args, **_settings):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    writer = start()
    assert writer.pid is None
    assert [writer.offer(n) for n in range(20)] == [False] * 20
    assert writer.close(PATIENT_S) is False
    assert len(caplog.messages) == 1
    assert "cannot be started ([Errno 11] Resource temporarily unavailable)" in caplog.text


def test_one_that_cannot_be_started_anew_is_given_up(start, monkeypatch, caplog):
    writer = start()

    def refuse(*_args, **_settings):
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    os.kill(writer.pid, signal.SIGKILL)
    wait_until(lambda: not writer.offer("a") and "cannot be started" in caplog.text)
    assert writer.close(PATIENT_S) is False
    assert len(caplog.messages) == 2


def test_one_that_hangs_loses_messages_and_is_said_to(start, folder, monkeypatch, caplog):
    monkeypatch.setattr(writer_process, "PATIENCE_S", 0.05)
    writer = start()
    offer_all(writer, ["a"])
    wait_until(lambda: taken(folder) == ["a"])
    os.kill(writer.pid, signal.SIGSTOP)
    big = "x" * 1_000_000
    wait_until(lambda: not writer.offer(big))
    assert writer._queue.qsize() == DEPTH
    wait_until(lambda: not writer.offer(big) and caplog.messages)
    assert [writer.offer(big) for _ in range(1000)] == [False] * 1000
    assert caplog.messages == ["The tracker does not keep up (slow disk?): metrics are lost."]
    monkeypatch.setattr(writer_process, "PATIENCE_S", PATIENT_S)
    assert writer.close(0.05) is False
    assert caplog.messages[1:] == ["The tracker hangs and was ended: its last metrics are lost."]
    with pytest.raises(ProcessLookupError):
        os.kill(writer.pid, 0)
    assert not writer._thread.is_alive()


def test_one_that_hung_for_a_while_goes_on(start, folder, caplog):
    writer = start()
    offer_all(writer, ["a"])
    wait_until(lambda: taken(folder) == ["a"])
    os.kill(writer.pid, signal.SIGSTOP)
    wait_until(lambda: not writer.offer("x" * 1_000_000))
    os.kill(writer.pid, signal.SIGCONT)
    offer_all(writer, ["b"])
    assert writer.close(PATIENT_S) is True
    assert taken(folder)[-1] == "b"
    assert caplog.messages == []


def test_one_that_does_not_end_is_ended(start):
    writer = start("linger")
    offer_all(writer, ["a"])
    assert writer.close(1.0) is True
    with pytest.raises(ProcessLookupError):
        os.kill(writer.pid, 0)


def test_complaints_are_said_once(start, folder, caplog):
    writer = start()
    for n in range(1, 4):
        offer_all(writer, ["complain"])
        wait_until(lambda n=n: len(taken(folder)) == n)
    assert writer.close(PATIENT_S) is True
    assert caplog.messages == ["The tracker: the disk is full"]


def test_what_is_inherited_stays_open_as_long_as_it_lives(start):
    ours, theirs = os.pipe()
    os.set_blocking(ours, False)
    writer = start(inherited=(theirs,))
    os.close(theirs)
    with pytest.raises(BlockingIOError):
        os.read(ours, 1)
    writer.close(PATIENT_S)
    assert os.read(ours, 1) == b""
    os.close(ours)


def test_it_ends_when_its_parent_is_killed(folder):
    program = (
        "import os, signal, sys; sys.path.insert(0, sys.argv[1])\n"
        "from cubefit.writer_process import WriterProcess\n"
        "writer = WriterProcess('cubefit_targets:write', sys.argv[1])\n"
        "assert writer.offer('a')\n"
        "while not os.path.exists(sys.argv[1] + '/taken'): pass\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, folder], check=False)
    assert done.returncode == -signal.SIGKILL
    wait_until((folder / "eof").exists)
    assert taken(folder) == ["a"]


def test_a_search_path_that_holds_a_path_is_taken(tmp_path, monkeypatch):
    (tmp_path / "other.py").write_text(
        "from pathlib import Path\n"
        f"def touch(descriptor): Path({str(tmp_path / 'there')!r}).touch()\n"
    )
    monkeypatch.setattr(sys, "path", [*sys.path, tmp_path])
    WriterProcess("other:touch", None).close(PATIENT_S)
    assert (tmp_path / "there").exists()
