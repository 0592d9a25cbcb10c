"""An index in a folder of its own."""

import pytest

from index.environment import open_environment


@pytest.fixture
def environment(tmp_path):
    with open_environment(tmp_path / "index") as opened:
        yield opened
