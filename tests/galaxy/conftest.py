"""A galaxy on disk, run once."""

from __future__ import annotations

import pytest
from tests.galaxy.mock import Sight, fit_mock, settings_text, write_mock


@pytest.fixture(scope="package")
def fitted(tmp_path_factory):
    """The small galaxy; for looking at only."""
    return fit_mock(tmp_path_factory.mktemp("small"), Sight())


@pytest.fixture
def files(tmp_path):
    """The small galaxy's files in a folder of one's own, not run yet."""
    sight = Sight(wave=(4900.0, 5250.0), ages=(2.0, 12.0))
    write_mock(tmp_path, sight)
    path = tmp_path / "galaxy.toml"

    def settings(more="", **replaced):
        text = settings_text(sight, more=more)
        for old, new in replaced.values():
            assert old in text
            text = text.replace(old, new)
        path.write_text(text)
        return path

    return settings
