"""The implementations that each conformance suite runs on."""

import pytest

from cas.local import open_store
from tests.cas.pushing import prepare

STORES = [pytest.param(open_store, id="local")]


@pytest.fixture(params=STORES)
async def store(request, tmp_path):
    async with request.param(tmp_path) as opened:
        await prepare(opened)
        yield opened
