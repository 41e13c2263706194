import pytest

from tests.faults.uninterrupted import expect


@pytest.fixture(scope="session")
def expected(tmp_path_factory):
    return expect(tmp_path_factory.mktemp("expected"))
