"""A signal becomes a wish, which the work grants at a safe point."""

import signal
import threading

import pytest

from cubefit.errors import EXIT_REQUEUE, CubeFitError, StoppedError
from cubefit.interrupts import SIGNALS, signals_end_program, stop_requests

DEFAULTS = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGUSR1: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_DFL,
}


@pytest.fixture(autouse=True)
def defaults():
    """The handlers of a fresh program."""
    before = {number: signal.signal(number, handler) for number, handler in DEFAULTS.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def stopped_by(number):
    """Be work that grants the wish of a signal."""
    with stop_requests() as request:
        signal.raise_signal(number)
        request.stop("the same call goes on.")


def handlers():
    return {number: signal.getsignal(number) for number in SIGNALS}


def test_the_signals_are_those_of_people_and_batch_systems():
    assert set(SIGNALS) == set(DEFAULTS)


@pytest.mark.parametrize("number", SIGNALS)
def test_work_is_not_torn_apart_by_a_signal(number):
    with stop_requests() as request:
        assert not request
        signal.raise_signal(number)
        steps_after = sum(1 for _ in range(10))
        assert request
        assert request.signal == number
    assert steps_after == 10


def test_without_a_signal_nothing_is_asked_for():
    with stop_requests() as request:
        pass
    assert not request
    assert request.signal is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_batch_signal_ends_with_the_code_to_requeue_on(number):
    told = f"Stopped by {number.name}: the same call goes on"
    with pytest.raises(StoppedError, match=told) as stopped:
        stopped_by(number)
    assert stopped.value.code == EXIT_REQUEUE == 75
    assert isinstance(stopped.value, SystemExit)
    assert not isinstance(stopped.value, CubeFitError)


def test_ctrl_c_stays_ctrl_c():
    with pytest.raises(KeyboardInterrupt, match="Stopped by SIGINT: the same call goes on"):
        stopped_by(signal.SIGINT)


def test_a_stop_without_a_signal_is_one_too():
    with pytest.raises(StoppedError, match="Stopped by a signal"), stop_requests() as request:
        request.stop("...")


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (signal.SIGINT, KeyboardInterrupt),
        (signal.SIGTERM, StoppedError),
        (signal.SIGUSR1, StoppedError),
    ],
)
def test_while_nothing_would_be_lost_a_signal_ends_the_work_at_once(number, error):
    def work():
        with stop_requests() as request:
            request.stop_at_once("call again.")
            signal.raise_signal(number)
            pytest.fail("went on")

    with pytest.raises(error, match=f"Stopped by {number.name}: call again"):
        work()
    with stop_requests() as request:
        request.stop_at_once("call again.")
        request.stop_when_safe()
        signal.raise_signal(number)
        assert request
    assert handlers() == DEFAULTS


@pytest.mark.parametrize("number", SIGNALS)
def test_what_stopped_and_how_to_go_on_is_logged_too(number, caplog):
    """Nobody prints the message of a SystemExit."""
    with pytest.raises((KeyboardInterrupt, StoppedError)):
        stopped_by(number)
    assert caplog.messages == [f"Stopped by {number.name}: the same call goes on."]


def test_a_second_ctrl_c_does_not_wait():
    seen = []

    def work():
        with stop_requests() as request:
            signal.raise_signal(signal.SIGINT)
            seen.append(request.signal)
            signal.raise_signal(signal.SIGINT)
            seen.append("went on")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert seen == [signal.SIGINT]
    assert handlers() == DEFAULTS


@pytest.mark.parametrize(
    "numbers",
    [
        (signal.SIGTERM, signal.SIGTERM),
        (signal.SIGUSR1, signal.SIGTERM),
        (signal.SIGTERM, signal.SIGINT),
        (signal.SIGINT, signal.SIGTERM),
    ],
)
def test_other_second_signals_wait_too(numbers):
    """Slurm sends SIGTERM after SIGUSR1; the last one counts."""
    with stop_requests() as request:
        for number in numbers:
            signal.raise_signal(number)
        assert request.signal == numbers[-1]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_handler_of_the_user_stays(number):
    seen = []
    signal.signal(number, lambda n, _frame: seen.append(n))
    mine = signal.getsignal(number)
    with stop_requests() as request:
        assert signal.getsignal(number) is mine
        signal.raise_signal(number)
        assert not request
    assert seen == [number]
    assert signal.getsignal(number) is mine


@pytest.mark.parametrize("number", SIGNALS)
def test_an_ignored_signal_stays_ignored(number):
    """As under nohup, or in the background of a shell script."""
    signal.signal(number, signal.SIG_IGN)
    with stop_requests() as request:
        signal.raise_signal(number)
        assert not request
    assert signal.getsignal(number) == signal.SIG_IGN


def test_handlers_are_restored():
    with stop_requests():
        assert all(handlers()[number] != DEFAULTS[number] for number in SIGNALS)
    assert handlers() == DEFAULTS
    with pytest.raises(ZeroDivisionError), stop_requests():
        _ = 1 / 0
    assert handlers() == DEFAULTS


def test_the_outer_of_two_gets_the_signal():
    with stop_requests() as outer:
        with stop_requests() as inner:
            signal.raise_signal(signal.SIGTERM)
        assert outer
        assert not inner
    assert handlers() == DEFAULTS


def test_other_threads_change_nothing():
    seen = []

    def work():
        with stop_requests() as request:
            seen.extend([bool(request), handlers()])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False, DEFAULTS]


def test_a_job_under_nohup_does_not_stop_with_its_terminal():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with stop_requests() as request:
        signal.raise_signal(signal.SIGHUP)
        assert not request


@pytest.mark.parametrize("number", SIGNALS)
def test_a_program_ends_by_an_exception_that_tidies_up(number):
    tidied = []

    def work():
        with signals_end_program():
            try:
                signal.raise_signal(number)
            finally:
                tidied.append(number)

    with pytest.raises(KeyboardInterrupt if number == signal.SIGINT else StoppedError) as ended:
        work()
    assert tidied == [number]
    assert str(ended.value) == ""
    assert handlers() == DEFAULTS


@pytest.mark.parametrize("number", SIGNALS)
def test_work_in_a_program_still_stops_at_its_safe_point(number):
    with signals_end_program():
        program = handlers()
        with stop_requests() as request:
            signal.raise_signal(number)
            assert request.signal == number
        assert handlers() == program
    assert handlers() == DEFAULTS


def test_a_program_leaves_ignored_signals_and_the_users_handlers_alone():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: None)
    mine = signal.getsignal(signal.SIGTERM)
    with signals_end_program():
        signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGTERM) is mine
