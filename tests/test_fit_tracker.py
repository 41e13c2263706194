"""The tracker of a fit: what it writes, and that the fit never pays for it."""

import errno
import inspect
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from cubefit import fit_tracker
from cubefit.errors import ConfigError, InputError, LockedError, StaleError, StoreError
from cubefit.fit_recorder import Recorder
from cubefit.fit_tracker import FitTracker, TrackerConfig
from cubefit.pipeline_runner import PipelineRunner
from cubefit.store.checkpoints import read_checkpoint
from cubefit.store.fit_group import CAPACITY
from cubefit.store.handle import open_h5
from cubefit.store.lock import lock_path, who_writes
from tests.large_file import MUCH_LESS, enlarge, small_blocks

PATIENT_S = 60.0
"""Longer than anything here takes."""
AT_ONCE = TrackerConfig(metrics_interval_sec=0, val_interval_sec=0, ckpt_interval_sec=0)
SHAPES = {
    "/Fit/x_latest": ((60,), "float64"),
    "/Fit/x_best": ((60,), "float64"),
    "/Fit/x_ring": ((96, 60), "float64"),
    "/Fit/x_vis_ring": ((96, 60), "float32"),
    "/Fit/sample/spaxels": ((7,), "int32"),
    "/Fit/sample/val_pixels": ((32,), "int32"),
}
METRICS = (
    "epoch", "time_sec", "train_rmse_ewma", "val_rmse", "delta_x_rel", "nnz", "l1_norm", "l2_norm",
    "mass_err_L1", "mass_err_Linf", "chi2", "gap_rel",
)  # fmt: skip


def wait_until(condition):
    deadline = time.monotonic() + PATIENT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def x_of(number):
    return number + np.arange(60) / 100.0


def metrics(path, name):
    """Return the rows written of a column."""
    with h5py.File(path, "r", swmr=True) as file:
        n = int(file["/Fit/metrics/n"][()]) if "/Fit" in file else 0
        return file[f"/Fit/metrics/{name}"][:n] if n else np.array([])


def checkpoint(path, which="latest"):
    with h5py.File(path, "r", swmr=True) as file:
        return read_checkpoint(file, which)


def is_running(pid):
    """Whether a process runs; one that nobody has buried yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class Direct:
    """Stands in for the writing process: records at once, in this one."""

    is_gone = True

    def __init__(self, recording):
        self._recorder = Recorder(recording)

    def has_lost(self):
        return False

    def offer(self, moment):
        self._recorder.record(moment)
        return True

    def close(self, _wait_s):
        self._recorder.__exit__()
        self._recorder = Recorder(self._recorder._recording)
        return True


@pytest.fixture
def direct(monkeypatch):
    monkeypatch.setattr(FitTracker, "_start_writer", lambda tracker: Direct(tracker._recording))


class Clock:
    """Time that goes on when it is told to."""

    def __init__(self, monkeypatch):
        self.now = 1000.0
        monkeypatch.setattr(fit_tracker.time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


# -- names and settings ----------------------------------------------------------------------


def test_every_name_and_default_of_the_specification():
    assert list(inspect.signature(FitTracker).parameters) == ["h5_path", "cfg"]
    stated = {
        "metrics_interval_sec": 300, "val_interval_sec": 3600, "ckpt_interval_sec": 1800,
        "Ns": 16, "Kval": 32, "diag_seed": 12345, "ring_size": 96,
    }  # fmt: skip
    assert {name: getattr(TrackerConfig(), name) for name in stated} == stated
    assert TrackerConfig(**stated) == TrackerConfig()
    assert list(inspect.signature(FitTracker.on_batch).parameters)[:2] == ["self", "rmse"]
    assert list(inspect.signature(FitTracker.maybe_save).parameters)[:3] == ["self", "x", "epoch"]
    assert list(inspect.signature(FitTracker.close).parameters) == ["self"]
    assert "orbit_weights" in inspect.signature(FitTracker.set_orbit_weights).parameters


def test_a_file_that_is_none(tmp_path):
    with pytest.raises(StoreError, match="does not exist"):
        FitTracker(tmp_path / "absent.h5")
    (tmp_path / "text.h5").write_text("no HDF5")
    with pytest.raises(StoreError, match="no HDF5 file"):
        FitTracker(tmp_path / "text.h5")
    assert {p.name for p in tmp_path.iterdir()} == {"text.h5"}


def test_it_keeps_other_writers_out_and_readers_not(populated):
    with FitTracker(str(populated)) as tracker:
        with pytest.raises(LockedError, match=rf"process {os.getpid()} on .* \(fit\)"):
            FitTracker(populated)
        with pytest.raises(LockedError), open_h5(populated, "writer"):
            pass
        with open_h5(populated, "reader"), h5py.File(populated, "r", swmr=True):
            pass
        assert who_writes(populated).task == "fit"
    tracker.close()
    assert who_writes(populated) is None
    assert not lock_path(populated).exists()


def test_orbit_weights_of_other_components_are_refused(populated):
    with FitTracker(populated) as tracker:
        for wrong in (np.ones(4), -np.ones(5), np.full(5, np.nan)):
            with pytest.raises(InputError, match="orbit_weights"):
                tracker.set_orbit_weights(wrong)
        tracker.set_orbit_weights(None)


# -- what it writes, and when ----------------------------------------------------------------


def due_seconds(interval, end):
    """Soon after the start, then after twice as long each time, at last once an interval."""
    second, wait, due = 0, 2, []
    while (second := second + wait) <= end:
        due.append(second)
        wait = min(2 * wait, interval)
    return due


def test_everything_is_due_soon_and_at_last_once_an_interval(populated, direct, clock):
    end = 9000
    with FitTracker(populated) as tracker:
        tracker.begin()
        for second in range(end + 1):
            clock.now = 1000.0 + second
            tracker.maybe_save(x_of(second), second)
    seconds = metrics(populated, "time_sec")
    rows, looks, checkpoints = (due_seconds(interval, end) for interval in (300, 3600, 1800))
    assert rows[:8] == [2, 6, 14, 30, 62, 126, 254, 510]
    assert set(np.diff(rows[8:])) == {300}
    # The last row is the end.
    np.testing.assert_array_equal(seconds, sorted({*rows, *looks, *checkpoints, end}))
    looked_at = np.isfinite(metrics(populated, "val_rmse"))
    np.testing.assert_array_equal(seconds[looked_at], [*looks, end])
    assert checkpoint(populated).epoch == end
    with h5py.File(populated) as file:
        kept = file["/Fit/x_ring_row"][()]
        assert {*checkpoints, end} <= set(seconds[kept[kept >= 0]])


def test_a_short_fit_writes_its_end_only(populated, monkeypatch):
    monkeypatch.setattr(FitTracker, "_start_writer", lambda _: pytest.fail("started a process"))
    with FitTracker(populated) as tracker:
        tracker.maybe_save(x_of(1), 1)
        tracker.maybe_save(x_of(2), 2)
    np.testing.assert_array_equal(metrics(populated, "epoch"), [2])
    assert checkpoint(populated).epoch == checkpoint(populated, "best").epoch == 2


def test_the_training_rmse_is_a_moving_average(populated, direct):
    values = np.random.default_rng(1).random(300)
    average = values[0]
    with FitTracker(populated, AT_ONCE) as tracker:
        for n, value in enumerate(values):
            tracker.on_batch(value)
            tracker.on_batch(float("nan"))
            average += (value - average) * 2.0 / 101.0 if n else 0.0
        tracker.maybe_save(x_of(1), 1)
        assert metrics(populated, "train_rmse_ewma")[-1] == pytest.approx(average, rel=1e-12)
        tracker.maybe_save(x_of(2), 1)
    assert np.isnan(metrics(populated, "delta_x_rel")[0])


def test_before_the_first_batch_there_is_no_average(populated, direct):
    with FitTracker(populated, AT_ONCE) as tracker:
        tracker.maybe_save(x_of(1), 0)
    assert np.isnan(metrics(populated, "train_rmse_ewma")[0])


def test_masses_are_compared_with_the_orbit_weights(populated, direct):
    x, weights = x_of(1).reshape(5, 12), np.arange(5.0) + 1.0
    with FitTracker(populated, AT_ONCE) as tracker:
        tracker.maybe_save(x, 1)
        tracker.set_orbit_weights(weights)
        tracker.maybe_save(x, 1)
    errors = np.abs(x.sum(axis=1) / x.sum() - weights / 15.0)
    assert metrics(populated, "mass_err_L1")[:2] == pytest.approx(
        [np.nan, errors.sum()], nan_ok=True
    )
    assert metrics(populated, "mass_err_Linf")[1] == pytest.approx(errors.max())


def test_numbers_of_every_kind_are_taken(populated, direct):
    """An epoch out of np.arange, an x in float32 and two dimensions."""
    with FitTracker(populated, AT_ONCE) as tracker:
        tracker.on_batch(np.float32(0.5))
        tracker.maybe_save(
            x_of(1).astype(np.float32).reshape(5, 12),
            np.arange(3)[2],
            state={"n": np.int64(3), "s": np.float32(0.5)},
            chi2=np.float64(2.0),
        )
        tracker.maybe_save(x_of(1).tolist(), epoch=3)
        found = checkpoint(populated)
        assert tracker.finish(x_of(1), np.int32(4), state={"n": np.int64(4)})
    assert (found.epoch, found.state) == (3, {})
    assert (checkpoint(populated).epoch, checkpoint(populated).state) == (4, {"n": 4})


@pytest.mark.parametrize("wrong", [np.ones(59), np.ones((5, 13)), 1.0])
def test_an_x_of_another_size_is_refused_at_once(populated, wrong):
    with FitTracker(populated) as tracker:
        with pytest.raises(InputError, match=r"x has shape .* needs 5 \* 12 weights"):
            tracker.maybe_save(wrong, 1)
        with pytest.raises(InputError):
            tracker.finish(wrong, 1)


def test_what_was_handed_over_may_change_afterwards(populated, monkeypatch):
    taken = []

    class Keeping(Direct):
        def offer(self, moment):
            taken.append(moment)
            return True

    monkeypatch.setattr(FitTracker, "_start_writer", lambda t: Keeping(t._recording))
    x = x_of(1)
    with FitTracker(populated, AT_ONCE) as tracker:
        tracker.maybe_save(x, 1)
        x += 5.0
        tracker.finish(x, 2)
        x += 5.0
    np.testing.assert_array_equal(taken[0].x, x_of(1))
    np.testing.assert_array_equal(taken[1].x, x_of(1) + 5.0)


def test_a_fit_that_nobody_announced_goes_on_and_a_fresh_one_starts_anew(populated, direct):
    for epoch in (1, 2):
        with FitTracker(populated, AT_ONCE) as tracker:
            tracker.maybe_save(x_of(epoch), epoch)
    np.testing.assert_array_equal(metrics(populated, "epoch"), [1, 1, 2, 2])
    with FitTracker(populated, AT_ONCE) as tracker:
        tracker.begin(fresh=True)
        assert metrics(populated, "epoch").size == 0
        assert checkpoint(populated).epoch == 2
        tracker.maybe_save(x_of(3), 3)
        np.testing.assert_array_equal(metrics(populated, "epoch"), [3])
    assert checkpoint(populated, "best").epoch == 3


def test_the_time_of_a_fit_goes_on(populated, direct, clock):
    with FitTracker(populated, AT_ONCE) as tracker:
        tracker.begin(elapsed_s=500.0)
        clock.now += 20.0
        tracker.maybe_save(x_of(1), 1)
        assert tracker.elapsed_s == pytest.approx(520.0)
    assert metrics(populated, "time_sec")[0] == pytest.approx(520.0)
    assert checkpoint(populated).elapsed_s == pytest.approx(520.0)


def test_a_fit_of_many_spaxels_begins_with_a_block_of_them_at_a_time(populated):
    smallest = enlarge(populated)
    with FitTracker(populated) as tracker, small_blocks() as peak:
        tracker.begin()
    assert peak[0] < smallest / MUCH_LESS
    with h5py.File(populated) as file:
        spaxels = file["/Fit/sample/spaxels"][()]
    assert spaxels.size == TrackerConfig().Ns
    assert spaxels[-1] > 1000


def test_masks_that_leave_nothing_are_told_at_the_start(populated):
    with h5py.File(populated, "r+") as file:
        file["/Mask"] = np.zeros(40, bool)
    with FitTracker(populated) as tracker, pytest.raises(InputError, match="leave no voxel"):
        tracker.begin()


def test_two_fits_need_two_trackers(populated):
    with FitTracker(populated) as tracker:
        tracker.begin()
        with pytest.raises(ConfigError, match="make a new one"):
            tracker.begin()
    with pytest.raises(ConfigError, match="make a new one"):
        tracker.begin()


def test_after_an_error_a_half_made_x_is_not_saved(populated):
    def fail():
        with FitTracker(populated) as tracker:
            tracker.maybe_save(x_of(1), 1)
            _ = 1 / 0

    with pytest.raises(ZeroDivisionError):
        fail()
    assert who_writes(populated) is None
    with h5py.File(populated) as file:
        assert "Fit" not in file


def test_closing_is_the_end(populated, direct):
    tracker = FitTracker(populated, AT_ONCE)
    tracker.maybe_save(x_of(1), 1)
    for _ in range(3):
        tracker.close()
    before = populated.read_bytes()
    tracker.maybe_save(x_of(2), 2)
    assert tracker.finish(x_of(2), 2) is False
    tracker.close()
    assert populated.read_bytes() == before
    assert list(metrics(populated, "epoch")) == [1, 1]
    with h5py.File(populated) as file:
        assert file["/Fit/metrics/epoch"].shape == (2,)
    unused = FitTracker(populated)
    unused.close()
    unused.maybe_save(x_of(2), 2)
    assert populated.read_bytes() == before


def test_a_solution_of_another_size_in_the_file_is_not_written_over(populated, caplog):
    with open_h5(populated, "writer") as file:
        file["/Fit/checkpoints/0/x"] = np.ones(7)
    with FitTracker(populated, AT_ONCE) as tracker:
        with pytest.raises(StaleError, match="have 7 weights, this fit has 60"):
            tracker.begin()
        tracker.maybe_save(x_of(1), 1)
        tracker.maybe_save(x_of(2), 2)
    assert len(caplog.messages) == 1
    assert "The fit is not tracked: The checkpoints in /Fit have 7 weights" in caplog.text
    with h5py.File(populated) as file:
        assert file["/Fit/checkpoints/0/x"].shape == (7,)


def full_disk(monkeypatch):
    def refuse(*_args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", refuse)


def test_a_full_disk_is_told_at_the_start(populated, monkeypatch):
    before = populated.read_bytes()
    with FitTracker(populated) as tracker, monkeypatch.context() as patch:
        full_disk(patch)
        with pytest.raises(StoreError, match=r"No space left on device.*make space") as error:
            tracker.begin()
        assert error.value.errno == errno.ENOSPC
    assert populated.read_bytes() == before


def test_a_full_disk_at_the_end_is_logged_and_not_raised(populated, monkeypatch, caplog):
    with FitTracker(populated) as tracker:
        tracker.begin()
        with monkeypatch.context() as patch:
            full_disk(patch)
            assert tracker.finish(x_of(1), 1) is False
    assert "a checkpoint could not be written: [Errno 28] No space left" in caplog.text


def test_a_solution_that_a_full_disk_refuses_is_returned(populated, monkeypatch, caplog):
    def fill_up(_epoch, _x):
        full_disk(monkeypatch)

    with monkeypatch.context():
        x, stats = PipelineRunner(populated).solve_all(verbose=False, on_epoch_end=fill_up)
    monkeypatch.undo()
    assert stats["committed"] is False
    assert x.any()
    assert "a checkpoint could not be written" in caplog.text
    assert "returned but not in the file" in caplog.text
    again, stats = PipelineRunner(populated).solve_all(verbose=False)
    assert stats["committed"] is True
    assert again.tobytes() == x.tobytes()


# -- the writing process ---------------------------------------------------------------------

LOOK = """
import sys
import h5py
for line in sys.stdin:
    with h5py.File(sys.argv[1], "r", swmr=True) as file:
        found = {}
        file["/Fit"].visititems(lambda name, item: found.setdefault(name, item))
        epochs = file["/Fit/metrics/epoch"][()]
        n = int(file["/Fit/metrics/n"][()])
        shapes = {p: (file[p].shape, str(file[p].dtype)) for p in eval(line)}
        val = file["/Fit/metrics/val_rmse"][()]
        print(repr({
            # The row of number n may be half written.
            "shapes": shapes, "n": n, "length": epochs.size,
            "epochs": epochs[epochs >= 0].tolist(), "rest": set(epochs[n + 1:].tolist()),
            "seen": int((val == val).sum()), "latest": file["/Fit/x_latest"][0],
            "best": file["/Fit/x_best"][0],
        }), flush=True)
"""


def test_another_process_reads_everything_while_the_fit_runs_and_after_it(populated):
    wanted = [*SHAPES, *(f"/Fit/metrics/{name}" for name in METRICS)]

    def look():
        reader.stdin.write(f"{wanted}\n")
        reader.stdin.flush()
        found = eval(reader.stdout.readline())  # noqa: S307 - our own words
        assert {p: found["shapes"][p] for p in SHAPES} == SHAPES
        for name in METRICS:
            kind = "int64" if name == "epoch" else "float64"
            assert found["shapes"][f"/Fit/metrics/{name}"] == ((found["length"],), kind)
        return found

    seen = []

    def on_epoch_end(epoch, x):
        if epoch == 4:
            wait_until(lambda: metrics(populated, "epoch").size > 2)
            seen.append(look())

    program = [sys.executable, "-c", LOOK, populated]
    with subprocess.Popen(
        program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as reader:
        x, stats = PipelineRunner(populated).solve_all(
            epochs=6,
            verbose=False,
            warm_start="zeros",
            tracker=AT_ONCE,
            on_epoch_end=on_epoch_end,
        )
        (live,), after = seen, look()
        reader.stdin.close()
    assert live["length"] == CAPACITY
    assert live["rest"] == {-1}
    assert live["seen"] >= 3
    assert live["epochs"] == sorted(live["epochs"])
    assert np.isfinite([live["latest"], live["best"]]).all()
    assert after["length"] == after["n"] > live["n"]
    assert after["epochs"][-1] == 6
    assert after["latest"] == x[0]
    assert metrics(populated, "chi2")[-1] == stats["chi2"]
    last = checkpoint(populated)
    assert (last.finished, last.chi2, last.epoch) == (True, stats["chi2"], 6)
    val_rmse = metrics(populated, "val_rmse")
    assert checkpoint(populated, "best").val_rmse == np.nanmin(val_rmse)


@pytest.fixture
def untracked(populated_once, tmp_path):
    """The x of a fit of three epochs that nobody follows."""
    path = tmp_path / "untracked.h5"
    path.write_bytes(populated_once.read_bytes())
    return PipelineRunner(path).solve_all(
        epochs=3, verbose=False, warm_start="zeros", tracker=False
    )[0]


def started(tracker):
    """Return the process that writes for a tracker, after the first row."""
    wait_until(lambda: tracker._writer is not None and metrics(tracker.path, "epoch").size > 0)
    return tracker._writer.pid


@pytest.mark.parametrize("trouble", ["stopped", "killed", "killed again and again", "no start"])
def test_trouble_costs_metrics_and_not_the_fit(populated, untracked, monkeypatch, caplog, trouble):
    monkeypatch.setattr(fit_tracker, "CLOSE_WAIT_S", 0.5 if trouble == "stopped" else PATIENT_S)
    if trouble == "no start":
        monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    tracker, batches, pids = FitTracker(populated, AT_ONCE), [], set()

    def on_batch(_rmse):
        batches.append(0)
        if trouble == "no start" or len(batches) < 2:
            return
        if len(batches) == 2 or trouble == "killed again and again":
            pid = started(tracker)
            if pid not in pids:
                pids.add(pid)
                stop = signal.SIGSTOP if trouble == "stopped" else signal.SIGKILL
                os.kill(pid, stop)

    x, stats = PipelineRunner(populated).solve_all(
        epochs=3, verbose=False, warm_start="zeros", tracker=tracker, on_batch=on_batch
    )
    assert x.tobytes() == untracked.tobytes()
    assert len(batches) == 21
    assert stats["committed"] is True
    last = checkpoint(populated)
    assert (last.epoch, last.finished, last.chi2) == (3, True, stats["chi2"])
    np.testing.assert_array_equal(last.x, x)
    assert np.isfinite(checkpoint(populated, "best").val_rmse)
    assert metrics(populated, "epoch")[-1] == 3
    said = [m for m in caplog.messages if "tracker" in m]
    assert len(said) == len(set(said)) <= 2
    words = {"stopped": "hangs and was ended", "no start": "cannot be started"}
    # One that dies close to the end is not missed.
    assert trouble.startswith("killed") or words[trouble] in caplog.text
    assert not any(map(is_running, pids))
    assert who_writes(populated) is None


def test_a_second_ctrl_c_at_the_end_leaves_no_writer_behind(populated, monkeypatch):
    """It would outlive the lock."""
    tracker = FitTracker(populated, AT_ONCE)
    tracker.maybe_save(x_of(1), 1)
    pid = started(tracker)
    os.kill(pid, signal.SIGSTOP)
    join = tracker._writer._thread.join

    def interrupted(timeout=None):
        monkeypatch.setattr(tracker._writer._thread, "join", join)
        raise KeyboardInterrupt

    monkeypatch.setattr(tracker._writer._thread, "join", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tracker.close()
    assert not is_running(pid)
    assert who_writes(populated) is None
    tracker.close()
    with FitTracker(populated) as again:
        again.maybe_save(x_of(2), 2)
    assert checkpoint(populated).epoch == 2


FORGETFUL = """
import sys
import numpy as np
from cubefit.fit_tracker import FitTracker, TrackerConfig
tracker = FitTracker(sys.argv[1], cfg=TrackerConfig(metrics_interval_sec=0, ckpt_interval_sec=0))
for epoch in range(1, 4):
    tracker.on_batch(0.5)
    tracker.maybe_save(np.full(60, float(epoch)), epoch=epoch)
print("imported once", __name__)
"""


def test_a_script_without_a_main_guard_that_forgets_to_close(populated, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(FORGETFUL)
    done = subprocess.run(
        [sys.executable, script, populated], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "imported once __main__\n"
    last = checkpoint(populated)
    assert last.epoch == 3
    assert (last.x == 3.0).all()
    assert np.isfinite(checkpoint(populated, "best").val_rmse)
    assert who_writes(populated) is None
    assert not lock_path(populated).exists()


KILLED = """
import os, signal, sys, time
import numpy as np
from cubefit.fit_tracker import FitTracker, TrackerConfig
tracker = FitTracker(sys.argv[1], TrackerConfig(metrics_interval_sec=0, ckpt_interval_sec=0))
tracker.maybe_save(np.ones(60), 1)
tracker.maybe_save(np.ones(60), 2)
# The first is under way when the second has left the queue.
while tracker._writer._queue.qsize():
    time.sleep(0.001)
print(tracker._writer.pid, flush=True)
sys.stdin.readline()
"""


def test_when_the_fit_is_killed_its_writer_ends_and_the_lock_is_free(populated):
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, populated],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as fit:
        pid = int(fit.stdout.readline())
        wait_until(lambda: metrics(populated, "epoch").size == 2)
        assert is_running(pid)
        assert who_writes(populated).pid == fit.pid
        fit.kill()
    wait_until(lambda: not is_running(pid))
    assert who_writes(populated) is None
    assert checkpoint(populated).epoch == 2
    with FitTracker(populated, AT_ONCE) as tracker:
        assert tracker.finish(x_of(3), 3)
    assert list(metrics(populated, "epoch")) == [1, 2, 3]


def test_a_writer_that_outlives_its_killed_fit_is_waited_for(populated):
    """It has yet to write what it received."""
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, populated],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as fit:
        pid = int(fit.stdout.readline())
        # It has only just been started, and takes its time.
        fit.kill()
    with FitTracker(populated) as tracker:
        assert not is_running(pid)
        assert checkpoint(populated).epoch in (1, 2)
        assert tracker.finish(x_of(3), 3)


def test_a_file_that_became_useless_is_one_sentence(populated, caplog, capfd):
    """The process that writes has nobody to show a traceback to."""
    cfg = TrackerConfig(metrics_interval_sec=0.0)
    tracker = FitTracker(populated, cfg)
    tracker.begin()
    content = populated.read_bytes()
    populated.write_bytes(b"text")
    for n in range(600):
        tracker.maybe_save(x_of(n), n)
        if "nothing could be written" in caplog.text:
            break
        time.sleep(0.05)
    populated.write_bytes(content)
    tracker.close()
    assert "The tracker: nothing could be written: " in caplog.text
    assert "is no HDF5 file" in caplog.text
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("cfg", [{"Ns": 3}, "x", TrackerConfig])
def test_settings_of_another_kind_are_refused_and_leave_no_lock(populated, cfg):
    with pytest.raises(ConfigError, match="give a TrackerConfig"):
        FitTracker(populated, cfg=cfg)
    FitTracker(populated).close()


@pytest.mark.parametrize(
    "wrong",
    [
        {"x": np.ones((12, 5))},
        {"x": ["a"] * 60},
        {"x": np.ones(60) * 1j},
        {"x": [[1], [2, 3]]},
        {"epoch": "one"},
        {"epoch": float("nan")},
        {"epoch": 1.5},
        {"state": "a"},
        {"state": {"a": [1, 2]}},
        {"chi2": None},
        {"gap_rel": 1j},
    ],
    ids=str,
)
def test_what_is_no_moment_of_the_fit_is_refused(populated, wrong):
    with FitTracker(populated) as tracker, pytest.raises(InputError):
        tracker.maybe_save(**({"x": x_of(1), "epoch": 1} | wrong))
    with FitTracker(populated) as tracker, pytest.raises(InputError, match="give a number"):
        tracker.on_batch("a")


def test_a_copy_in_a_forked_process_writes_nothing(populated):
    with FitTracker(populated, cfg=AT_ONCE) as tracker:
        tracker._owner += 1
        tracker.maybe_save(x_of(1), epoch=1)
        assert not tracker.finish(x_of(1), epoch=1)
        assert tracker._writer is None
        tracker._owner -= 1


def test_rows_of_sweeps_have_the_chi2_of_their_own_weights(problem, populated):
    solve = PipelineRunner(populated).solve_all
    solve(epochs=4, verbose=False, warm_start="zeros", tracker=AT_ONCE)
    chi2 = metrics(populated, "chi2")
    with h5py.File(populated) as file:
        ring, rows = file["/Fit/x_vis_ring"][()], file["/Fit/x_vis_ring_row"][()]
    known = rows >= 0
    assert known.sum() > 1
    models = np.tensordot(ring[known].reshape(-1, 5, 12), problem.models, ([1, 2], [1, 2]))
    expected = np.sum((problem.datacube - models) ** 2, axis=(1, 2))
    scale = np.sum(problem.datacube**2)
    np.testing.assert_allclose(chi2[rows[known]], expected, rtol=1e-3, atol=1e-8 * scale)
    np.testing.assert_array_equal(metrics(populated, "objective"), 0.5 * chi2)


def test_on_a_hypercube_chi2_waits_for_the_end(built):
    solve = PipelineRunner(built).solve_all
    _, stats = solve(epochs=4, verbose=False, warm_start="zeros", tracker=AT_ONCE)
    chi2 = metrics(built, "chi2")
    assert np.isnan(chi2[:-1]).all()
    assert chi2[-1] == stats["chi2"]


def test_an_exact_fit_has_a_row_for_every_round_however_short(populated):
    _, stats = PipelineRunner(populated).solve_all(
        method="exact", regularization=0.1, verbose=False
    )
    epochs = metrics(populated, "epoch").tolist()
    assert len(epochs) > 3
    assert epochs == list(range(len(epochs)))
    # Those that found out how much smoothness counts are no rounds of this fit.
    assert len(epochs) <= stats["rounds"] + 1
    gap, value = metrics(populated, "gap_rel"), metrics(populated, "objective")
    assert np.isfinite(value).all()
    assert (gap[-1], value[-1]) == (stats["gap_rel"], stats["objective"])
    assert np.isfinite(metrics(populated, "delta_x_rel")[1:]).all()
    assert (np.diff(metrics(populated, "time_sec")) >= 0).all()


def test_of_too_many_rows_that_wait_every_other_one_is_dropped(populated, monkeypatch):
    monkeypatch.setattr(fit_tracker, "MOST_WAITING_BYTES", 5 * 60 * 8)
    with FitTracker(populated) as tracker:
        for epoch in range(20):
            tracker.maybe_save(x_of(epoch), epoch, row=True)
        tracker.finish(x_of(20), 20)
    epochs = metrics(populated, "epoch").tolist()
    assert epochs == sorted(set(epochs))
    assert epochs[-1] == 20
    assert 4 <= len(epochs) <= 8
    assert max(np.diff([0, *epochs])) <= 12


def test_rows_that_wait_are_written_with_the_next_that_is_due(populated):
    config = TrackerConfig(metrics_interval_sec=0.3, val_interval_sec=1e9, ckpt_interval_sec=1e9)
    with FitTracker(populated, config) as tracker:
        epoch = 0
        deadline = time.monotonic() + 60.0
        while tracker._writer is None and time.monotonic() < deadline:
            epoch += 1
            tracker.maybe_save(x_of(epoch), epoch, row=True)
            time.sleep(0.02)
        wait_until(lambda: (metrics(populated, "epoch") >= 0).sum() == epoch)
        assert metrics(populated, "epoch")[:epoch].tolist() == list(range(1, epoch + 1))


def test_no_chi2_is_computed_for_a_writer_that_takes_nothing(populated, monkeypatch):
    asked = []

    def chi2(_observed, _model):
        asked.append(1)
        return 1.0

    monkeypatch.setattr("cubefit.inverse.observed.Observed.chi2", chi2)
    monkeypatch.setattr("cubefit.writer_process.WriterProcess.can_take", lambda _: False)
    monkeypatch.setattr("cubefit.writer_process.WriterProcess.offer", lambda *_: False)
    PipelineRunner(populated).solve_all(
        epochs=20, verbose=False, warm_start="zeros", tracker=AT_ONCE
    )
    # One before there is a writer, that of the end, and that of the validation there.
    assert len(asked) == 3


def test_sweeps_with_priors_do_not_call_half_of_chi2_their_objective(populated):
    PipelineRunner(populated).solve_all(
        epochs=2, verbose=False, warm_start="zeros", tracker=AT_ONCE, regularization=0.1
    )
    assert np.isfinite(metrics(populated, "chi2")).all()
    assert np.isnan(metrics(populated, "objective")).all()
