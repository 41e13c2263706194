"""``cubefit fit``: methods, priors, summary lines, exit codes."""

import signal

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from cubefit import cli
from cubefit.cli.root import main
from cubefit.distributed import connection
from cubefit.exact_watch import Watch
from cubefit.pipeline_runner import PipelineRunner


def run(*arguments):
    done = CliRunner().invoke(cli.app, [str(a) for a in arguments])
    return done.exit_code, " ".join(done.output.split())


def test_exact_is_the_default_and_says_how_good_it_is(populated):
    code, said = run("fit", populated, "--quiet")
    assert code == 0
    assert "RMSE" in said
    assert "rounds: the optimum is found: no x lowers the objective by more than" in said
    with h5py.File(populated) as file:
        assert file["/X_global"].attrs["method"] == "exact"


def test_orbit_weights_come_from_a_file(populated, tmp_path):
    weights = np.array([1.0, 3.0, 2.0, 5.0, 4.0])
    np.savetxt(tmp_path / "w.txt", weights)
    options = ("--orbit-weights", tmp_path / "w.txt", "--ratio-weight", 1e4, "--quiet")
    assert run("fit", populated, *options)[0] == 0
    with h5py.File(populated) as file:
        sums = file["/X_global"][()].reshape(5, 12).sum(axis=1)
    assert sums / sums.sum() == pytest.approx(weights / weights.sum(), rel=1e-3)


@pytest.mark.parametrize("strength", ["0.3", "auto"])
def test_regularization_is_a_number_or_auto(populated, strength):
    code, said = run("fit", populated, "--regularization", strength, "--quiet")
    assert code == 0
    with h5py.File(populated) as file:
        found = file["/X_global"].attrs["regularization"]
    assert found > 0
    assert f"regularization {found:.4g}" in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--regularization", "much"], "give a number, or auto"),
        (
            ["--orbit-weights", "nowhere.txt"],
            "nowhere.txt holds no plain numbers (there is no such file",
        ),
        (["--max-memory-gb", "1e-6"], "this fit takes at least"),
        (["--gap", "0"], "gap_tolerance=0.0"),
        (["--method", "kaczmarz", "--regularization", "auto"], "needs method='exact'"),
        (["--shares", "2"], "n_shares= belongs to a fit on a cluster"),
        (["--scheduler", "tcp://127.0.0.1:9"], "No Dask scheduler answers at tcp://127.0.0.1:9"),
    ],
)
def test_errors_are_one_sentence(populated, monkeypatch, capsys, options, message):
    monkeypatch.setattr(connection, "CONNECT_S", 0.5)
    monkeypatch.setattr("sys.argv", ["cubefit", "fit", str(populated), "--quiet", *options])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 1
    said = capsys.readouterr().err
    assert said.startswith("Error: ")
    assert message in said
    assert "Traceback" not in said


def test_ctrl_c_in_the_preparation_says_how_to_go_on(populated, monkeypatch):
    told, left = Watch.told, [signal.SIGINT]

    def interrupted(watch, state):
        if left:
            signal.raise_signal(left.pop())
        return told(watch, state)

    monkeypatch.setattr(Watch, "told", interrupted)
    code, said = run("fit", populated, "--regularization", "auto", "--quiet")
    assert code == 130
    assert "nothing is written, and the same call begins again." in said
    assert "give it more time" not in said


def test_ctrl_c_in_fresh_sweeps_names_the_command_that_goes_on(populated, monkeypatch, caplog):
    original = PipelineRunner.solve_all

    def interrupted(runner, **settings):
        def interrupt(_rmse):
            signal.raise_signal(signal.SIGINT)

        return original(runner, on_batch=interrupt, **settings)

    monkeypatch.setattr(PipelineRunner, "solve_all", interrupted)
    assert run("fit", populated, "--method", "kaczmarz", "--fresh", "--quiet")[0] == 130
    assert "; the same command without --fresh (in Python, with warm_start" in caplog.text


def test_workers_find_what_one_process_finds(populated):
    fit = ("fit", populated, "--regularization", 0.3, "--total-weight", 5.0, "--fresh", "--quiet")
    found = []
    for where in ((), ("--workers", 2, "--shares", 3)):
        code, said = run(*fit, *where)
        assert code == 0, said
        with h5py.File(populated) as file:
            found.append(dict(file["/X_global"].attrs))
    alone, together = found
    assert (alone["operator"], together["operator"]) == ("matrix-free", "distributed")
    gap = alone["gap_abs"] + together["gap_abs"]
    assert abs(alone["objective"] - together["objective"]) <= gap
    assert together["gap_rel"] <= 1e-6


def test_ctrl_c_keeps_the_best_point_and_has_its_exit_code(populated, monkeypatch):
    original = PipelineRunner.solve_all

    def interrupted(runner, **settings):
        def interrupt(_number, _x):
            signal.raise_signal(signal.SIGINT)

        return original(runner, on_epoch_end=interrupt, **settings)

    monkeypatch.setattr(PipelineRunner, "solve_all", interrupted)
    code, said = run("fit", populated, "--gap", 1e-12, "--quiet")
    assert code == 130
    assert "stopped by request" in said
    with h5py.File(populated) as file:
        assert "X_global" in file
