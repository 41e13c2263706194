"""Campaigns: a kind of fault, again and again, each file killed until its work is complete."""

import collections
import contextlib
import math
import pickle
import random
import shutil
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import h5py

from cubefit.store.amend import redo_path, sole_writer
from cubefit.store.handle import open_h5
from cubefit.store.lock import who_writes
from cubefit.store.shards import remove_unused_shards, shards_folder
from tests.faults import judge, victims
from tests.faults.expected import Expected, tracked
from tests.faults.injection import AtCall, FullDisk, NoFault
from tests.faults.processes import DEADLINE_S, Outcome, Victim, run
from tests.faults.readers import UNREADABLE, watching

MOST_LOST = 5
"""A campaign that lost so often has shown enough."""


@dataclass
class Tally:
    """What a campaign did."""

    injected: int = 0
    survived: int = 0
    calls: int = 0
    """Calls that were needed, those that came to their end included."""
    completed: int = 0
    """Half-made amendments that the next opening completed."""
    met: collections.Counter = field(default_factory=collections.Counter)
    """What the readers met."""
    lost: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Attempt:
    """Everything that one call of a victim needs to know."""

    path: Path
    expected: Expected
    rng: random.Random
    note: Path
    """Where a fault of the writer process is noted."""
    strike: bool
    """Whether to kill it; else it runs to its end."""


@dataclass(frozen=True)
class Campaign:
    """A kind of fault."""

    name: str
    attempt: Callable[[Attempt], Outcome]
    start: Callable[[Expected], Path]
    """File that each chain begins with."""
    complete: Callable[[Path, Expected], None]
    """Judges a file whose work is complete."""
    share: int
    """Kills in a thousand, by what they cost."""
    readers: bool = False
    amended: bool = False
    """Whether the structure of the file is changed while it is read."""
    once: bool = False
    """Whether every kill meets a fresh file; else a file is killed until its work is complete."""
    tracked: bool = False
    """Whether it follows the loop of `victims.track`, not the fit."""


def at_call(work, most, least=1, **settings):
    """Return an attempt that dies between two of its calls, rather at an early one.

    The early ones lay the ground; the many later ones are of the same few kinds.
    """

    def attempt(a):
        n = math.floor(math.exp(a.rng.uniform(math.log(least), math.log(most + 1))))
        fault = AtCall(n, half=a.rng.random() < 0.5)
        return run(work, a.path, fault if a.strike else NoFault(), **settings)

    return attempt


def on_full_disk(work, most, **settings):
    """Return an attempt on a disk with room for at most ``most`` bytes, which it is told."""

    def attempt(a):
        fault = FullDisk(a.rng.randint(0, most))
        victim = Victim(work, a.path, fault if a.strike else NoFault(), **settings)
        return victim.end(refusal="make space on the disk, then call again")

    return attempt


def at_random(work, longest_s, *, group=False, **settings):
    """Return an attempt that dies at a random time within ``longest_s``."""

    def attempt(a):
        victim = Victim(work, a.path, **settings)
        if a.strike:
            victim.listen(a.rng.uniform(0.0, longest_s))
            victim.kill(group=group)
        return victim.end()

    return attempt


def job_at_recorder_call(work, most, *, group, **settings):
    """Return an attempt whose writer process dies at a chosen call, with its solver if ``group``.

    The first process only: one that takes its place is sound.
    """

    def attempt(a):
        mark = a.note.with_suffix(".struck")
        fault = AtCall(a.rng.randint(1, most), a.rng.random() < 0.5, group, mark)
        a.note.write_bytes(pickle.dumps(fault if a.strike else NoFault()))
        outcome = run(work, a.path, frail=a.note, **settings)
        if mark.exists():
            mark.unlink()
            outcome.told["struck"] = [True]
        return outcome

    return attempt


def writer_at_random(work, n_states, **settings):
    """Return an attempt that kills its writer process, and comes to its end all the same."""

    def attempt(a):
        at = a.rng.randint(1, n_states) if a.strike else None
        return run(work, a.path, writer_dies_at=at, **settings)

    return attempt


def client_at_random(longest_s):
    """Return an attempt that kills the client of a cluster of any size, and its workers with it."""

    def attempt(a):
        victim = Victim(victims.build_on_cluster, a.path, n_workers=a.rng.randint(1, 3))
        if a.strike:
            victim.listen_until("connected")
            victim.listen(a.rng.uniform(0.0, longest_s))
            victim.kill(group=a.rng.random() < 0.5)
        return victim.end()

    return attempt


def worker_at_random(longest_s):
    """Return an attempt that kills a worker of a cluster, and comes to its end all the same."""

    def attempt(a):
        after_s = a.rng.uniform(0.0, longest_s) if a.strike else None
        return run(victims.build_on_cluster, a.path, worker_dies_after_s=after_s)

    return attempt


def populated(expected):
    return expected.populated


def built(expected):
    return expected.built


def sharded(expected):
    return expected.sharded


CAMPAIGNS = (
    Campaign(
        "build: at a random time",
        at_random(victims.build, 0.25, pace_s=0.004),
        populated,
        judge.built,
        share=150,
        readers=True,
    ),
    Campaign(
        "build: at a chosen call", at_call(victims.build, 45), populated, judge.built, share=120
    ),
    Campaign(
        "build: at a chosen call, tiles synced in groups",
        at_call(victims.build, 45, group_bytes=12_000),
        populated,
        judge.built,
        share=40,
    ),
    Campaign(
        "build: disk full",
        on_full_disk(victims.build, 110_000),
        populated,
        judge.built,
        share=40,
    ),
    Campaign(
        "build and compress: at a chosen call",
        at_call(victims.build, 110, compression="lzf"),
        populated,
        judge.built,
        share=110,
    ),
    Campaign(
        "compress: at a random time",
        at_random(victims.compress, 0.03),
        built,
        judge.built,
        share=40,
    ),
    Campaign(
        "build on a cluster: client at a random time, other workers go on",
        client_at_random(0.8),
        populated,
        judge.built,
        share=20,
    ),
    Campaign(
        "build on a cluster: worker at a random time",
        worker_at_random(0.6),
        populated,
        judge.built,
        share=20,
    ),
    Campaign(
        "compress shards: at a chosen call",
        at_call(victims.compress, 25),
        sharded,
        judge.built,
        share=40,
    ),
    Campaign(
        "gather shards: at a chosen call",
        at_call(victims.gather, 12),
        sharded,
        judge.built,
        share=40,
    ),
    Campaign(
        "fit: while room is made for it in the file",
        at_call(victims.fit, 22, least=6, in_place=True),
        built,
        judge.fitted,
        share=60,
        once=True,
    ),
    Campaign(
        "fit: at a chosen call",
        at_call(victims.fit, 300, in_place=True),
        built,
        judge.fitted,
        share=100,
    ),
    Campaign(
        "fit: solver at a random time",
        at_random(victims.fit, 1.2, pace_s=0.03),
        built,
        judge.fitted,
        share=60,
        readers=True,
        amended=True,
    ),
    Campaign(
        "fit: solver and writer at a random time",
        at_random(victims.fit, 1.2, group=True, pace_s=0.03),
        built,
        judge.fitted,
        share=60,
        readers=True,
        amended=True,
    ),
    Campaign(
        "fit: solver and writer at a chosen call of the writer",
        job_at_recorder_call(victims.fit, 300, group=True, pace_s=0.02),
        built,
        judge.fitted,
        share=50,
    ),
    Campaign(
        "fit: writer alone at a chosen call",
        job_at_recorder_call(victims.fit, 100, group=False, pace_s=0.02),
        built,
        judge.fitted,
        share=30,
        readers=True,
        amended=True,
    ),
    Campaign(
        "fit: writer alone at a random time",
        writer_at_random(victims.fit, 42, pace_s=0.03),
        built,
        judge.fitted,
        share=30,
    ),
    Campaign(
        "tracker of a user's solver: at a chosen call",
        at_call(victims.track, 300, in_place=True),
        built,
        judge.fitted,
        share=70,
        tracked=True,
    ),
    Campaign(
        "tracker of a user's solver: at a random time",
        at_random(victims.track, 1.2, group=True, pace_s=0.03),
        built,
        judge.fitted,
        share=40,
        readers=True,
        amended=True,
        tracked=True,
    ),
)


def renew(path, source):
    """Put a fresh copy in the place of a file, at once, as readers look at it."""
    copy = path.parent.with_name("copy.h5")
    shutil.copy(source, copy)
    if shards_folder(source).exists():
        shutil.copytree(shards_folder(source), shards_folder(path), dirs_exist_ok=True)
    copy.replace(path)
    with sole_writer(path):
        remove_unused_shards(path)


def settle(path):
    """Wait for a writer that outlives its solver; the file opens at once all the same."""
    deadline = time.monotonic() + DEADLINE_S
    if not redo_path(path).exists():
        for mode in ({}, {"swmr": True}):
            h5py.File(path, "r", **mode).close()
    while who_writes(path) is not None:
        assert time.monotonic() < deadline, "the writer outlives its solver for too long"
        time.sleep(0.01)


def follow(campaign, attempt, before, tally):
    """Make one attempt and judge it; return what the file holds then, and whether that is all."""
    outcome = campaign.attempt(attempt)
    hit = outcome.killed or "struck" in outcome.told
    tally.calls += 1
    tally.injected += hit
    settle(attempt.path)
    judge.went_on(before, outcome.told)
    now = judge.look(attempt.path, attempt.expected)
    judge.nothing_lost(before, now)
    tally.completed += now.redo
    # A fit that was killed on its way out is complete, and another call would be another fit.
    complete = not outcome.killed or now.finished
    if complete:
        if outcome.killed:
            with open_h5(attempt.path, "writer"):
                pass
        campaign.complete(attempt.path, attempt.expected)
        judge.tidy(attempt.path)
    tally.survived += hit
    return now, complete


def chain(campaign, expected, path, rng, kills, tally):
    """Kill the work on one file until it is complete."""
    renew(path, campaign.start(expected))
    seen, complete = judge.look(path, expected), False
    before = tally.injected
    while not complete:
        strike = tally.injected < (min(kills, before + 1) if campaign.once else kills)
        attempt = Attempt(path, expected, rng, path.parent.with_name("frail"), strike)
        seen, complete = follow(campaign, attempt, seen, tally)


def keep_evidence(folder, number):
    """Copy the files of a chain that lost something, and return where they are."""
    kept = folder / f"lost-{number}"
    shutil.copytree(folder / "work", kept)
    return kept


def carry_out(campaign, expected, folder, *, kills, seed):
    """Inject ``kills`` faults and return the tally; chains that lose something are kept.

    Parameters
    ----------
    campaign : Campaign
        The kind of fault.
    expected : Expected
        See `expect`.
    folder : Path
        An empty one.
    kills : int
        Faults to inject.
    seed : int
        Of the random choices; kills at random times differ from run to run all the same.
    """
    tally, rng = Tally(), random.Random(f"{campaign.name} {seed}")  # noqa: S311
    if campaign.tracked:
        expected = tracked(expected)
    path = folder / "work" / "cube.h5"
    path.parent.mkdir(parents=True)
    renew(path, campaign.start(expected))
    watchers = (
        watching(path, expected, tally.met, amended=campaign.amended)
        if campaign.readers
        else contextlib.nullcontext()
    )
    try:
        with watchers:
            while tally.injected < kills and len(tally.lost) < MOST_LOST:
                try:
                    chain(campaign, expected, path, rng, kills, tally)
                except (AssertionError, *UNREADABLE):
                    kept = keep_evidence(folder, len(tally.lost))
                    tally.lost.append(f"{traceback.format_exc()}\nThe files are in {kept}.")
                    shutil.rmtree(path.parent)
                    path.parent.mkdir()
    except AssertionError as error:
        tally.lost.append(str(error))
    return tally
