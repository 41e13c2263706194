"""``cubefit status``: what it tells of every state of a file."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import h5py
import pytest
from typer.testing import CliRunner

from cubefit import cli
from cubefit.cli import status as verb
from cubefit.config import TrackerConfig
from cubefit.errors import StoreError
from cubefit.hypercube_builder import build_hypercube
from cubefit.pipeline_runner import PipelineRunner
from cubefit.store.file_status import file_status
from cubefit.store.lock import writer_lock
from cubefit.store.status_rows import status_rows
from cubefit.store.tiles import TileWriter

TILES = {"S_chunk": 3, "C_chunk": 2, "P_chunk": 5, "verbose": False}


def told(path):
    return " ".join(CliRunner().invoke(cli.app, ["status", str(path)]).output.split())


def as_json(path):
    return json.loads(CliRunner().invoke(cli.app, ["status", str(path), "--json"]).output)


def test_a_populated_file(populated):
    facts = as_json(populated)
    assert facts["dims"]["nSpat"] == 7
    assert (facts["build"], facts["fit"], facts["solution"], facts["writer"]) == (None,) * 4
    assert "no CubeFit process writes now" in told(populated)


def test_a_build_under_way_has_a_rate(populated, monkeypatch):
    write, looks = TileWriter.write, []

    def watched(self, index, values):
        write(self, index, values)
        self.sync()
        looks.append(file_status(populated))

    monkeypatch.setattr(TileWriter, "write", watched)
    build_hypercube(populated, **TILES)
    assert [look.build.tiles_done for look in looks] == list(range(1, 28))
    middle = looks[12]
    assert middle.build.tiles_per_s > 0
    assert middle.build.left_s == pytest.approx(14 / middle.build.tiles_per_s)
    assert (middle.writer.pid, middle.writer.task) == (os.getpid(), "build")
    assert "13 of 27 tiles (48 %)" in status_rows(middle)["built"]
    tiles, bar = verb.status_table(middle).columns[1]._cells[2].renderables
    assert (bar.completed, bar.total) == (13, 27)
    assert str(tiles) == status_rows(middle)["built"]
    assert file_status(populated).writer is None


def test_a_stopped_build(populated, monkeypatch):
    def failing(*_args):
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(TileWriter, "write", failing)
        with pytest.raises(RuntimeError):
            build_hypercube(populated, **TILES)
    facts = as_json(populated)
    assert (facts["build"]["tiles_done"], facts["build"]["tiles_total"]) == (0, 27)
    assert facts["build"]["tiles_per_s"] is None


def test_the_tiles_stand_above_their_bar(built):
    words = " ".join(told(built).replace("│", " ").split())
    assert "built 27 of 27 tiles (100 %) ━━━━" in words


def test_a_finished_fit(built):
    _, stats = PipelineRunner(built).solve_all(epochs=2, verbose=False)
    facts = as_json(built)
    assert facts["fit"]["finished"] is True
    assert (facts["fit"]["epoch"], facts["fit"]["method"]) == (2, "kaczmarz")
    assert facts["fit"]["chi2"] == facts["solution"]["chi2"] == stats["chi2"]
    assert "ago, of the finished fit" in told(built)


def test_a_fit_under_way(built):
    looks = []
    PipelineRunner(built).solve_all(
        epochs=3,
        tracker=TrackerConfig(metrics_interval_sec=0),
        on_epoch_end=lambda *_: looks.append(file_status(built)),
        verbose=False,
    )
    assert looks[0].writer.task == "fit"
    assert looks[0].writer.facts["epochs_wanted"] == 3


def test_a_stopped_fit_says_how_to_go_on(built):
    def stop(*_args):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        PipelineRunner(built).solve_all(epochs=3, on_epoch_end=stop, verbose=False)
    rows = status_rows(file_status(built))
    assert "kaczmarz, epoch 1 of 3, stopped: the same call completes it" in rows["fit"]


def test_what_a_killed_writer_left_is_named(populated):
    left = populated.with_name("cube.h5.tmp")
    left.write_bytes(b"x")
    assert as_json(populated)["leftovers"] == ["cube.h5.tmp"]
    assert "cube.h5.tmp of a killed writer; the next one removes them" in told(populated)
    with writer_lock(populated, "build"):
        assert as_json(populated)["leftovers"] == []
        assert f"process {os.getpid()} on" in told(populated)


@pytest.mark.parametrize("options", [["--json"], []])
def test_watching_goes_on_until_it_is_interrupted(built, monkeypatch, options):
    naps = []

    def nap(seconds):
        naps.append(seconds)
        if len(naps) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(verb.time, "sleep", nap)
    command = ["status", str(built), "--watch", "--interval", "0.5", *options]
    result = CliRunner().invoke(cli.app, command)
    assert result.exit_code == 130
    assert naps == [0.5] * 3
    if options:
        lines = [json.loads(x) for x in result.stdout.splitlines() if x.startswith("{")]
        assert len(lines) == 3


def test_a_wrong_file_is_one_sentence(tmp_path):
    (tmp_path / "x.h5").write_text("hello")
    command = [sys.executable, "-c", "from cubefit.cli import main; main()", "status", "x.h5"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr == (
        "Error: x.h5 is no HDF5 file: give a file made by H5Manager, or a new path to populate.\n"
    )


@pytest.mark.parametrize("change", ["no column", "rows", "dims"])
def test_what_others_put_into_the_file_is_an_error_of_one_sentence(built, change):
    PipelineRunner(built).solve_all(verbose=False)
    with h5py.File(built, "r+") as file:
        if change == "no column":
            del file["/Fit/metrics/chi2"]
        elif change == "rows":
            file["/Fit/metrics/n"][()] = -5
        else:
            file.attrs["dims"] = "nonsense"
    with pytest.raises(StoreError, match="dims" if change == "dims" else "no CubeFit wrote"):
        file_status(built)


def test_a_link_to_itself_and_a_file_as_a_folder_are_missing(populated, tmp_path):
    loop = tmp_path / "loop.h5"
    loop.symlink_to(loop)
    for path in (loop, populated / "cube.h5"):
        with pytest.raises(StoreError, match="does not exist"):
            file_status(path)


@pytest.mark.parametrize("interval", ["nan", "inf", "1e300"])
def test_an_interval_that_no_clock_can_wait_is_wrong_usage(populated, interval):
    call = ["status", str(populated), "--watch", "--interval", interval]
    assert CliRunner().invoke(cli.app, call).exit_code == 2


def test_an_exact_fit_shows_its_rounds_and_its_gap(built):
    _, stats = PipelineRunner(built).solve_all(method="exact", verbose=False)
    status = file_status(built)
    assert status.solution.gap_rel == stats["gap_rel"]
    said = " ".join(told(built).replace("│", " ").split())
    assert f"exact, round {stats['rounds']}" in said
    assert "of the objective above the optimum" in said
