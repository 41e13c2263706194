"""Running the command line in this process."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from cubefit import cli
from cubefit.pipeline_runner import PipelineRunner


@pytest.fixture
def cubefit():
    """Run ``cubefit`` with the given arguments."""

    def run(*arguments):
        return CliRunner().invoke(cli.app, [str(a) for a in arguments])

    return run


@pytest.fixture
def fitted(built):
    """A file with HyperCube and solution."""
    PipelineRunner(built).solve_all(method="exact", verbose=False)
    return built
