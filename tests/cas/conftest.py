"""A store on an empty directory, with the repository that tests push to."""

import pytest

from cas.local import open_store
from tests.cas.pushing import prepare


@pytest.fixture
async def store(tmp_path):
    async with open_store(tmp_path) as opened:
        await prepare(opened)
        yield opened
