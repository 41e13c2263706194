"""Any sequence of builds, fits and compressions, killed or not, equals uninterrupted ones."""

import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.faults import judge, victims
from tests.faults.injection import AtCall, NoFault
from tests.faults.processes import run
from tests.faults.uninterrupted import expect

# Without a HyperCube or with one that is compressed the fit has the same bits.
MATRIX_FREE = {"operator": "matrix-free", "in_place": True}
kill = st.builds(AtCall, st.integers(1, 120), st.booleans())
fault = st.one_of(kill, kill, st.just(NoFault()))
step = st.one_of(
    st.tuples(st.just("build"), fault, st.sampled_from([1, 12_000, 10**9])),
    st.tuples(st.just("fit"), fault),
    st.tuples(st.just("compress"), fault, st.sampled_from(["gzip", "lzf"])),
)


class Session:
    """A file, and what it should hold."""

    def __init__(self, path, expected):
        self.path = path
        self.expected = expected
        self.seen = judge.look(path, expected)

    def work(self, work, fault, **settings):
        """Work, killed or not, and judge."""
        outcome = run(work, self.path, fault, **settings)
        judge.went_on(self.seen, outcome.told)
        now = judge.look(self.path, self.expected)
        judge.nothing_lost(self.seen, now)
        self.seen = now

    def build(self, fault, group_bytes=1):
        self.work(victims.build, fault, group_bytes=group_bytes)

    def fit(self, fault):
        # The fit of a complete one would be another fit.
        if not self.seen.finished:
            self.work(victims.fit, fault, **MATRIX_FREE)

    def compress(self, fault, codec):
        if self.seen.done is not None and self.seen.done.all():
            self.work(victims.compress, fault, codec=codec)


@pytest.fixture(scope="module")
def matrix_free(tmp_path_factory):
    return expect(tmp_path_factory.mktemp("matrix-free"), operator="matrix-free")


@settings(
    max_examples=15,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
@given(steps=st.lists(step, min_size=1, max_size=8))
def test_any_sequence_equals_uninterrupted_runs(matrix_free, tmp_path_factory, steps):
    path = tmp_path_factory.mktemp("sequence") / "cube.h5"
    shutil.copy(matrix_free.populated, path)
    session = Session(path, matrix_free)
    for name, *arguments in steps:
        getattr(session, name)(*arguments)
    session.build(NoFault())
    session.fit(NoFault())
    judge.built(path, matrix_free)
    judge.fitted(path, matrix_free)
    judge.tidy(path)
