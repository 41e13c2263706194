import errno
import io
import logging
import sys
from contextlib import contextmanager

import pytest
from rich.progress import Progress as UsersBar

from cubefit import progress
from cubefit.progress import Progress, visible_log

LOGGER = logging.getLogger("cubefit")


class Terminal(io.StringIO):
    def isatty(self):
        return True


@contextmanager
def plain_script():
    """Logging as a plain script has it: pytest's own handlers set aside."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logging.getLogger(), "handlers", [])
        patch.setattr(LOGGER, "handlers", [])
        LOGGER.setLevel(logging.NOTSET)
        yield


@pytest.fixture
def clock(monkeypatch):
    """A clock that moves only when told."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_messages_are_shown_on_stderr_where_nobody_set_up_logging(capsys):
    with plain_script():
        LOGGER.info("before")
        with visible_log(verbose=True):
            logging.getLogger("cubefit.store.tiles").info("inside %d", 1)
            with visible_log(verbose=True):
                LOGGER.info("once")
        LOGGER.info("after")
        assert LOGGER.handlers == []
        assert LOGGER.level == logging.NOTSET
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "inside 1\nonce\n"


def test_everything_is_put_back_after_an_error():
    with plain_script():
        with pytest.raises(ZeroDivisionError), visible_log(verbose=True):
            _ = 1 / 0
        assert LOGGER.handlers == []
        assert LOGGER.level == logging.NOTSET


def test_quiet_is_quiet(capsys, clock):
    with (
        plain_script(),
        visible_log(verbose=False),
        Progress("Work", 10, verbose=False) as bar,
    ):
        LOGGER.info("no")
        clock[0] = 1000.0
        bar.advance(5)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("level", [logging.WARNING, logging.INFO])
def test_the_users_logging_is_left_alone(capsys, level):
    stream = io.StringIO()
    with plain_script():
        logging.getLogger().handlers.append(logging.StreamHandler(stream))
        LOGGER.setLevel(level)
        with visible_log(verbose=True):
            LOGGER.info("hello")
            assert LOGGER.level == level
            assert LOGGER.handlers == []
        LOGGER.setLevel(logging.NOTSET)
    assert stream.getvalue() == ("hello\n" if level == logging.INFO else "")
    assert capsys.readouterr().err == ""


def test_one_line_per_interval_where_stderr_is_no_terminal(caplog, clock, capsys):
    caplog.set_level(logging.INFO, "cubefit")
    with Progress("Building", 200, verbose=True, interval_s=30.0) as bar:
        for _ in range(10):
            clock[0] += 10.0
            bar.advance(10, "so far")
    assert caplog.messages == [
        "Building: 15 %, 30 s, about 170 s left so far",
        "Building: 30 %, 60 s, about 140 s left so far",
        "Building: 45 %, 90 s, about 110 s left so far",
    ]
    assert capsys.readouterr() == ("", "")


def test_nothing_is_said_of_short_work(caplog, clock):
    caplog.set_level(logging.INFO, "cubefit")
    with Progress("Quick", 3, verbose=True) as bar:
        bar.advance(3)
    assert caplog.messages == []


def test_a_bar_on_a_terminal_and_no_lines(monkeypatch, capsys, caplog, clock):
    caplog.set_level(logging.INFO, "cubefit")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Progress("Sweeping", 4, verbose=True) as bar:
        for _ in range(4):
            clock[0] += 100.0
            bar.advance(1, "epoch 1")
    shown = terminal.getvalue()
    assert "Sweeping" in shown
    assert "epoch 1" in shown
    assert "100 %" in shown
    assert caplog.messages == []
    assert capsys.readouterr().out == ""


def test_log_lines_stand_above_the_bar(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with (
        plain_script(),
        visible_log(verbose=True),
        Progress("Sweeping", 4, verbose=True) as bar,
    ):
        bar.advance(1)
        LOGGER.info("epoch 1 done")
        assert sys.stderr is not terminal
    assert sys.stderr is terminal
    assert "epoch 1 done\n" in terminal.getvalue().replace("\r", "")


def test_work_inside_a_bar_of_the_users_own(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with UsersBar(), Progress("Ours", 2, verbose=True) as bar:
        bar.advance(2)


def test_without_any_stderr(monkeypatch, caplog, clock):
    """As under pythonw."""
    caplog.set_level(logging.INFO, "cubefit")
    monkeypatch.setattr(sys, "stderr", None)
    with Progress("Silent", 2, verbose=True, interval_s=1.0) as bar:
        clock[0] = 2.0
        bar.advance(1)
    with plain_script(), visible_log(verbose=True):
        LOGGER.info("nobody hears")
    assert caplog.messages == ["Silent: 50 %, 2 s, about 2 s left "]


def test_a_log_that_cannot_be_written_ends_no_fit(monkeypatch):
    def refuse(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    full = io.StringIO()
    full.write = refuse
    monkeypatch.setattr(sys, "stderr", full)
    with plain_script(), visible_log(True):
        LOGGER.info("on a full disk")
