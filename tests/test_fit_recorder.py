"""What a recorder makes of the moments of a fit, without a process."""

import errno
import os
import signal
import time
from itertools import product
from multiprocessing import Pipe

import h5py
import numpy as np
import pytest

from cubefit.fit_recorder import (
    Moment,
    Recorder,
    Recording,
    Validation,
    best_val_rmse,
    main,
    serve,
)
from cubefit.inverse.validation import choose_sample
from cubefit.store import amend
from cubefit.store.amend import amended
from cubefit.store.checkpoints import read_checkpoint
from cubefit.store.fit_group import FitSizes, prepare_fit_group
from cubefit.store.load import read_used
from cubefit.store.lock import writer_lock
from tests.large_file import MUCH_LESS, enlarge, small_blocks

RUN = {"digest": "abc", "normalization": "losvd", "sample": [3, 9, 1], "method": "test"}
RING_SIZE = 3


@pytest.fixture
def noisy(make_problem, tmp_path):
    """A problem with noise and masks, its file, and the voxels in use."""
    problem = make_problem()
    rng = np.random.default_rng(5)
    used = rng.random(problem.datacube.shape) < 0.8
    used[2] = False
    cube = np.where(used, problem.datacube * rng.uniform(0.9, 1.1, used.shape), np.nan)
    noise = rng.uniform(0.01, 0.1, used.shape) * problem.datacube.mean()
    path = problem.populate(tmp_path / "cube.h5", datacube=cube, noise=noise, voxel_mask=used)
    return problem, path, cube, noise, used


def prepare(path, *, fresh=True):
    """Make room in a file, and say which fit is to be recorded."""
    with h5py.File(path, "r") as file:
        used = read_used(file)
    sample = choose_sample(used.any(axis=1), used.__getitem__, 3, 9, 1)
    sizes = FitSizes(
        n_weights=60, ring_size=RING_SIZE, spaxels=sample.spaxels, pixels=sample.pixels
    )
    with amended(path) as clone:
        prepare_fit_group(clone, sizes, fresh=fresh)
    since = time.time() if fresh else 0.0
    return Recording(path=path, run=RUN, normalization="losvd", since=since)


@pytest.fixture
def recording(populated):
    return prepare(populated)


def moment(x, **changes):
    facts = {"epoch": 1, "elapsed_s": 2.0, "train_rmse": 0.5, "validate": False, "keep": False}
    return Moment(x=np.array(x, np.float64).ravel(), **(facts | changes))


def metrics(path):
    with h5py.File(path, "r", swmr=True) as file:
        group = file["/Fit/metrics"]
        n = int(group["n"][()])
        return {name: group[name][:n] for name in group if name != "n"}


def checkpoint(path, which="latest"):
    with h5py.File(path, "r", swmr=True) as file:
        return read_checkpoint(file, which)


def test_a_row_says_what_the_moment_was(recording, problem):
    x, weights = problem.x_true, np.arange(1.0, 6.0)
    with Recorder(recording) as recorder:
        recorder.record(
            moment(
                x, epoch=3, elapsed_s=7.5, train_rmse=0.25, chi2=11.0, gap_rel=1e-3, objective=12.0
            )
        )
        recorder.record(moment(2.0 * x, orbit_weights=weights))
    found = metrics(recording.path)
    expected = {
        "epoch": [3, 1],
        "time_sec": [7.5, 2.0],
        "train_rmse_ewma": [0.25, 0.5],
        "val_rmse": [np.nan, np.nan],
        "delta_x_rel": [np.nan, 0.5],
        "nnz": [np.count_nonzero(x)] * 2,
        "l1_norm": [x.sum(), 2 * x.sum()],
        "l2_norm": [np.sqrt((x**2).sum()), 2 * np.sqrt((x**2).sum())],
        "chi2": [11.0, np.nan],
        "gap_rel": [1e-3, np.nan],
        "objective": [12.0, np.nan],
    }
    errors = np.abs(x.sum(axis=1) / x.sum() - weights / weights.sum())
    expected |= {"mass_err_L1": [np.nan, errors.sum()], "mass_err_Linf": [np.nan, errors.max()]}
    assert set(found) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-12, err_msg=name)


@pytest.mark.parametrize("normalization", ["losvd", "unit"])
def test_the_validation_rmse_is_that_of_plain_numpy(noisy, normalization):
    problem, path, cube, noise, used = noisy
    recording = prepare(path)
    recording = Recording(path=path, run=RUN, normalization=normalization, since=recording.since)
    x = problem.x_true * np.random.default_rng(2).uniform(0.5, 1.5, problem.x_true.shape)
    with Recorder(recording) as recorder:
        recorder.record(moment(x, validate=True))
    sums = problem.losvd.astype(np.float32).sum(axis=1)
    scale = 1.0 / sums if normalization == "unit" else np.ones(sums.shape)
    model = np.einsum("scpl,cp,sc->sl", problem.models, x, scale)
    with h5py.File(path, "r") as file:
        part = np.ix_(file["/Fit/sample/spaxels"], file["/Fit/sample/val_pixels"])
    scaled = ((model - cube) / noise)[part][used[part]]
    want = np.sqrt(np.mean(scaled**2))
    assert scaled.size > 10
    assert metrics(path)["val_rmse"][0] == pytest.approx(want, rel=1e-4)
    assert checkpoint(path).val_rmse == metrics(path)["val_rmse"][0]


def test_a_validation_reads_the_spaxels_of_its_sample_alone(noisy):
    """What stands in the others may be damaged."""
    _, path, _, _, _ = noisy
    prepare(path)
    x = np.ones((5, 12))
    whole = Validation(path, "losvd").rmse(x)
    with h5py.File(path, "r+") as file:
        others = np.setdiff1d(np.arange(7), file["/Fit/sample/spaxels"][()])
        for name, spaxel in product(("/LOSVD", "/DataCube", "/Noise"), others):
            file[name][spaxel] = np.nan
    assert others.size == 4
    assert Validation(path, "losvd").rmse(x) == whole > 0


def test_noise_that_is_given_for_each_pixel_is_that_of_each_spaxel(make_problem, tmp_path):
    problem, noise = make_problem(), np.linspace(0.1, 0.3, 40)
    x = 1.1 * problem.x_true
    found = []
    for name, given in (("pixel", noise), ("voxel", np.tile(noise, (7, 1)))):
        path = problem.populate(tmp_path / f"{name}.h5", noise=given)
        prepare(path)
        found.append(Validation(path, "losvd").rmse(x))
    assert found[0] == found[1] > 0


@pytest.mark.parametrize("normalization", ["losvd", "unit"])
def test_a_validation_of_many_spaxels_needs_no_more_than_its_sample(populated, normalization):
    smallest = enlarge(populated)
    prepare(populated)
    with small_blocks() as peak:
        validation = Validation(populated, normalization)
        assert np.isfinite(validation.rmse(np.ones((5, 12))))
    assert peak[0] < smallest / MUCH_LESS


def test_the_best_is_the_one_of_the_lowest_validation_rmse(recording, problem):
    """A moment that is not looked at is never the best, however good."""
    factors = [1.5, 1.2, 1.3, 1.0, 1.1, 1.05, 1.01]
    best = [0, 1, 1, 1, 4, 5, 5]
    with Recorder(recording) as recorder:
        for n, factor in enumerate(factors):
            unseen = n in (3, 6)
            recorder.record(moment(factor * problem.x_true, epoch=n, validate=not unseen))
            assert checkpoint(recording.path, "best").epoch == best[n]
            with h5py.File(recording.path, "r", swmr=True) as file:
                np.testing.assert_array_equal(
                    file["/Fit/x_best"], factors[best[n]] * problem.x_true.ravel()
                )
    found = metrics(recording.path)["val_rmse"]
    assert np.isnan(found[[3, 6]]).all()
    np.testing.assert_allclose(np.argsort(found[[0, 1, 2, 4, 5]]), [4, 3, 1, 2, 0])


def test_checkpoints_come_when_asked_for_and_with_a_new_best(recording, problem):
    x = problem.x_true
    with Recorder(recording) as recorder:
        recorder.record(moment(x))
        assert checkpoint(recording.path) is None
        recorder.record(moment(1.5 * x, epoch=2, validate=True))
        assert checkpoint(recording.path).epoch == 2
        recorder.record(moment(1.6 * x, epoch=3, validate=True))
        assert checkpoint(recording.path).epoch == 2
        recorder.record(moment(1.7 * x, epoch=4, keep=True, state={"squares": 0.1}, chi2=5.0))
    latest = checkpoint(recording.path)
    assert (latest.epoch, latest.state, latest.chi2, latest.run) == (4, {"squares": 0.1}, 5.0, RUN)
    assert recording.since <= latest.written <= time.time()
    assert checkpoint(recording.path, "best").epoch == 2
    with h5py.File(recording.path, "r", swmr=True) as file:
        assert sorted(file["/Fit/x_ring_row"]) == [-1, 1, 3]
        assert sorted(file["/Fit/x_vis_ring_row"]) == [1, 2, 3]


def test_an_x_that_is_not_finite_is_never_the_best(recording, problem):
    with Recorder(recording) as recorder:
        recorder.record(moment(1.5 * problem.x_true, epoch=1, validate=True))
        recorder.record(moment(np.full(60, np.nan), epoch=2, validate=True, keep=True))
        assert checkpoint(recording.path, "best").epoch == 1
        recorder.record(moment(problem.x_true, epoch=3, validate=True))
    assert checkpoint(recording.path, "best").epoch == 3


def test_a_recorder_that_takes_over_keeps_a_better_best(recording, problem):
    """The one before may have been killed in the middle of the fit."""
    with Recorder(recording) as recorder:
        recorder.record(moment(problem.x_true, epoch=1, validate=True))
    with Recorder(recording) as recorder:
        recorder.record(moment(1.5 * problem.x_true, epoch=2, validate=True, keep=True))
    assert checkpoint(recording.path).epoch == 2
    assert checkpoint(recording.path, "best").epoch == 1


def test_a_fresh_fit_has_its_own_best(recording, problem):
    with Recorder(recording) as recorder:
        recorder.record(moment(problem.x_true, epoch=1, validate=True))
    with Recorder(prepare(recording.path)) as recorder:
        recorder.record(moment(1.5 * problem.x_true, epoch=2, validate=True))
    assert checkpoint(recording.path, "best").epoch == 2


def test_a_fit_that_goes_on_from_the_best_never_makes_it_worse(recording, problem):
    """Other settings, a smaller lr say, are no reason to forget what was found."""
    with Recorder(recording) as recorder:
        recorder.record(moment(problem.x_true, epoch=1, validate=True))
    going_on = prepare(recording.path, fresh=False)
    other = Recording(
        path=going_on.path, run=RUN | {"method": "other"}, normalization="losvd", since=0.0
    )
    with Recorder(other) as recorder:
        recorder.record(moment(1.5 * problem.x_true, epoch=2, validate=True, keep=True))
    assert checkpoint(recording.path, "best").epoch == 1


@pytest.mark.parametrize("key", ["digest", "normalization", "sample"])
def test_what_cannot_be_compared_is_not(recording, problem, key):
    with Recorder(recording) as recorder:
        recorder.record(moment(problem.x_true, validate=True))
    path = recording.path
    assert best_val_rmse(path, RUN, 0.0) == metrics(path)["val_rmse"][0]
    assert best_val_rmse(path, RUN, time.time() + 1.0) == np.inf
    assert best_val_rmse(path, RUN | {key: "other"}, 0.0) == np.inf


def test_with_other_priors_a_lower_misfit_is_not_better(recording, problem):
    """A solver of the user's own says nothing of priors, and has to be better all the same."""
    path = recording.path
    mine = Recording(path=path, run=RUN | {"priors": 1}, normalization="losvd", since=0.0)
    with Recorder(mine) as recorder:
        recorder.record(moment(problem.x_true, validate=True))
    for run, known in ((RUN, True), (RUN | {"priors": 1}, True), (RUN | {"priors": 2}, False)):
        assert np.isfinite(best_val_rmse(path, run, 0.0)) == known


def test_a_damaged_best_gives_way(recording, problem):
    with Recorder(recording) as recorder:
        recorder.record(moment(problem.x_true, validate=True))
    with h5py.File(recording.path, "r+") as file:
        file["/Fit/x_best"][0] += 1.0
    assert best_val_rmse(recording.path, RUN, 0.0) == np.inf


def disk_full(monkeypatch, calls):
    """Let the disk be full at those calls of pwrite, counted from 1."""
    pwrite, count = os.pwrite, [0]

    def failing(*args):
        count[0] += 1
        if count[0] in calls:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return pwrite(*args)

    monkeypatch.setattr(os, "pwrite", failing)


def served(recording, moments):
    """Return what the process says to these moments and to the end."""
    ours, theirs = Pipe()
    for message in (*moments, None):
        ours.send(message)
    with theirs:
        serve(theirs, recording)
    answers = []
    with ours:
        while ours.poll():
            try:
                answers.append(ours.recv())
            except EOFError:
                break
    return answers


def test_the_process_records_until_it_is_told_to_end(recording, problem):
    moments = [moment(problem.x_true, epoch=n, keep=True) for n in range(4)]
    assert served(recording, moments) == [True]
    np.testing.assert_array_equal(metrics(recording.path)["epoch"], range(4))
    assert checkpoint(recording.path).epoch == 3


def test_a_full_disk_is_told_and_costs_what_could_not_be_written(recording, problem, monkeypatch):
    moments = [moment(problem.x_true, epoch=n, keep=True) for n in range(4)]
    assert served(recording, moments[:1]) == [True]
    with monkeypatch.context() as patch:
        disk_full(patch, range(1, 3))
        complaint, again, last = served(recording, moments[1:])
    assert "No space left on device" in complaint
    assert complaint == again
    assert last is True
    np.testing.assert_array_equal(metrics(recording.path)["epoch"], [0, 3])
    assert checkpoint(recording.path).epoch == 3


@pytest.mark.parametrize("call", range(1, 24, 3))
def test_a_disk_that_fills_up_anywhere_leaves_what_was_there(recording, problem, monkeypatch, call):
    first, second = (moment(problem.x_true, epoch=n, keep=True, validate=True) for n in (1, 2))
    assert served(recording, [first]) == [True]
    with monkeypatch.context() as patch:
        disk_full(patch, range(call, 1000))
        complaint, kept = served(recording, [second])
    # Its x, its record and the link that leads to it come first.
    assert kept is (call > 3)
    what = "metrics" if kept else "a checkpoint"
    assert complaint.startswith(f"{what} could not be written: ")
    assert checkpoint(recording.path).epoch == 1 + kept
    assert checkpoint(recording.path, "best").epoch == 1
    assert served(recording, [second]) == [True]
    assert checkpoint(recording.path).epoch == 2


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("of HDF5"), KeyError("x")])
def test_whatever_goes_wrong_the_checkpoint_is_safe_first(recording, problem, monkeypatch, error):
    def fail(*_args):
        raise error

    monkeypatch.setattr(Recorder, "_validate", fail)
    complaint, kept = served(recording, [moment(problem.x_true, epoch=3, keep=True, validate=True)])
    assert kept is True
    assert complaint.startswith("metrics could not be written")
    assert checkpoint(recording.path).epoch == 3


def test_an_amendment_that_a_killed_process_left_is_completed_first(recording, problem):
    """The fit holds the lock, so nobody else could."""
    path = recording.path
    child = os.fork()
    if child == 0:
        amend.put_in_place = lambda _path: os.kill(os.getpid(), signal.SIGKILL)
        with amend.amended(path) as file:
            file.attrs["new"] = 1
    os.waitpid(child, 0)
    assert amend.redo_path(path).exists()
    with writer_lock(path), Recorder(recording) as recorder:
        assert not amend.redo_path(path).exists()
        recorder.record(moment(problem.x_true, epoch=4, keep=True))
    with h5py.File(path) as file:
        assert file.attrs["new"] == 1
    assert checkpoint(path).epoch == 4


def test_the_end_of_the_pipe_is_the_end(recording, problem):
    ours, theirs = Pipe()
    ours.send(recording)
    ours.send(moment(problem.x_true, epoch=7, keep=True))
    ours.close()
    main(os.dup(theirs.fileno()))
    theirs.close()
    assert checkpoint(recording.path).epoch == 7


def test_a_solver_that_ends_before_its_first_word(recording):
    ours, theirs = Pipe()
    ours.close()
    with pytest.raises(SystemExit) as ended:
        main(os.dup(theirs.fileno()))
    theirs.close()
    assert ended.value.code == 0
