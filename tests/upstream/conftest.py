"""An upstream for each test."""

import pytest

from tests.upstream.faulty import Faulty


@pytest.fixture
async def faulty(nursery):
    upstream = Faulty(nursery)
    await upstream.begin()
    return upstream
