"""Fixtures over `problems`."""

import pytest
from tests.inverse.problems import KINDS, problem_strategy, random_problem


@pytest.fixture(scope="session")
def problems():
    """Strategy for problems in any unit."""
    return problem_strategy()


@pytest.fixture(scope="session")
def small_problem():
    """The function `random_problem`."""
    return random_problem


@pytest.fixture(scope="session", params=KINDS, ids=lambda k: f"{k.name}-{k.dtype.__name__}")
def kind(request):
    """Every operator in turn."""
    return request.param


@pytest.fixture(scope="session")
def kinds():
    """All operators at once."""
    return KINDS
