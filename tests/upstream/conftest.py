"""An upstream for each test."""

import pytest
import trio

from tests.upstream.faulty import Faulty


@pytest.fixture
async def faulty(nursery):
    upstream = Faulty(nursery)
    await upstream.begin()
    yield upstream
    for client in upstream.clients:
        with trio.CancelScope(shield=True):
            await client.aclose()
