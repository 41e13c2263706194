"""Writes that come up short, and files that may not grow."""

import shutil

import pytest

from tests.faults import judge, victims
from tests.faults.injection import FileSizeLimit, ShortWrites
from tests.faults.processes import run


@pytest.mark.parametrize("seed", range(3))
def test_short_writes_change_nothing(expected, tmp_path, seed):
    path = tmp_path / "only" / "cube.h5"
    path.parent.mkdir()
    shutil.copy(expected.populated, path)
    run(victims.build, path, ShortWrites(seed))
    judge.built(path, expected)
    run(victims.fit, path, ShortWrites(seed), in_place=True)
    judge.fitted(path, expected)
    run(victims.compress, path, ShortWrites(seed))
    judge.built(path, expected)
    judge.tidy(path)


@pytest.mark.parametrize("room", [5_000, 60_000])
def test_a_limit_on_file_sizes_is_told_with_its_mend(expected, tmp_path, room):
    """``ulimit -f``: the kernel refuses what grows beyond it, HDF5's own writes too."""
    path = tmp_path / "only" / "cube.h5"
    path.parent.mkdir()
    shutil.copy(expected.populated, path)
    before = path.read_bytes()
    limit = FileSizeLimit(len(before) + room)
    with pytest.raises(AssertionError, match=r"StoreError: .*File too large.*raise `ulimit -f`"):
        run(victims.build, path, limit)
    assert path.read_bytes() == before
    judge.tidy(path)
    run(victims.build, path)
    judge.built(path, expected)
