"""Stopping a fit in any way, and going on: the same bits as if nothing had happened."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubefit.config import TrackerConfig
from cubefit.errors import ConfigError, StaleError, StoppedError
from cubefit.fit_follower import Follower, numbers_of, state_of
from cubefit.fit_tracker import FitTracker
from cubefit.interrupts import StopRequest
from cubefit.inverse.kaczmarz import KaczmarzState
from cubefit.pipeline_runner import PipelineRunner
from cubefit.store.checkpoints import read_checkpoint
from cubefit.store.handle import open_h5
from cubefit.store.lock import who_writes

PATIENT_S = 60.0
S = 7
"""Spaxels of the problem."""
SETTINGS = {
    "plain": {},
    "ratio rows": {"orbit_weights": np.arange(1.0, 6.0), "ratio_prob": 0.7},
    "sequential": {"row_order": "sequential", "pixels_per_aperture": 9},
}
KINDS = {
    signal.SIGINT: KeyboardInterrupt,
    signal.SIGTERM: StoppedError,
    signal.SIGUSR1: StoppedError,
}


def fit(path, **settings):
    return PipelineRunner(path).solve_all(**({"verbose": False, "epochs": 3} | settings))


def checkpoint(path, which="latest"):
    with h5py.File(path, "r", swmr=True) as file:
        return read_checkpoint(file, which)


class InjectedError(Exception):
    pass


class At:
    """A hook that does something when it is called for the n-th time."""

    def __init__(self, call, action):
        self.calls = 0
        self._call = call
        self._action = action

    def __call__(self, *_args):
        self.calls += 1
        if self.calls == self._call:
            self._action()


def fail():
    raise InjectedError


@pytest.fixture(scope="module")
def whole(populated_once, tmp_path_factory):
    """x and stats of fits of three epochs that nothing happened to."""
    folder, done = tmp_path_factory.mktemp("whole"), {}
    for name, settings in SETTINGS.items():
        path = Path(shutil.copy(populated_once, folder / f"{name}.h5"))
        done[name] = fit(path, **settings)
    return done


def assert_same(found, whole, *, epochs=3):
    (x, stats), (want, told) = found, whole
    assert x.tobytes() == want.tobytes()
    for key in ("chi2", "nnz", "n_voxels", "rmse"):
        assert stats[key] == told[key]
    assert stats["epochs_total"] == epochs


# -- states ----------------------------------------------------------------------------------


@given(
    epoch=st.integers(0, 10**6),
    position=st.integers(0, 10**6),
    squares=st.floats(0.0),
    n_lit=st.integers(0, 10**6),
    first_epoch=st.integers(0, 10**6),
)
def test_a_checkpoint_holds_all_that_the_sweeps_go_on_from(
    epoch, position, squares, n_lit, first_epoch
):
    x = np.ones((2, 3))
    state = KaczmarzState(x=x, epoch=epoch, position=position, squares=squares, n_lit=n_lit)
    numbers = json.loads(json.dumps(numbers_of(state, first_epoch, 7)))
    assert state_of(x, numbers) == state
    assert numbers["first_epoch"] == first_epoch


def follower(path, tracker=None, **state):
    start = KaczmarzState(x=np.zeros((5, 12)), **state)
    return Follower(
        path,
        tracker,
        StopRequest(),
        start,
        n_spaxels=S,
        first_epoch=2,
        last_epoch=5,
        same_call="the same call",
    )


@pytest.mark.parametrize(
    ("epoch", "position", "finished"), [(0, 1, 0), (0, S, 1), (4, 3, 4), (4, S, 5)]
)
def test_epochs_finished(epoch, position, finished):
    state = KaczmarzState(x=np.zeros((5, 12)), epoch=epoch, position=position)
    assert follower(Path("cube.h5")).epochs_finished(state) == finished


def test_a_stopped_fit_says_where_it_stands(populated):
    lost = follower(populated).how_to_go_on(saved=False)
    assert "is lost, because it was not tracked (tracker=False)" in lost
    with FitTracker(populated) as tracker:
        stopped = follower(populated, tracker, epoch=2, position=3)
        told = stopped.how_to_go_on(saved=True)
        assert "at spaxel 3 of 7 in epoch 3; the same call goes on from there" in told
        told = stopped.how_to_go_on(saved=False)
        assert "goes on from the last checkpoint that could be written" in told


@pytest.mark.parametrize(
    ("how", "call"),
    [
        (
            {"warm_start": "jacobi"},
            r"; the same command without --fresh \(in Python, with warm_start='auto'\) goes on",
        ),
        ({"x0": np.ones(60)}, r"; a call with warm_start='auto' and without x0 goes on"),
    ],
)
def test_a_fit_that_starts_afresh_by_wish_names_the_call_that_goes_on(populated, how, call):
    with pytest.raises(StoppedError, match=call):
        fit(populated, on_batch=At(4, lambda: signal.raise_signal(signal.SIGTERM)), **how)
    assert fit(populated)[1]["warm_start"] == "/Fit/x_latest"


def test_a_checkpoint_that_could_not_be_written_is_not_promised(populated, monkeypatch, caplog):
    monkeypatch.setattr(FitTracker, "finish", lambda *_args, **_settings: False)
    with pytest.raises(StoppedError, match="goes on from the last checkpoint that could be"):
        fit(populated, on_batch=At(4, lambda: signal.raise_signal(signal.SIGTERM)))


# -- stops inside this process ---------------------------------------------------------------


@pytest.fixture(autouse=True)
def own_handlers():
    """Those of a fresh program, whatever started this one."""
    before = {number: signal.getsignal(number) for number in KINDS}
    for number in KINDS:
        signal.signal(
            number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        )
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", KINDS)
@pytest.mark.parametrize("call", [1, 4, S, S + 1, 3 * S - 1, 3 * S])
def test_a_fit_stopped_by_a_signal_is_completed_with_the_same_bits(populated, whole, number, call):
    with pytest.raises(KINDS[number], match=r"Stopped by SIG\w+: .*the same call goes on"):
        fit(populated, on_batch=At(call, lambda: signal.raise_signal(number)))
    last = checkpoint(populated)
    assert (last.finished, last.epoch) == (False, call // S)
    assert who_writes(populated) is None
    with h5py.File(populated) as file:
        assert "X_global" not in file
    rest = At(0, fail)
    found = fit(populated, on_batch=rest)
    assert_same(found, whole["plain"])
    assert found[1]["warm_start"] == "/Fit/x_latest"
    assert rest.calls == 3 * S - call
    assert checkpoint(populated).finished


@pytest.mark.parametrize("name", SETTINGS)
def test_stopped_again_and_again(populated, whole, name):
    settings = SETTINGS[name]
    for _ in range(5):
        with pytest.raises(StoppedError):
            fit(populated, on_batch=At(4, lambda: signal.raise_signal(signal.SIGTERM)), **settings)
    found = fit(populated, **settings)
    assert_same(found, whole[name])
    assert found[1]["train_rmse"] == whole[name][1]["train_rmse"][2:]


@pytest.mark.parametrize(
    ("hook", "call"), [("on_batch", 1), ("on_batch", 11), ("on_epoch_end", 1), ("on_epoch_end", 3)]
)
@pytest.mark.parametrize("name", SETTINGS)
def test_a_hook_that_raises_loses_nothing(populated, whole, hook, call, name):
    settings = SETTINGS[name]
    with pytest.raises(InjectedError):
        fit(populated, **{hook: At(call, fail)}, **settings)
    assert checkpoint(populated).state["position"] > 0
    assert_same(fit(populated, **settings), whole[name])


def test_after_the_last_spaxel_a_signal_ends_it_at_once_and_loses_nothing(
    populated, whole, monkeypatch
):
    """The chi2 of a big cube takes minutes; the last checkpoint needs one of a sample too."""

    def chi2(*_args):
        signal.raise_signal(signal.SIGTERM)
        return 1.0

    with monkeypatch.context() as patch:
        patch.setattr("cubefit.inverse.observed.Observed.chi2", chi2)
        with pytest.raises(StoppedError):
            fit(populated)
    assert checkpoint(populated).state["position"] == S
    assert_same(fit(populated), whole["plain"])


def test_before_the_first_spaxel_a_signal_ends_it_at_once(populated, whole, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(
            "cubefit.fit_start.jacobi_seed",
            lambda *_, **__: signal.raise_signal(signal.SIGUSR1),
        )
        with pytest.raises(StoppedError, match="had not begun; the same call begins it"):
            fit(populated)
    assert who_writes(populated) is None
    assert_same(fit(populated), whole["plain"])


def test_a_fit_killed_before_its_commit_is_completed_without_a_sweep(populated, whole, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(PipelineRunner, "_commit", lambda *_: fail())
        with pytest.raises(InjectedError):
            fit(populated)
    assert not checkpoint(populated).finished
    swept = At(0, fail)
    found = fit(populated, on_batch=swept)
    assert swept.calls == 0
    assert_same(found, whole["plain"])
    assert found[1]["committed"]
    with h5py.File(populated) as file:
        np.testing.assert_array_equal(file["/X_global"], found[0])
        assert file["/X_global"].attrs["epochs_total"] == 3
    assert checkpoint(populated).finished
    assert fit(populated)[1]["warm_start"] == "/Fit/x_best"


def test_a_stopped_fit_may_go_on_in_smaller_calls(populated):
    """``epochs`` counts from the beginning of an unfinished fit, and a finished one goes on."""
    with pytest.raises(StoppedError):
        fit(populated, on_batch=At(4, lambda: signal.raise_signal(signal.SIGTERM)))
    assert fit(populated, epochs=1)[1]["epochs_total"] == 1
    stats = fit(populated, epochs=2)[1]
    assert (stats["warm_start"], stats["epochs_total"]) == ("/Fit/x_best", 3)


def stopped(path, **settings):
    with pytest.raises(StoppedError):
        fit(path, on_batch=At(10, lambda: signal.raise_signal(signal.SIGTERM)), **settings)
    return checkpoint(path)


@pytest.mark.parametrize(
    "other", [{"lr": 0.5}, {"seed": 1}, {"orbit_weights": np.ones(5)}, {"row_order": "sequential"}]
)
def test_a_fit_of_other_settings_is_not_completed(populated, other, caplog):
    stopped(populated)
    caplog.set_level("INFO", "cubefit")
    swept = At(0, fail)
    stats = fit(populated, on_batch=swept, **other)[1]
    assert swept.calls == 3 * S
    assert stats["warm_start"] == "/Fit/x_best"
    (name,) = other
    assert "fit in the file is not completed, because it has other settings" in caplog.text
    assert f"({name}: " in caplog.text
    assert f"starting from {stats['warm_start']}" in caplog.text


def test_the_explicit_wish_wins_over_an_unfinished_fit(populated, populated_once, tmp_path):
    x0 = np.linspace(0.0, 1.0, 60)
    clean = Path(shutil.copy(populated_once, tmp_path / "clean.h5"))
    for settings, origin in (({"x0": x0}, "x0"), ({"warm_start": "jacobi"}, "jacobi")):
        stopped(populated)
        found = fit(populated, **settings)
        assert found[1]["warm_start"] == origin
        assert_same(found, fit(clean, **settings))
        with h5py.File(populated) as file:
            assert file["/Fit/metrics/n"][()] == 1
    assert fit(populated, warm_start="zeros")[1]["warm_start"] == "zeros"


def test_a_resumed_fit_appends_its_metrics_and_its_time(populated):
    first = stopped(populated, tracker=TrackerConfig(metrics_interval_sec=3600))
    fit(populated)
    with h5py.File(populated) as file:
        rows = file["/Fit/metrics"]
        assert rows["n"][()] == rows["epoch"].size == 2
        np.testing.assert_array_equal(rows["epoch"], [1, 3])
        assert rows["time_sec"][1] > rows["time_sec"][0] == first.elapsed_s
        assert sorted(file["/Fit/x_ring_row"][()])[-2:] == [0, 1]


@pytest.mark.parametrize("warm_start", ["auto", "resume"])
def test_a_checkpoint_of_other_inputs_is_refused_and_left_alone(populated, warm_start):
    stopped(populated)
    with open_h5(populated, "writer") as file:
        file["/DataCube"][...] *= 1.5
    before = populated.read_bytes()
    with pytest.raises(StaleError, match=r"/Fit/x_latest in .*warm_start='zeros', or pass x0"):
        fit(populated, warm_start=warm_start)
    assert populated.read_bytes() == before
    assert fit(populated, x0=np.ones(60))[1]["warm_start"] == "x0"
    assert fit(populated, warm_start=warm_start)[1]["warm_start"] == "/Fit/x_best"


def test_a_checkpoint_of_another_normalization_is_refused(populated):
    stopped(populated, normalization="unit")
    with pytest.raises(StaleError, match="normalization='unit', not 'losvd'"):
        fit(populated)
    assert fit(populated, normalization="unit")[1]["warm_start"] == "/Fit/x_latest"


def test_without_a_tracker_a_stopped_fit_is_lost_and_says_so(populated, whole):
    with pytest.raises(StoppedError, match="is lost, because it was not tracked"):
        fit(
            populated,
            tracker=False,
            on_batch=At(10, lambda: signal.raise_signal(signal.SIGTERM)),
        )
    with h5py.File(populated) as file:
        assert "Fit" not in file
    assert_same(fit(populated, tracker=False), whole["plain"])
    with h5py.File(populated) as file:
        assert "Fit" not in file


# -- the tracker argument --------------------------------------------------------------------


def test_trackers_of_every_kind(populated, whole, tmp_path):
    config = TrackerConfig(ring_size=3, Ns=2, Kval=5, diag_seed=1)
    made = FitTracker(populated, config)
    for tracker in (made, config, True, False):
        assert_same(fit(populated, tracker=tracker, warm_start="jacobi"), whole["plain"])
        assert who_writes(populated) is None
        with h5py.File(populated) as file:
            if tracker is not False:
                assert file["/Fit/x_ring"].shape[0] == (96 if tracker is True else 3)


@pytest.mark.parametrize("tracker", [None, 1, 0, "yes", {"ring_size": 3}, TrackerConfig])
def test_a_tracker_that_is_none_is_refused(populated, tracker):
    with pytest.raises(
        ConfigError, match=r"tracker=.* give True, False, a TrackerConfig, or a Fit"
    ):
        fit(populated, tracker=tracker)
    assert who_writes(populated) is None


def test_a_tracker_of_another_file_or_used_already_is_refused(populated, built):
    with FitTracker(built) as other, pytest.raises(ConfigError, match="a FitTracker of"):
        fit(populated, tracker=other)
    for used in (FitTracker(populated), FitTracker(built)):
        used.close()
        with pytest.raises(ConfigError, match="make a new one"):
            fit(used.path, tracker=used)
        with h5py.File(used.path) as file:
            assert "Fit" not in file


# -- stops of another process ----------------------------------------------------------------

SCRIPT = """
import signal, sys
from cubefit.config import TrackerConfig
from cubefit.pipeline_runner import PipelineRunner

signal.signal(signal.SIGINT, signal.default_int_handler)
calls = 0

def wait_at(rmse):
    global calls
    calls += 1
    if calls == int(sys.argv[2]):
        print("there", flush=True)
        sys.stdin.readline()

PipelineRunner(sys.argv[1]).solve_all(
    epochs=3,
    verbose=False,
    on_batch=wait_at,
    tracker=TrackerConfig(metrics_interval_sec=0, ckpt_interval_sec=0),
)
"""


def wait_until(condition):
    deadline = time.monotonic() + PATIENT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def has_checkpoint(path):
    with h5py.File(path, "r", swmr=True) as file:
        return "Fit" in file and bool(file["/Fit/checkpoints/latest/record"][()])


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGTERM, 75),
        (signal.SIGUSR1, 75),
        # A shell says 130.
        (signal.SIGINT, -signal.SIGINT),
        (signal.SIGKILL, -signal.SIGKILL),
    ],
)
def test_a_script_that_is_stopped_goes_on_when_it_is_run_again(populated, whole, number, code):
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, populated, "10"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as script:
        assert script.stdout.readline() == "there\n"
        # The other process has written the moments before.
        wait_until(lambda: has_checkpoint(populated))
        os.kill(script.pid, number)
        errors = script.communicate("\n")[1]
    assert script.returncode == code, errors
    last = checkpoint(populated)
    assert not last.finished
    if number != signal.SIGKILL:
        assert (last.epoch, last.state["position"]) == (1, 10 - S)
        assert "the same call goes on from there" in errors
    assert who_writes(populated) is None or number == signal.SIGKILL
    found = fit(populated)
    assert found[1]["warm_start"] == "/Fit/x_latest"
    assert_same(found, whole["plain"])
