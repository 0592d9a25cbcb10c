"""The implementations that each conformance suite runs on."""

import pytest

from cas.local import open_store
from tests.cas.pushing import prepare

STORES = [
    pytest.param(lambda _, root: open_store(root), id="local"),
    pytest.param(lambda daemons, root: daemons.connected(root), id="daemon"),
]


@pytest.fixture(params=STORES)
async def store(request, daemons, tmp_path):
    async with request.param(daemons, tmp_path) as opened:
        await prepare(opened)
        yield opened
