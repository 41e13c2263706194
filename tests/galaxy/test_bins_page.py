"""Bins that the documentation makes are those that a run reads."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from tests.docs.pages import DOCS, blocks_of

from cubefit.galaxy import run_galaxy

(PAGE_BLOCK,) = (b for b in blocks_of(DOCS / "your-files.md") if "power_bins(" in b.code)


@pytest.fixture
def powerbin(tmp_path, monkeypatch):
    """Stand in for PowerBin: the mock's LOSVDs were made for other bins than it would make."""
    with np.load(tmp_path / "orbits.npz") as orbits:
        places = np.column_stack((orbits["xpix"], orbits["ypix"]))
        binnum = orbits["binnum"]

    def power_bin(xy, capacity_spec, target_capacity, *, verbose):
        distance = np.hypot(*(xy[:, None] - places).transpose(2, 0, 1))
        assert distance.min(axis=1).max() < 0.1
        return SimpleNamespace(bin_num=binnum[distance.argmin(axis=1)])

    module = ModuleType("powerbin")
    module.PowerBin = power_bin
    monkeypatch.setitem(sys.modules, "powerbin", module)


def test_the_block_of_the_page_makes_bins_for_a_run(files, powerbin, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(PAGE_BLOCK.code, PAGE_BLOCK.place, "exec"), {})  # noqa: S102 - our own text
    assert (np.loadtxt("bins.txt")[:, 2] < 0).any()
    path = files('[products]\npictures = []\n[bins]\npath = "bins.txt"')
    assert run_galaxy(path, verbose=False).findings == []
