import errno
import io
import logging
import sys
from contextlib import contextmanager
from types import SimpleNamespace

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
        "Building: 15 %, 30 s, about 170 s left, so far",
        "Building: 30 %, 60 s, about 140 s left, so far",
        "Building: 45 %, 90 s, about 110 s left, so far",
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
    assert caplog.messages == ["Silent: 50 %, 2 s, about 2 s left"]


def test_a_log_that_cannot_be_written_ends_no_fit(monkeypatch):
    def refuse(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    full = io.StringIO()
    full.write = refuse
    monkeypatch.setattr(sys, "stderr", full)
    with plain_script(), visible_log(True):
        LOGGER.info("on a full disk")


class Output:
    """An output of a cell: every state that it had."""

    def __init__(self, bundle):
        self.states = [bundle]

    def update(self, bundle, raw):
        assert raw
        self.states.append(bundle)


@pytest.fixture
def notebook(monkeypatch):
    """A stand-in for the kernel of a notebook; what its cells show."""
    outputs = []

    def display(bundle, raw, display_id):
        assert raw
        assert display_id
        outputs.append(Output(bundle))
        return outputs[-1]

    kernel = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=1))
    monkeypatch.setitem(sys.modules, "IPython", kernel)
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=display))
    return outputs


def test_a_notebook_has_one_output_that_changes_twice_a_second(notebook, clock, caplog):
    caplog.set_level(logging.INFO, "cubefit")
    with Progress("Building", 1000, verbose=True, interval_s=0.1) as bar:
        for n in range(1000):
            clock[0] += 0.01
            bar.advance(1, f"<tile {n}>")
    (output,) = notebook
    assert 19 <= len(output.states) <= 22
    assert output.states[0]["text/plain"] == "Building: 0 %, 0 s, about 10 s left, <tile 0>"
    assert output.states[-1] == {
        "text/plain": "Building: 100 %, 10 s, <tile 999>",
        "text/html": '<progress max="1" value="1.0000"></progress> '
        "Building: 100 %, 10 s, &lt;tile 999&gt;",
    }
    assert caplog.messages == []


def test_a_notebook_shows_nothing_of_work_without_steps(notebook):
    with Progress("Building", 3, verbose=True):
        pass
    assert notebook == []


def test_a_quiet_notebook_shows_nothing(notebook):
    with Progress("Building", 3, verbose=False) as bar:
        bar.advance(3)
    assert notebook == []


def test_ipython_in_a_terminal_has_the_bar_of_a_terminal(monkeypatch):
    shell = SimpleNamespace(get_ipython=SimpleNamespace)
    monkeypatch.setitem(sys.modules, "IPython", shell)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Progress("Sweeping", 4, verbose=True) as bar:
        bar.advance(4, "rmse [1.0]")
    assert "rmse [1.0]" in terminal.getvalue()


def test_in_a_real_notebook_a_build_and_a_fit_are_readable(populated):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    cells = (
        f"import cubefit\npath = {str(populated)!r}\n_ = cubefit.build_hypercube(path, S_chunk=1)",
        "_ = cubefit.PipelineRunner(path).solve_all(epochs=3)",
        "cubefit.file_status(path)",
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    nbclient.NotebookClient(notebook, timeout=100, kernel_name="python3").execute()
    build, fit, status = (cell.outputs for cell in notebook.cells)
    for outputs, label in ((build, "Building"), (fit, "Kaczmarz")):
        bars = [o.data["text/plain"] for o in outputs if o.output_type == "display_data"]
        assert len(bars) == 1
        assert bars[0].startswith(f"{label}: 100 %")
        lines = [o.text for o in outputs if o.output_type == "stream"]
        assert 1 <= sum(text.strip().count("\n") + 1 for text in lines) <= 8
        assert "ipywidgets" not in "".join(lines)
    (table,) = (o.data["text/html"] for o in status)
    assert "35 of 35 tiles (100 %)" in table
    assert "epoch 3" in table
