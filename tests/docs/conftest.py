"""The folder of a demo, made once."""

from __future__ import annotations

import shutil

import pytest

from cubefit.demo import run_demo


@pytest.fixture(scope="session")
def demo_once(tmp_path_factory):
    """Return the report of a demo; nobody changes its files."""
    return run_demo(tmp_path_factory.mktemp("demo") / "cubefit-demo", verbose=False)


@pytest.fixture
def demo_folder(demo_once, tmp_path, monkeypatch):
    """Work in a copy of the folder that ``cubefit demo`` makes."""
    folder = tmp_path / "cubefit-demo"
    shutil.copytree(demo_once.fit.h5_path.parent, folder)
    monkeypatch.chdir(folder)
    return folder
